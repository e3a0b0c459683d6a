"""Draw the confusion matrix of a method."""

from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from anndata import AnnData
from matplotlib.axes import Axes

from scggml._anndata.keys import CROSS_VALIDATION
from scggml._anndata.messages import choices
from scggml._anndata.verdicts import read_cross_validation
from scggml._docs import documented
from scggml.pl._colors import FAINT
from scggml.pl._figure import panels, wrapped
from scggml.pl._fit import LARGEST, fit_names, fit_numbers, letters
from scggml.pl._output import Title, entitle, finish

CELL = 0.6
"""Side of a cell, in inches, where classes are few."""

WIDE = 0.075
"""Inches of a letter of a name."""

LINE, SHORT = 24, 9
"""Letters of a line of a name, and of the longest line that fits below a cell."""


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
        %(adata_evaluated)s
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
    names = [wrapped(str(name), LINE) for name in table.index]
    longest = letters(names)
    slanted = n > 2 or longest > SHORT
    side = float(np.clip((LARGEST - 4.0) / n, 0.2, CELL))
    below = 0.75 * WIDE * longest if slanted else 0.0  # at 45 degrees
    given = ax is not None
    heading = wrapped(str(table.attrs["method"]), max(LINE - 8, int(side * n / WIDE / 1.3)))
    size = (1.1 + max(WIDE * longest, below) + side * n, 1.3 + 0.18 * heading.count("\n") + below + side * n)
    (ax,) = panels(1, ax, size, title=title)
    if given:
        side = min(ax.bbox.width, ax.bbox.height) / ax.figure.figure.dpi / n
    ax.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    for i, j in np.ndindex(n, n):
        color = "white" if shares[i, j] > 0.5 else "black" if counts[i, j] else FAINT
        text = f"{shares[i, j]:.0%}\n({counts[i, j]:.3g})" if side > 0.45 else f"{100 * shares[i, j]:.0f}"
        ax.text(j, i, text, ha="center", va="center", fontsize="small" if side > 0.55 else 5.5, color=color)
    ax.set_xticks(range(n), names, fontsize="small")
    if slanted:
        plt.setp(ax.get_xticklabels(), rotation=45, ha="right", rotation_mode="anchor")
    ax.set_yticks(range(n), names, fontsize="small")
    if given:
        fit_names(ax)
        fit_numbers(ax, (n, n))
    ax.set(xlabel="predicted", ylabel="true", title=heading)
    ax.tick_params(length=0)
    ax.spines[:].set_visible(False)
    entitle([ax], title)
    finish(ax.figure, show=show, save=save, name="confusion")
    return ax


def confusion_table(adata: AnnData, key: str, method: str | None) -> pd.DataFrame:
    """Return what is drawn: true x predicted classes, mean number of samples; the method is in `.attrs`."""
    entry = read_cross_validation(adata, key)
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
