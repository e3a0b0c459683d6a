"""Draw the settings that were tried and chosen, with their scores."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from anndata import AnnData
from matplotlib.axes import Axes
from matplotlib.patches import Rectangle

from scggml._anndata.keys import TUNING
from scggml._anndata.messages import choices
from scggml._anndata.verdicts import read_cross_validation
from scggml._arguments import shown
from scggml._docs import documented
from scggml.pl._colors import OKABE_ITO
from scggml.pl._figure import panels
from scggml.pl._fit import LETTER, fit_names, fit_numbers, letters
from scggml.pl._legend import ABOVE, check_loc, draw_legend
from scggml.pl._output import Title, entitle, finish

MOST = 20
"""Most settings that are drawn."""

SCALE, DARK = "viridis", 0.6
"""Colors of scores, and the share of their range below which these are dark."""


@documented
def tuning(
    adata: AnnData,
    *,
    key: str = TUNING,
    options: Sequence[str] | None = None,
    title: Title = None,
    legend_loc: str | None = "top margin",
    ax: Axes | None = None,
    show: bool | None = None,
    save: bool | str | Path | None = None,
) -> Axes:
    """Draw the inner scores of each setting, how often it was chosen, and the outer score of the whole procedure.

    A point is the inner score of a setting in one outer fold, filled where it was chosen there. The dashed line is the
    outer score, on donors that no choice has used: the one to report. With two `options` a map shows the inner score
    on all donors of each pair of their values, by which the pair in a frame was chosen (so it looks better than it is).

    Parameters
    ----------
    adata
        AnnData that `tl.tune` has written to.
    key
        %(key_result)s
    options
        Two options to draw a map of, such as `("margin", "reg")`, those along the axes x and y; others have the values
        that were chosen on all donors.
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
    The axes. The setting in bold is that chosen on all donors. Of many settings the best 20 are drawn; a map has all
    values, and is empty where a pair was not tried.

    Raises
    ------
    KeyError
        No such result, or option.
    ValueError
        Not two options.

    Examples
    --------
    >>> import scggml as sg
    >>> adata = sg.datasets.synthetic(n_noise=3, n_samples=6, n_cells=10)
    >>> options = {"n_splits": 3, "n_inner_splits": 2, "n_jobs": 1, "progress": False}
    >>> sg.tl.tune(adata, "sample_id", "label", space={"n_comps": [1, 3]}, **options)
    >>> [label.get_text() for label in sg.pl.tuning(adata).get_yticklabels()]
    ['n_comps=1', 'n_comps=3']

    References
    ----------
    Varma and Simon, *Bias in error estimation when using cross-validation for model selection*, BMC Bioinformatics
    2006.
    """
    check_loc(legend_loc, ABOVE)
    if options is not None:
        ax = _draw_map(score_map(adata, key, options), ax, title)
        finish(ax.figure, show=show, save=save, name="tuning")
        return ax
    table = tuning_table(adata, key)
    settings = list(dict.fromkeys(table["setting"]))
    given = ax is not None
    (ax,) = panels(1, ax, (5.4 + LETTER * max(0, letters(settings) - 36), 1.2 + 0.27 * len(settings)), title=title)
    for row, setting in enumerate(settings):
        part = table[table["setting"] == setting]
        rows = row + np.linspace(-0.2, 0.2, len(part)) if len(part) > 1 else np.array([row])
        for chosen, face in ((False, "none"), (True, OKABE_ITO[1])):
            kept = part["chosen"].to_numpy() == chosen
            label = ("chosen in an outer fold" if chosen else "tried in an outer fold") if row == 0 else None
            edge = OKABE_ITO[1] if chosen else OKABE_ITO[0]
            ax.scatter(
                part["inner_score"][kept], rows[kept], s=24, facecolors=face, edgecolors=edge, label=label, zorder=3
            )
    ax.axvline(table.attrs["outer"], color="#666666", linestyle="--", linewidth=1.3, label="outer score of the tuned")
    ax.set_yticks(range(len(settings)), settings, fontsize="small")
    for tick, setting in zip(ax.get_yticklabels(), settings, strict=True):
        tick.set_fontweight("bold" if setting == table.attrs["best"] else "normal")
    ax.set_ylim(len(settings) - 0.5, -0.5)
    ax.set_xlabel(f"held-out {table.attrs['metric'].replace('_', ' ')}")
    ax.grid(axis="x", color="#E5E5E5", linewidth=0.8)
    ax.set_axisbelow(True)
    ax.tick_params(axis="y", length=0)
    ax.spines[["top", "right", "left"]].set_visible(False)
    above = {"bbox_to_anchor": (0.4, 1.0), "ncols": 2} if legend_loc == ABOVE else None
    draw_legend(ax, ax.get_legend_handles_labels()[0], legend_loc, outside=above)
    if given:
        fit_names(ax)
    entitle([ax], title)
    finish(ax.figure, show=show, save=save, name="tuning")
    return ax


def _draw_map(scores: pd.DataFrame, ax: Axes | None, title: Title) -> Axes:
    """Draw scores by two options as colors and numbers, with a frame around those that were chosen."""
    rows, columns = ([f"{v:g}" if isinstance(v, float) else str(v) for v in axis] for axis in (scores.index, scores))
    size = (1.9 + LETTER * letters(rows) + max(2.0, 0.62 * len(columns)), 1.0 + max(1.4, 0.42 * len(rows)))
    given = ax is not None
    (ax,) = panels(1, ax, size, title=title)
    values = scores.to_numpy()
    drawn = ax.imshow(values, cmap=SCALE, aspect="auto", origin="lower")
    low, high = float(np.nanmin(values)), float(np.nanmax(values))
    for i, j in np.ndindex(*values.shape):
        value = float(values[i, j])
        if np.isfinite(value):
            dark = value < low + DARK * (high - low)
            ax.text(j, i, f"{value:.2f}", ha="center", va="center", fontsize="small", color="w" if dark else "k")
    i, j = scores.attrs["chosen"]
    ax.add_patch(Rectangle((j - 0.5, i - 0.5), 1, 1, fill=False, edgecolor=OKABE_ITO[1], linewidth=2.5, clip_on=False))
    ax.set_xticks(range(len(columns)), columns, fontsize="small")
    ax.set_yticks(range(len(rows)), rows, fontsize="small")
    ax.set(xlabel=scores.columns.name, ylabel=scores.index.name)
    ax.tick_params(length=0)
    ax.spines[:].set_visible(False)
    ax.figure.colorbar(drawn, ax=ax).set_label(f"inner {scores.attrs['metric'].replace('_', ' ')}")
    if given:
        fit_names(ax)
        fit_numbers(ax, values.shape)
    entitle([ax], title)
    return ax


def score_map(adata: AnnData, key: str, options: Sequence[str]) -> pd.DataFrame:
    """Return the inner score on all donors by two options: columns the first one, rows the second.

    Numbers rise, other values are in the order in which they were tried; `.attrs` has the row and column that were
    chosen, and the metric.
    """
    entry = read_cross_validation(adata, key, made_by="tune")
    again = f"make it with sg.tl.tune(adata, ..., key_added={key!r})"
    if "choices" not in entry or "settings" not in entry:
        raise KeyError(f"adata.uns[{key!r}] holds no settings that were tried by their options; {again}.")
    settings = entry["settings"].astype({"setting": str}).set_index("setting")
    known = [str(name) for name in settings]
    if isinstance(options, str) or not isinstance(options, Sequence) or len(options) != 2 or len(set(options)) < 2:
        raise ValueError(f"options={shown(options)}: pass two of the options that were tuned, {choices(known)}.")
    for name in options:
        if name not in known:
            raise KeyError(f"options: {name!r} was not tuned in adata.uns[{key!r}], but {choices(known)} were.")
    tried = entry["choices"].astype({"setting": str})
    last = tried[tried["fold"] == -1].set_index("setting")
    best = settings.loc[str(last.index[last["chosen"].to_numpy(dtype=bool)][0])]
    rest = [name for name in known if name not in options]
    drawn = settings[(settings[rest] == best[rest]).all(axis=1)].assign(score=last["inner_score"])
    axes = {name: _in_order(settings[name]) for name in options}
    first, second = options
    out = drawn.pivot_table(index=second, columns=first, values="score", observed=True)
    out = out.reindex(index=axes[second], columns=axes[first]).astype(float)
    place = out.index.get_loc(best[second]), out.columns.get_loc(best[first])
    out.attrs |= {"chosen": place, "metric": tuning_table(adata, key).attrs["metric"]}
    return out.rename_axis(index=second, columns=first)


def _in_order(values: pd.Series) -> list[Any]:
    """Return different values, rising if they are numbers."""
    found = list(dict.fromkeys(values))
    return sorted(found) if pd.api.types.is_numeric_dtype(values) else found


def tuning_table(adata: AnnData, key: str) -> pd.DataFrame:
    """Return what is drawn, a row per outer fold: `setting`, `inner_score`, `chosen`; more is in `.attrs`."""
    entry = read_cross_validation(adata, key, made_by="tune")
    if "choices" not in entry:
        raise KeyError(f"adata.uns[{key!r}] holds a cross-validation without a choice; make one with sg.tl.tune.")
    tried = entry["choices"].astype({"setting": str})
    at_last = tried[tried["fold"] == -1]
    table = tried[tried["fold"] >= 0][["setting", "inner_score", "chosen"]]
    if table["setting"].nunique() > MOST:
        means = table.groupby("setting")["inner_score"].mean()
        table = table[table["setting"].isin(means.nlargest(MOST).index)]
    scores = entry["scores"].astype({"method": str, "metric": str})
    metric = "balanced_accuracy" if "balanced_accuracy" in set(scores["metric"]) else "spearman"
    if str(entry["params"]["label_kind"]) == "ordered":
        metric = "spearman"
    outer = scores[(scores["method"] == "tuned") & (scores["metric"] == metric)]["value"].mean()
    best = str(at_last.loc[at_last["chosen"], "setting"].iloc[0])
    out = table.reset_index(drop=True)
    out.attrs |= {"outer": float(outer), "best": best, "metric": metric}
    return out
