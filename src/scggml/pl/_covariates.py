"""Draw how strongly distances between samples follow their covariates."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from anndata import AnnData
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.transforms import ScaledTranslation

from scggml._anndata.covariates import read_covariates
from scggml._anndata.keys import Keys
from scggml._docs import documented
from scggml.pl._colors import FAINT, PLAIN, ink, paper
from scggml.pl._figure import note, panels
from scggml.pl._fit import LETTER, fit_names, letters
from scggml.pl._legend import BELOW, check_loc, draw_legend
from scggml.pl._output import Title, entitle, finish

LEVEL = 0.05
"""Largest false discovery rate of a filled bar."""

HEIGHT = 0.36
"""Height of a bar, in rows."""

DOWN = 0.5
"""Inches from the axes down to the legend."""

KINDS = (("alone", FAINT, "alone"), ("beyond", PLAIN, "beyond the label"))
"""The two bars of a covariate, the upper one first."""

PARTS = ("share", "null95", "found")
"""What is drawn of each."""


@documented
def covariates(
    samples: AnnData,
    *,
    key: str = "ggml",
    title: Title = None,
    legend_loc: str | None = "bottom margin",
    ax: Axes | None = None,
    show: bool | None = None,
    save: bool | str | Path | None = None,
) -> Axes:
    """Draw the share of the distances that each covariate explains, alone (light) and beyond the label (dark).

    Shares are adjusted: 0 is what a random column explains. A tick is at what 95 % of the permutations stay below, and
    a bar is filled where the false discovery rate is at most 5 % (of the label, which is bold: the p-value). Where some
    samples have no value the number of those that do is given. On samples that the metric was learned on the share of
    the label is no evidence, and a note says so.

    Parameters
    ----------
    samples
        AnnData of samples that `tl.covariates` has written to.
    key
        %(key_distances)s
    title
        %(title)s
    legend_loc
        %(legend_loc_other)s
    ax
        %(ax)s
    show
        %(show)s
    save
        %(save)s

    Returns
    -------
    The axes.

    Raises
    ------
    KeyError
        No such result.
    ValueError
        Nothing could be measured.

    Examples
    --------
    >>> import scggml as sg
    >>> adata = sg.datasets.synthetic(n_noise=3, n_samples=6, n_cells=10)
    >>> samples = sg.tl.distances(
    ...     adata, metric="euclidean", sample_key="sample_id", label_key="label", progress=False
    ... )
    >>> samples.obs["age"] = range(30, 48)
    >>> sg.tl.covariates(samples, key="euclidean", n_perm=99)
    >>> ax = sg.pl.covariates(samples, key="euclidean")
    >>> ax.get_xlabel()
    'adjusted share of the squared distances'

    References
    ----------
    Peres-Neto et al., *Variation partitioning of species data matrices*, Ecology 2006.
    """
    entry = read_covariates(samples, key)
    table = covariates_table(samples, key)
    check_loc(legend_loc, BELOW)
    given, width = ax is not None, 3.5 + LETTER * max(0, letters(table["name"]) - 20)
    (ax,) = panels(1, ax, (width, 1.45 + 0.3 * len(table)), title=title)
    for row, drawn in enumerate(table.itertuples()):
        for i, (kind, color, _) in enumerate(KINDS):
            parts = {what: getattr(drawn, f"{kind}_{what}") for what in PARTS}
            _bar(ax, row + (i - 0.5) * HEIGHT, color=color, **parts)
    ax.axvline(0, color=ink(), linewidth=0.8, zorder=1)
    ax.set_yticks(range(len(table)), list(table["name"]))
    for text, label in zip(ax.get_yticklabels(), table["label"], strict=True):
        text.set_fontweight("bold" if label else "normal")
    ax.set_ylim(len(table) - 0.4, -0.6)
    low, high = ax.get_xlim()
    ax.set_xlim(low, max(high, 0.05))
    ax.set_xlabel("adjusted share of the squared distances", fontsize="small", loc="right")  # names may be long
    ax.tick_params(axis="y", length=0, labelsize="small")
    ax.tick_params(axis="x", labelsize="small")
    ax.grid(axis="x", color="#E5E5E5", linewidth=0.6, zorder=0)
    ax.set_axisbelow(True)
    ax.spines[["top", "right", "left"]].set_visible(False)
    below: dict[str, Any] = {
        "loc": "upper right",
        "bbox_to_anchor": (1.0, 0.0),
        "bbox_transform": ax.transAxes + ScaledTranslation(0.0, -DOWN, ax.figure.dpi_scale_trans),
        "ncols": 2,
        "frameon": False,
        "borderaxespad": 0.0,
    }
    draw_legend(
        ax,
        _legend(label=bool(table["label"].any()), beyond=bool(table["beyond_share"].notna().any())),
        legend_loc,
        outside=below if legend_loc == BELOW else None,
        fontsize="x-small",
        handlelength=1.4,
        columnspacing=1.2,
    )
    note(ax, entry.get("seen"), "the label's share is no evidence")
    if given:
        fit_names(ax)
    entitle([ax], title)
    finish(ax.figure, show=show, save=save, name="covariates")
    return ax


def covariates_table(samples: AnnData, key: str) -> pd.DataFrame:
    """Return what is drawn, the largest shares first.

    Columns are `name`, `label` (whether it is the label), and of either kind of bar the adjusted share, the 95 %
    quantile of permutations, and whether it is filled: `alone_share`, `alone_null95`, `alone_found`, `beyond_share`,
    ...
    """
    entry = read_covariates(samples, key)
    table = entry["table"]
    label = entry["params"].get("label_key")
    some = table["n_samples"] < samples.n_obs
    counts = table["n_samples"].astype(str) + f" of {samples.n_obs}"
    names = table["covariate"].astype(str)
    out = pd.DataFrame({"name": names.where(~some, names + " (" + counts + ")"), "label": names == str(label)})
    for (kind, _, _), ending in zip(KINDS, ("", "_given_label"), strict=True):
        out[f"{kind}_share"] = table[f"r2_adjusted{ending}"]
        out[f"{kind}_null95"] = table[f"r2_null95{ending}"]
        out[f"{kind}_found"] = table[f"p_adjusted{ending}"] <= LEVEL
    measured = out[np.isfinite(out["alone_share"])]
    if measured.empty:
        raise ValueError(
            f"No covariate of samples.uns[{Keys(key).covariates!r}] could be measured; its table says why in the "
            "column 'note'."
        )
    return measured.sort_values("alone_share", ascending=False, kind="stable").reset_index(drop=True)


def _bar(ax: Axes, at: float, *, color: str, share: float, null95: float, found: bool) -> None:
    """Draw a bar and the tick of permutations; nothing where nothing was measured."""
    if not np.isfinite(share):
        return
    face = color if found else paper()
    ax.barh(at, share, height=HEIGHT - 0.04, facecolor=face, edgecolor=color, linewidth=0.9, zorder=2)
    if np.isfinite(null95):
        ax.plot([null95] * 2, [at - HEIGHT / 2, at + HEIGHT / 2], color=ink(), linewidth=1.0, zorder=3)


def _legend(*, label: bool, beyond: bool) -> list[Patch | Line2D]:
    """Return the entries of the legend."""
    drawn = KINDS if beyond else KINDS[:1]
    entries: list[Patch | Line2D] = [Patch(facecolor=color, edgecolor=color, label=text) for _, color, text in drawn]
    if beyond and label:
        entries[1].set_label("beyond the label\n(the label: beyond others)")
    entries.append(Patch(facecolor=paper(), edgecolor=PLAIN, label="false discovery rate > 5%"))
    tick = Line2D([], [], marker="|", linestyle="", color=ink(), markersize=7, label="95% of permutations below")
    return [*entries, tick]
