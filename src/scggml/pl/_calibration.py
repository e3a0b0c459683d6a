"""Draw how often held-out predictions are right, beside how confident they are."""

from collections.abc import Sequence
from math import log
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from anndata import AnnData
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from scggml._anndata.keys import CROSS_VALIDATION
from scggml._anndata.messages import choices
from scggml._anndata.verdicts import read_cross_validation
from scggml._core.evaluate.reliability import reliability
from scggml._core.evaluate.scores import log_loss
from scggml._docs import documented
from scggml.pl._colors import FAINT, OKABE_ITO
from scggml.pl._figure import LINE, NOTE, column_names, grid, note, panels, wrapped
from scggml.pl._legend import beside, check_loc
from scggml.pl._output import Title, entitle, finish

BARS = 20
"""Ranges of confidence that are counted below the curve."""

PANEL, LEGEND = 2.5, 1.4
"""Inches of the width of a panel, and of the legend beside the last one."""

TALLEST = 0.16
"""Height of the bar of the most frequent confidences."""


@documented
def calibration(
    adata: AnnData,
    *,
    key: str = CROSS_VALIDATION,
    methods: str | Sequence[str] | None = None,
    n_bins: int = 5,
    by_batch: bool = False,
    title: Title = None,
    legend_loc: str | None = "right margin",
    ncols: int | None = None,
    ax: Axes | Sequence[Axes] | None = None,
    show: bool | None = None,
    save: bool | str | Path | None = None,
) -> list[Axes]:
    r"""Draw the reliability of the probabilities of held-out donors: the share that is right at each confidence.

    Confidence is the probability of the class that is predicted. Points below the diagonal are overconfident. Above
    each panel stand the expected calibration error :math:`\sum_b w_b |\text{confidence}_b - \text{right}_b|` over the
    bins and the log loss, with that of equal probabilities. Classes count equally in all of these.

    Parameters
    ----------
    adata
        %(adata_evaluated)s
    key
        %(key_result)s
    methods
        Names of methods, one panel each; by default all but the majority class.
    n_bins
        Bins of equal size. Predictions of one confidence stay together, so that votes of few neighbors have fewer.
    by_batch
        Draw predictions of batches that were left out as a whole, where `tl.cross_validate` has a `batch_key`.
    title
        %(titles)s
    legend_loc
        %(legend_loc)s
    ncols
        %(ncols)s
    ax
        Axes to draw on, one for each method.
    show
        %(show)s
    save
        %(save)s

    Returns
    -------
    The axes, one for each method. Bars are 95 % intervals of Wilson, for as many predictions as there are donors; below
    is how often each confidence occurs.

    Raises
    ------
    KeyError
        No such result or method, or no batches that were left out.
    ValueError
        Numbers have no probabilities.

    Examples
    --------
    >>> import scggml as sg
    >>> adata = sg.datasets.synthetic(n_noise=3, n_samples=6, n_cells=10)
    >>> options = {"n_splits": 3, "n_repeats": 2, "n_jobs": 1, "progress": False}
    >>> sg.tl.cross_validate(adata, "sample_id", "label", methods=["canonical", "majority"], **options)
    >>> (ax,) = sg.pl.calibration(adata)
    >>> ax.get_ylabel()
    'share right'

    References
    ----------
    Guo et al., *On calibration of modern neural networks*, ICML 2017; Wilson, *Probable inference, the law of
    succession, and statistical inference*, JASA 1927.
    """
    table = calibration_table(adata, key, methods, n_bins, by_batch=by_batch)
    names = list(dict.fromkeys(table["method"]))
    check_loc(legend_loc)
    wide = PANEL + LEGEND / grid(len(names), ncols)[1]
    axes = panels(len(names), ax, (wide, 3.2), ncols=ncols, title=title)
    for axis, name in zip(axes, names, strict=True):
        _draw(axis, table[table["method"] == name], table.attrs["confidences"][name], float(table.attrs["chance"]))
        note(axis, "held out")
        lost, by_chance = table.attrs["log_loss"][name], log(round(1 / table.attrs["chance"]))
        said = f"ECE {table.attrs['error'][name]:.2f}\nlog loss {lost:.2f}, chance {by_chance:.2f}"
        axis.set_title(f"{wrapped(name, LINE)}\n{said}", fontsize="small", pad=2 * NOTE)
    for axis in axes[1:]:
        axis.set_ylabel("")
    label = "batch left out,\n95 % interval" if by_batch else "95 % interval"
    beside(
        axes[-1],
        [
            Line2D([], [], color="#666666", linestyle="--", label="calibrated"),
            Line2D([], [], color=OKABE_ITO[0], marker="o", markersize=5, label=label),
            Patch(color=FAINT, label="how often"),
        ],
        loc=legend_loc,
    )
    entitle(axes, title)
    finish(axes[0].figure, show=show, save=save, name="calibration")
    return axes


