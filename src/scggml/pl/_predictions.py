"""Draw the predicted class probabilities of new samples."""

from pathlib import Path

import numpy as np
import pandas as pd
from anndata import AnnData
from matplotlib.axes import Axes
from matplotlib.patches import Patch

from scggml._anndata.drawn import predicted_classes
from scggml._docs import documented
from scggml.pl._figure import OKABE_ITO, finish, panels

UNLIKE = "unlike_reference"

WIDE = 8
"""Most classes that have colors of their own."""


@documented
def predictions(
    samples: AnnData,
    *,
    ax: Axes | None = None,
    show: bool = False,
    save: str | Path | None = None,
) -> Axes:
    """Draw the class probabilities of each new sample as a bar; samples unlike the reference are marked and pale.

    Parameters
    ----------
    samples
        AnnData of samples from `tl.predict`.
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
        No predictions.
    ValueError
        More classes than there are colors.

    Examples
    --------
    >>> import scggml as sg
    >>> adata = sg.datasets.synthetic(n_noise=3, n_samples=6, n_cells=10)
    >>> sg.tl.ggml(adata, "sample_id", "label", n_comps=2, progress=False)
    >>> new = sg.datasets.synthetic(n_noise=3, n_samples=2, n_cells=10, rng=1)
    >>> samples = sg.tl.predict(new, adata, n_splits=3, n_repeats=1, n_jobs=1, progress=False)
    >>> sg.pl.predictions(samples).get_xlabel()
    'probability'

    References
    ----------
    Okabe and Ito, *Color universal design*, 2008, for the colors.
    """
    table = predictions_table(samples)
    classes = [name for name in table.columns if name != UNLIKE]
    if len(classes) > WIDE:
        raise ValueError(f"There are {len(classes)} classes, but only {WIDE} distinct colors.")
    rows = np.arange(len(table))
    (ax,) = panels(1, ax, (4.6, 1.1 + 0.24 * len(table)))
    left = np.zeros(len(table))
    strange = table[UNLIKE].to_numpy(dtype=bool)
    for name, color in zip(classes, OKABE_ITO, strict=False):
        bars = ax.barh(rows, table[name], left=left, color=color, height=0.78, linewidth=0)
        for bar, pale in zip(bars, strange, strict=True):
            bar.set_alpha(0.3 if pale else 1.0)
        left += table[name].to_numpy()
    names = [f"{name} *" if pale else str(name) for name, pale in zip(table.index, strange, strict=True)]
    ax.set_yticks(rows, names, fontsize="small")
    ax.set_ylim(len(table) - 0.5, -0.5)
    ax.set(xlim=(0, 1), xlabel="probability")
    ax.tick_params(axis="y", length=0)
    ax.spines[["top", "right", "left"]].set_visible(False)
    handles = [Patch(color=color, label=name) for name, color in zip(classes, OKABE_ITO, strict=False)]
    if strange.any():
        handles.append(Patch(color="none", label="* unlike the reference"))
    ax.legend(handles=handles, loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=2, frameon=False, fontsize="small")
    finish(ax.figure, show=show, save=save)
    return ax


def predictions_table(samples: AnnData) -> pd.DataFrame:
    """Return what is drawn: samples x classes, and `unlike_reference`; by predicted class, most confident first."""
    table, unlike = predicted_classes(samples, UNLIKE)
    best = table.to_numpy().argmax(axis=1)
    order = np.lexsort((-table.to_numpy().max(axis=1), best))
    table[UNLIKE] = unlike
    return table.iloc[order]
