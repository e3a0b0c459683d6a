"""How learning went."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from anndata import AnnData
from matplotlib.axes import Axes
from matplotlib.ticker import Locator, LogLocator, MaxNLocator, NullFormatter, PercentFormatter

from scggml._anndata.metric import read_stored
from scggml.pl._figure import OKABE_ITO, finish, panels

TITLES = {"loss": "objective", "gradient_norm": "gradient norm", "active": "active triplets"}


def history(
    adata: AnnData,
    *,
    key: str = "ggml",
    ax: Sequence[Axes] | None = None,
    show: bool = False,
    save: str | Path | None = None,
) -> list[Axes]:
    """Objective, norm of its gradient and share of active triplets for each pass of learning.

    The dotted line marks the pass whose metric was kept where the stopping rule was on. Passes over all cells after
    learning on a summary of them have a gray ground. A metric without gradient steps has the one point of its start.

    Parameters
    ----------
    adata
        AnnData that `tl.ggml` has written to.
    key
        Key of the metric.
    ax
        Three axes to draw on.
    show
        Call `plt.show()`.
    save
        File to write.

    Returns
    -------
    The three axes.

    Raises
    ------
    KeyError
        No such metric.

    Examples
    --------
    >>> import scggml as sg
    >>> adata = sg.datasets.synthetic(n_noise=3, n_samples=3, n_cells=10)
    >>> sg.tl.ggml(adata, "sample_id", "label", n_comps=2, max_iter=300, progress=False)
    >>> [ax.get_title() for ax in sg.pl.history(adata)]
    ['objective', 'gradient norm', 'active triplets']

    References
    ----------
    Kühn and Schaub, *Global Ground Metric Learning with Applications to scRNA data*, AISTATS 2025 (PMLR 258).
    """
    table = history_table(adata, key)
    refined = int(adata.uns[key].get("refined", 0))
    first = len(table) - refined if refined else 0
    kept = None
    if refined or float(adata.uns[key]["params"]["tol"]) > 0:
        kept = first + int(table["loss"].to_numpy()[first:].argmin())
    axes = panels(3, ax, (3.2, 2.7))
    for panel, column in zip(axes, TITLES, strict=True):
        marker = "o" if len(table) == 1 else None
        panel.plot(table.index, table[column], color=OKABE_ITO[0], linewidth=1.5, marker=marker)
        if kept is not None and len(table) > 1:
            panel.axvline(kept, color="#888888", linewidth=1, linestyle=":")
        if refined:
            panel.axvspan(len(table) - refined - 0.5, len(table) - 0.5, color="#EEEEEE", linewidth=0, zorder=0)
        panel.set(title=TITLES[column], xlabel="pass")
        panel.xaxis.set_major_locator(MaxNLocator(5, integer=True, min_n_ticks=1))
        panel.spines[["top", "right"]].set_visible(False)
    axes[0].set_ylim(0, 1.05 * max(table["loss"].max(), np.finfo(float).tiny))
    axes[2].set_ylim(0, 1)
    axes[2].yaxis.set_major_formatter(PercentFormatter(1.0))
    if (table["gradient_norm"] > 0).all():
        axes[1].set_yscale("log")
        axes[1].yaxis.set_major_locator(_log_ticks(table["gradient_norm"]))
        axes[1].yaxis.set_major_formatter("{x:g}")
        axes[1].yaxis.set_minor_formatter(NullFormatter())
    finish(axes[0].figure, show=show, save=save)
    return axes


def _log_ticks(values: pd.Series) -> Locator:
    """A few ticks at round numbers, however many decades there are."""
    span = values.max() / values.min()
    if span < 5:
        return MaxNLocator(5, steps=[1, 2, 5, 10])
    return LogLocator(subs=(1.0,) if span > 100 else (1.0, 2.0, 5.0))


def history_table(adata: AnnData, key: str) -> pd.DataFrame:
    """What is drawn: `loss`, `gradient_norm`, `active`, a row for each pass."""
    record = adata.uns[read_stored(adata, key).key]["history"]
    return pd.DataFrame({column: np.asarray(record[column]) for column in TITLES})
