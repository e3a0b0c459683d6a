"""Draw how a score rises with the number of donors."""

from pathlib import Path
from typing import Any

import numpy as np
from anndata import AnnData
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from scggml._anndata.keys import POWER
from scggml._anndata.messages import choices
from scggml._anndata.planned import FARTHEST, NAMES, read_power
from scggml._docs import documented
from scggml.pl._colors import OKABE_ITO, PLAIN
from scggml.pl._figure import note, panels, wrapped
from scggml.pl._legend import beside, check_loc
from scggml.pl._output import Title, entitle, finish

LINE = 30
"""Letters in a line of the legend."""


@documented
def power(
    adata: AnnData,
    *,
    key: str = POWER,
    metric: str = "balanced_accuracy",
    title: Title = None,
    legend_loc: str | None = "right margin",
    ax: Axes | None = None,
    show: bool | None = None,
    save: bool | str | Path | None = None,
) -> Axes:
    """Draw the learning curve with its interval, dashed where it is extrapolated, and the donors that a test needs.

    Parameters
    ----------
    adata
        %(adata_planned)s
    key
        %(key_result)s
    metric
        `"balanced_accuracy"`, or `"auroc"` where there are two classes.
    title
        %(title)s
    legend_loc
        %(legend_loc)s
    ax
        %(ax)s
    show
        %(show)s
    save
        %(save)s

    Returns
    -------
    The axes. The vertical line is the number of donors with which a permutation test is significant in most cohorts,
    its band the interval; it is missing where twice the donors of the cohort are too few, and without a signal.

    Raises
    ------
    KeyError
        No such result or metric.

    Examples
    --------
    >>> import scggml as sg
    >>> adata = sg.datasets.synthetic(n_noise=1, noise_scale=1.0, n_classes=2, n_samples=6, n_cells=10)
    >>> options = {"n_sizes": 3, "n_draws": 4, "n_jobs": 1, "progress": False}
    >>> sg.tl.power(adata, "sample_id", "label", method="pseudobulk", **options)
    >>> ax = sg.pl.power(adata)
    >>> ax.get_xlabel()
    'donors'

    References
    ----------
    Figueroa et al., *Predicting sample size required for classification performance*, BMC Medical Informatics and
    Decision Making 2012.
    """
    entry = read_power(adata, key)
    there = list(dict.fromkeys(entry["curve"]["metric"].astype(str)))
    if metric not in there:
        raise KeyError(f"metric={metric!r} is not among the scores of adata.uns[{key!r}]: {choices(there)}.")
    check_loc(legend_loc)
    (ax,) = panels(1, ax, (5.6, 3.4), title=title)
    handles = [*_draw_curve(ax, entry, metric), *_draw_needed(ax, entry)]
    chance = 1 / len(entry["classes"]) if metric == "balanced_accuracy" else 0.5
    handles.append(ax.axhline(chance, color="#666666", linestyle=":", linewidth=1.1, zorder=1))
    handles[-1].set_label(f"chance {chance:.2f}")
    ax.set(xlabel="donors", ylabel=NAMES[metric], xlim=(0, FARTHEST * int(entry["n_donors"]) * 1.02))
    ax.set_ylim(min(ax.get_ylim()[0], chance - 0.05), 1.02)
    ax.spines[["top", "right"]].set_visible(False)
    note(ax, "held out")
    beside(ax, handles, loc=legend_loc)
    entitle([ax], title)
    finish(ax.figure, show=show, save=save, name="power")
    return ax


def _draw_curve(ax: Axes, entry: Any, metric: str) -> list[Any]:
    """Draw the curve, its band and the scores that were observed; return their legend entries."""
    curve, seen = (table[table["metric"].astype(str) == metric] for table in (entry["curve"], entry["observed"]))
    beyond = curve["extrapolated"].to_numpy(dtype=bool)
    color = OKABE_ITO[0]
    ax.fill_between(curve["n_donors"], curve["low"], curve["high"], color=color, alpha=0.16, linewidth=0, zorder=1)
    ax.plot(curve["n_donors"][~beyond], curve["value"][~beyond], color=color, linewidth=1.8, zorder=3)
    last = max(int((~beyond).sum()) - 1, 0)  # where both parts meet
    ax.plot(curve["n_donors"][last:], curve["value"][last:], color=color, linewidth=1.8, linestyle="--", zorder=3)
    ax.plot(seen["n_donors"], seen["value"], color=color, marker="o", markersize=4.5, linestyle="", zorder=4)
    share = float(entry["params"]["confidence"])
    return [
        Line2D([], [], color=color, marker="o", markersize=4.5, label="learned from so many"),
        Line2D([], [], color=color, linestyle="--", label="extrapolated"),
        Patch(color=color, alpha=0.16, linewidth=0, label=f"{share:.0%} interval"),
    ]


def _draw_needed(ax: Axes, entry: Any) -> list[Any]:
    """Mark the number of donors that a test needs, with its interval; return its legend entry, or why there is none."""
    value, low, high = (float(number) for number in np.asarray(entry["needed"]))
    most = FARTHEST * int(entry["n_donors"])
    said = f"test significant in {float(entry['params']['power']):.0%} of cohorts:"
    if np.isnan(value):
        said = f"{said} not up to {most} donors" if bool(entry["signal"]) else "no signal: nothing can be planned"
        return [Line2D([], [], linestyle="", marker="x", color=PLAIN, label=wrapped(said, LINE))]
    until = f"more than {most}" if np.isnan(high) else f"{high:.0f}"
    ax.axvspan(low, most if np.isnan(high) else high, color=OKABE_ITO[1], alpha=0.1, linewidth=0, zorder=0)
    line = ax.axvline(value, color=OKABE_ITO[1], linewidth=1.8, zorder=2)
    line.set_label(wrapped(f"{said} {value:.0f} donors ({low:.0f} to {until})", LINE))
    return [line]
