"""Draw the scores of methods on held-out donors."""

from math import log
from pathlib import Path

import numpy as np
import pandas as pd
from anndata import AnnData
from matplotlib.axes import Axes

from scggml._anndata.keys import CROSS_VALIDATION
from scggml._anndata.messages import choices
from scggml._anndata.verdicts import read_cross_validation
from scggml._docs import documented
from scggml.pl._colors import OKABE_ITO
from scggml.pl._figure import panels
from scggml.pl._fit import letters, shortened
from scggml.pl._legend import ABOVE, check_loc, draw_legend
from scggml.pl._output import Title, entitle, finish

LABELS = {
    "balanced_accuracy": "balanced accuracy",
    "macro_f1": "macro F1",
    "corrected_f1": "chance-corrected F1",
    "auroc": "AUROC",
    "log_loss": "log loss (nats)",
    "brier": "Brier score",
    "spearman": "Spearman correlation",
    "kappa": "quadratic kappa",
    "mean_absolute_error": "mean absolute error",
    "ari": "ARI",
    "nmi": "NMI",
    "vi": "variation of information (nats)",
    "silhouette": "silhouette",
    "seconds": "seconds per fold",
}
SPREAD = 0.22
"""Height over which the points of one method are spread, in rows."""


@documented
def cross_validation(
    adata: AnnData,
    *,
    key: str = CROSS_VALIDATION,
    metric: str | None = None,
    title: Title = None,
    legend_loc: str | None = "top margin",
    ax: Axes | None = None,
    show: bool | None = None,
    save: bool | str | Path | None = None,
) -> Axes:
    """Draw the scores of all methods on held-out donors: a point per repeat, a bar at the mean, and chance.

    Where batches (sites) were left out one at a time, too, a diamond has the score of that, over all donors.

    Parameters
    ----------
    adata
        AnnData that `tl.cross_validate` has written to.
    key
        %(key_result)s
    metric
        Which score to draw; by default the balanced accuracy, or the rank correlation for numbers. Scores of single
        folds are averaged over the folds of a repeat.
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
        No such result or metric.

    Examples
    --------
    >>> import scggml as sg
    >>> adata = sg.datasets.synthetic(n_noise=3, n_samples=6, n_cells=10)
    >>> options = {"n_splits": 3, "n_repeats": 2, "n_jobs": 1, "progress": False}
    >>> sg.tl.cross_validate(adata, "sample_id", "label", methods=["canonical", "majority"], **options)
    >>> ax = sg.pl.cross_validation(adata)
    >>> ax.get_xlabel()
    'balanced accuracy'

    References
    ----------
    Okabe and Ito, *Color universal design*, 2008, for the colors.
    """
    table = cross_validation_table(adata, key, metric)
    name = str(table.attrs["metric"])
    methods = list(dict.fromkeys(table["method"]))
    check_loc(legend_loc, ABOVE)
    (ax,) = panels(1, ax, (4.6 + 0.075 * max(0, letters(methods) - 18), 0.9 + 0.38 * len(methods)), title=title)
    apart = table[table["by_batch"]].set_index("method")["value"]
    for row, method in enumerate(methods):
        values = table.loc[(table["method"] == method) & ~table["by_batch"], "value"].to_numpy()
        rows = row + (np.linspace(-SPREAD, SPREAD, len(values)) if len(values) > 1 else np.zeros(1))
        ax.scatter(values, rows, s=22, color=OKABE_ITO[0], alpha=0.75, linewidths=0, zorder=3)
        ax.plot([values.mean()] * 2, [row - 0.36, row + 0.36], color=OKABE_ITO[1], linewidth=2.2, zorder=4)
    if len(apart):
        label = f"one {shortened(table.attrs['batch_key'], 16)!r} out at a time"
        places = [methods.index(name) for name in apart.index]
        ax.scatter(apart, places, s=46, marker="D", color=OKABE_ITO[2], edgecolors="white", label=label, zorder=5)
    lines = table.attrs["lines"]
    for (what, value), style in zip(lines.items(), ("--", ":"), strict=False):
        ax.axvline(value, color="#666666", linewidth=1.1, linestyle=style, label=what, zorder=1)
    ax.set_yticks(range(len(methods)), methods)
    ax.set_ylim(len(methods) - 0.5, -0.5)
    ax.set_xlabel(LABELS.get(name, name.replace("_", " ").replace(":", ": ")))
    ax.tick_params(axis="y", length=0)
    ax.grid(axis="x", color="#E5E5E5", linewidth=0.8, zorder=0)
    ax.set_axisbelow(True)
    ax.spines[["top", "right", "left"]].set_visible(False)
    draw_legend(
        ax, ax.get_legend_handles_labels()[0], legend_loc, outside={"ncols": 2} if legend_loc == ABOVE else None
    )
    entitle([ax], title)
    finish(ax.figure, show=show, save=save, name="cross_validation")
    return ax


def cross_validation_table(adata: AnnData, key: str, metric: str | None) -> pd.DataFrame:
    """Return what is drawn: `method`, `repeat`, `value`, and whether it is `by_batch`; more is in `.attrs`."""
    entry = read_cross_validation(adata, key)
    scores = entry["scores"]
    there = list(dict.fromkeys(scores["metric"].astype(str)))
    if metric is None:
        metric = next(name for name in ("balanced_accuracy", "spearman") if name in there)
    if metric not in there:
        raise KeyError(f"metric={metric!r} was not computed; choose from {choices(there)}.")
    table = _of_metric(scores, metric).assign(by_batch=False)
    lines: dict[str, float] = {}
    C = len(entry["classes"])
    chance = {"auroc": 0.5, "corrected_f1": 0.0, "spearman": 0.0}.get(metric)
    if C:
        chance = {"balanced_accuracy": 1 / C, "log_loss": log(C), "brier": 1 - 1 / C}.get(metric, chance)
    if chance is not None:
        lines["chance"] = chance
    majority = table.loc[table["method"] == "majority", "value"]
    if len(majority) and metric != "seconds":
        value = float(majority.mean())
        same = chance is not None and abs(value - chance) < 1e-9
        lines = {"chance, majority class": value} if same else lines | {"majority class": value}
    if "by_batch" in entry:
        pooled = entry["by_batch"]["scores"]
        apart = _of_metric(pooled[pooled["fold"] == -1], metric)
        table = pd.concat([table, apart.assign(by_batch=True)], ignore_index=True)
        table.attrs["batch_key"] = str(entry["params"]["batch_key"])
    table.attrs |= {"metric": metric, "lines": lines}
    return table


def _of_metric(scores: pd.DataFrame, metric: str) -> pd.DataFrame:
    """Return `method`, `repeat` and the mean `value` over the folds of a repeat."""
    part = scores[scores["metric"].astype(str) == metric]
    part = part.assign(method=part["method"].astype(str))
    return part.groupby(["method", "repeat"], sort=False)["value"].mean().reset_index()