def _draw(ax: Axes, table: pd.DataFrame, confidences: np.ndarray, chance: float) -> None:
    """Draw the curve of one method above the frequencies of its confidences."""
    counts, edges = np.histogram(confidences, bins=np.linspace(chance, 1.0, BARS + 1))
    ax.bar(edges[:-1], TALLEST * counts / counts.max(), width=np.diff(edges), align="edge", color=FAINT, linewidth=0)
    ax.plot([chance, 1.0], [chance, 1.0], color="#666666", linestyle="--", linewidth=1.1, zorder=1)
    ax.vlines(table["confidence"], table["low"], table["high"], color=OKABE_ITO[0], linewidth=1.6, zorder=3)
    ax.plot(table["confidence"], table["right"], color=OKABE_ITO[0], marker="o", markersize=5, zorder=4)
    margin = 0.03 * (1 - chance)
    ax.set(xlabel="confidence", ylabel="share right", xlim=(chance - margin, 1 + margin), ylim=(0.0, 1.03))
    ax.spines[["top", "right"]].set_visible(False)


def calibration_table(
    adata: AnnData, key: str, methods: str | Sequence[str] | None, n_bins: int, *, by_batch: bool = False
) -> pd.DataFrame:
    """Return what is drawn, a row per method and bin; errors, losses and all confidences by method are in `.attrs`."""
    entry = read_cross_validation(adata, key)
    C = len(entry["classes"])
    if not C:
        raise ValueError("The labels are numbers, so there are no probabilities; use sg.pl.cross_validation.")
    if by_batch and "by_batch" not in entry:
        raise KeyError(
            f"by_batch=True: adata.uns[{key!r}] has no predictions of batches that were left out. Pass batch_key to "
            "sg.tl.cross_validate."
        )
    part = entry["by_batch"] if by_batch else entry
    predictions = part["predictions"].astype({"method": str, "sample": str, "label": str})
    asked = _asked(list(dict.fromkeys(predictions["method"])), methods)
    donor_of = {str(name): int(group) for name, group in zip(entry["samples"], entry["groups"], strict=True)}
    groups = predictions["sample"].map(donor_of).to_numpy()
    codes = pd.Categorical(predictions["label"], [str(name) for name in entry["classes"]]).codes.astype(np.int64)
    probabilities = np.asarray(part["probabilities"], dtype=np.float64)
    tables = []
    about: dict[str, dict[str, Any]] = {"error": {}, "log_loss": {}, "confidences": {}}
    for name in asked:
        rows = (predictions["method"] == name).to_numpy()
        found = reliability(codes[rows], probabilities[rows], groups[rows], n_bins)
        tables.append(pd.DataFrame({"method": name} | vars(found)))
        about["error"][name] = found.error
        about["log_loss"][name] = log_loss(codes[rows], probabilities[rows])
        about["confidences"][name] = probabilities[rows].max(axis=1)
    out = pd.concat(tables, ignore_index=True)
    out.attrs |= about | {"chance": 1 / C}
    return out


def _asked(there: list[str], methods: str | Sequence[str] | None) -> list[str]:
    """Return the methods that are asked for; without any all but the majority class."""
    if methods is None:
        return [name for name in there if name != "majority"] or there
    asked = column_names(methods, "methods")
    if not asked or not set(asked) <= set(there):
        raise KeyError(f"methods={methods!r}: pass names of what was evaluated, {choices(there)}.")
    return asked
