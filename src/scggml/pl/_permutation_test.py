"""Draw the score of the true labels among those of permuted ones."""

from pathlib import Path

import numpy as np
import pandas as pd
from anndata import AnnData
from matplotlib.axes import Axes

from scggml._anndata.keys import PERMUTATION_TEST
from scggml._anndata.verdicts import read_permutation_test
from scggml._docs import documented
from scggml.pl._colors import OKABE_ITO
from scggml.pl._figure import panels
from scggml.pl._legend import ABOVE, check_loc, draw_legend
from scggml.pl._output import Title, entitle, finish

BINS = 25
"""Most bins of the histogram."""


@documented
def permutation_test(
    adata: AnnData,
    *,
    key: str = PERMUTATION_TEST,
    title: Title = None,
    legend_loc: str | None = "top margin",
    ax: Axes | None = None,
    show: bool | None = None,
    save: bool | str | Path | None = None,
) -> Axes:
    """Draw the scores that permuted labels reach, and the score of the true ones.

    Parameters
    ----------
    adata
        AnnData that `tl.permutation_test` has written to.
    key
        %(key_result)s
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

    Examples
    --------
    >>> import scggml as sg
    >>> adata = sg.datasets.synthetic(n_noise=3, n_samples=4, n_cells=10)
    >>> sg.tl.permutation_test(adata, "sample_id", "label", n_permutations=19, n_splits=2, n_jobs=1, progress=False)
    >>> ax = sg.pl.permutation_test(adata)
    >>> ax.get_xlabel()
    'held-out balanced accuracy'

    References
    ----------
    Phipson and Smyth, *Permutation p-values should never be zero*, 2010.
    """
    entry = read_permutation_test(adata, key)
    table = permutation_table(adata, key)
    check_loc(legend_loc, ABOVE)
    (ax,) = panels(1, ax, (4.2, 3.2), title=title)
    width = table["right"] - table["left"]
    ax.bar(
        table["left"], table["count"], width=width, align="edge", color=OKABE_ITO[5], edgecolor="white",
        linewidth=0.6, label=f"{len(entry['null'])} permutations of the labels",
    )  # fmt: skip
    ax.axvline(
        float(entry["observed"]),
        color=OKABE_ITO[1],
        linewidth=2.2,
        label=f"true labels, p = {float(entry['p_value']):.3g}",
    )
    name = {"balanced_accuracy": "balanced accuracy", "spearman": "Spearman correlation"}[str(entry["metric"])]
    ax.set(xlabel=f"held-out {name}", ylabel="permutations")
    ax.set_ylim(0, table["count"].max() * 1.08)
    ax.spines[["top", "right"]].set_visible(False)
    draw_legend(ax, ax.get_legend_handles_labels()[0], legend_loc)
    entitle([ax], title)
    finish(ax.figure, show=show, save=save, name="permutation_test")
    return ax


def permutation_table(adata: AnnData, key: str) -> pd.DataFrame:
    """Return what is drawn: `left`, `right`, `count` of each bin of the permuted scores, values in its middle.

    Scores of few samples take few values, so bins are steps between these where there are few.
    """
    null = np.asarray(read_permutation_test(adata, key)["null"])
    values = np.unique(np.round(null, 9))
    if len(values) == 1:
        edges = values[0] + np.array([-0.01, 0.01])
    elif len(values) <= BINS:
        step = np.diff(values).min()
        edges = np.arange(values[0] - step / 2, values[-1] + step, step)
        if len(edges) > 4 * BINS:
            edges = np.histogram_bin_edges(null, bins=BINS)
    else:
        edges = np.histogram_bin_edges(null, bins=BINS)
    counts, edges = np.histogram(null, bins=edges)
    return pd.DataFrame({"left": edges[:-1], "right": edges[1:], "count": counts})
