"""Draw the confusion matrix of a method."""

from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from anndata import AnnData
from matplotlib.axes import Axes

from scggml._anndata.keys import CROSS_VALIDATION
from scggml._anndata.messages import choices
from scggml._anndata.results import read_entry
from scggml._docs import documented
from scggml.pl._figure import panels
from scggml.pl._output import Title, entitle, finish


@documented
def confusion(
    adata: AnnData,
    *,
    method: str | None = None,
    key: str = CROSS_VALIDATION,
    title: Title = None,
    ax: Axes | None = None,
    show: bool | None = None,
    save: bool | str | Path | None = None,
) -> Axes:
    """Draw the confusion matrix of one method: for each true class, the share of its samples predicted as each class.

    Parameters
    ----------
    adata
        AnnData that `tl.cross_validate` or `tl.tune` has written to.
    method
        Which method; by default the first one.
    key
        %(key_result)s
    title
        %(title)s
    ax
        %(ax)s
    show
        %(show)s
    save
        %(save)s

    Returns
    -------
    The axes. In brackets stands the mean number of samples over the repeats.

    Raises
    ------
    KeyError
        No such result or method.
    ValueError
        Numbers have no classes.

    Examples
    --------
    >>> import scggml as sg
    >>> adata = sg.datasets.synthetic(n_noise=3, n_samples=6, n_cells=10)
    >>> options = {"n_splits": 3, "n_repeats": 2, "n_jobs": 1, "progress": False}
    >>> sg.tl.cross_validate(adata, "sample_id", "label", methods=["canonical"], **options)
    >>> sg.pl.confusion(adata).get_title()
    'canonical'

    References
    ----------
    Stehman, *Selecting and interpreting measures of thematic classification accuracy*, 1997.
    """
    table = confusion_table(adata, key, method)
    counts = table.to_numpy(dtype=np.float64)
    shares = counts / counts.sum(axis=1, keepdims=True)
    n = len(table)
    (ax,) = panels(1, ax, (1.9 + 0.65 * n, 1.5 + 0.6 * n), title=title)
    ax.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    for i, j in np.ndindex(n, n):
        color = "white" if shares[i, j] > 0.5 else "black"
        text = f"{shares[i, j]:.0%}\n({counts[i, j]:.3g})"
        ax.text(j, i, text, ha="center", va="center", fontsize="small", color=color)
    ax.set_xticks(range(n), list(table.columns))
    if n > 2:
        plt.setp(ax.get_xticklabels(), rotation=45, ha="right", rotation_mode="anchor")
    ax.set_yticks(range(n), list(table.index))
    ax.set(xlabel="predicted", ylabel="true", title=str(table.attrs["method"]))
    ax.tick_params(length=0)
    ax.spines[:].set_visible(False)
    entitle([ax], title)
    finish(ax.figure, show=show, save=save, name="confusion")
    return ax


def confusion_table(adata: AnnData, key: str, method: str | None) -> pd.DataFrame:
    """Return what is drawn: true x predicted classes, mean number of samples; the method is in `.attrs`."""
    entry = read_entry(adata, key, kind="cross_validation", made_by="cross_validate")
    classes = [str(name) for name in entry["classes"]]
    if not classes:
        raise ValueError("The labels are numbers, so there is no confusion matrix; use sg.pl.cross_validation.")
    predictions = entry["predictions"].astype({"method": str, "label": str, "prediction": str})
    there = list(dict.fromkeys(predictions["method"]))
    method = there[0] if method is None else method
    if method not in there:
        raise KeyError(f"method={method!r} was not evaluated; choose from {choices(there)}.")
    part = predictions[predictions["method"] == method]
    counts = pd.crosstab(part["label"], part["prediction"]).reindex(index=classes, columns=classes, fill_value=0)
    table = counts / part["repeat"].nunique()
    table.attrs["method"] = method
    return table
