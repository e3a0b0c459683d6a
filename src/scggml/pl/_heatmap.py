"""Draw the expression of genes in samples."""

from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from anndata import AnnData
from matplotlib.axes import Axes
from matplotlib.colors import Normalize, to_rgb
from scipy.cluster.hierarchy import leaves_list, linkage

from scggml._anndata.drawn import is_learned, obs_column, sample_genes
from scggml._core.checks import check_flag
from scggml._docs import documented
from scggml.pl._annotations import color_table
from scggml.pl._figure import (
    beside,
    column_names,
    finish,
    groups,
    is_number,
    note,
    panels,
)

CUT = 2.5
"""Standard deviations at which colors end."""

COLORS = "RdBu_r"
"""Low and high expression; red and blue stay apart for color-blind readers."""

ROW, COLUMN = 0.17, 0.13
"""Inches of a gene, and of a sample whose name is written."""

LETTER, SMALL = 0.085, 0.06
"""Inches of a letter, and of one of the names of samples."""

LINE = 0.19
"""Inches of an entry of the legend."""

NAMED = 60
"""Most samples whose names are written."""

ANNOTATIONS = "Greens"
"""Scale of numbers of samples, which is none of the expression."""

GRAYS = "Greys"
"""Scale of numbers beside the samples, which are not expression."""


@documented
def heatmap(
    samples: AnnData,
    genes: Sequence[str],
    *,
    color: str | Sequence[str] | None = None,
    layer: str | None = None,
    standardize: bool = True,
    ax: Axes | None = None,
    show: bool = False,
    save: str | Path | None = None,
) -> Axes:
    """Draw genes x samples, samples by group and within a group by likeness.

    Genes that were chosen because they differ between these samples do so here, whether or not they do in others; the
    figure says so where samples are those that a metric was learned on.

    Parameters
    ----------
    samples
        AnnData of samples from `tl.distances`, whose `.X` is the mean expression of genes.
    genes
        Names of genes in the order in which they are drawn, such as
        `sg.get.rank_genes_df(adata, component=1, n_genes=20)["gene"]`.
    color
        Columns of `.obs` that are drawn above the samples: groups, or numbers (in green). Samples are sorted by the
        first one.
    layer
        Layer to draw, such as `"fraction"` (share of the cells that express a gene), in place of `.X`.
    standardize
        Draw each gene in standard deviations from its mean over the samples; colors end at 2.5.
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
        No such gene, column or layer.
    ValueError
        No genes, or a gene that comes twice.
    TypeError
        A text in place of a list of genes, a column that is no text, `standardize` that is neither True nor False.

    Examples
    --------
    >>> import scggml as sg
    >>> adata = sg.datasets.synthetic(n_noise=3, n_samples=3, n_cells=10)
    >>> samples = sg.tl.distances(adata, metric="euclidean", sample_key="sample_id", progress=False)
    >>> ax = sg.pl.heatmap(samples, ["signal", "noise_1"], color="label")
    >>> [label.get_text() for label in ax.get_yticklabels()]
    ['label', 'signal', 'noise_1']

    References
    ----------
    Eisen et al., *Cluster analysis and display of genome-wide expression patterns*, PNAS 1998.
    """
    check_flag("standardize", standardize)
    columns = column_names(color)
    colors, entries = color_table(samples, columns, numbers=ANNOTATIONS)
    table = heatmap_table(samples, genes, columns, layer=layer, standardize=standardize)
    n_genes, n_samples = table.shape
    width = COLUMN * n_samples if n_samples <= NAMED else min(COLUMN * n_samples, 6.0)
    height = ROW * (n_genes + len(columns) + 0.2)
    # what stands around the matrix does not take of its room
    left = LETTER * max(map(len, [*table.index, *columns]))
    right = 1.0 + (0.4 + LETTER * max(len(str(entry.get_label())) for entry in entries) if entries else 0.0)
    below = SMALL * max(map(len, table.columns)) if n_samples <= NAMED else 0.1
    (ax,) = panels(1, ax, (left + max(width, 1.6) + right, max(0.6 + height + below, 0.3 + LINE * len(entries))))
    norm = Normalize(-CUT, CUT) if standardize else None
    drawn = ax.imshow(
        table.to_numpy(), aspect="auto", cmap=COLORS if standardize else GRAYS, norm=norm, interpolation="nearest"
    )
    ax.set_xticks([])
    if n_samples <= NAMED:
        ax.set_xticks(range(n_samples), table.columns, rotation=90, fontsize=6)
    ax.tick_params(length=0)
    places = [-1.2 - i for i in range(len(columns))]  # above the genes
    for place, name in zip(places, columns, strict=True):
        extent = (-0.5, n_samples - 0.5, place + 0.42, place - 0.42)
        strip = np.array([to_rgb(paint) for paint in colors.loc[table.columns, name]])
        ax.imshow(strip[None], aspect="auto", interpolation="nearest", extent=extent)
    ax.set_ylim(n_genes - 0.5, (places[-1] if places else 0.0) - 0.5)
    ax.set_yticks([*places, *range(n_genes)], [*columns, *table.index], fontsize="small")
    ax.spines[:].set_visible(False)
    first = obs_column(samples, columns[0]) if columns else None
    if first is not None and not is_number(first):
        codes = groups(first).cat.codes.loc[table.columns].to_numpy()
        for last in np.flatnonzero(np.diff(codes)):
            ax.axvline(last + 0.5, color="white", linewidth=1.5)
    label = "mean expression" if layer is None else layer
    bar = ax.figure.colorbar(drawn, ax=ax, shrink=min(1.0, 1.4 / height), extend="both" if standardize else "neither")
    bar.set_label(f"{label}, sd" if standardize else label, fontsize="small")
    if entries:
        beside(ax, entries, at=1.02)  # the color bar makes room for it
    # genes are most often those that were found in these samples, which then differ in them by choice
    if is_learned(samples):
        note(ax, "training", "genes that were chosen on them differ by choice")
    finish(ax.figure, show=show, save=save)
    return ax


def heatmap_table(
    samples: AnnData, genes: Sequence[str], columns: Sequence[str], *, layer: str | None, standardize: bool
) -> pd.DataFrame:
    """Return what is drawn, genes x samples, the samples in the order in which they are drawn."""
    if isinstance(genes, str) or not isinstance(genes, Iterable):
        kind = "one text" if isinstance(genes, str) else f"a {type(genes).__name__}"
        raise TypeError(f"genes={genes!r} is {kind}; pass a list of names, such as ['CD4', 'CD8A'].")
    names = [str(gene) for gene in genes]
    if not names or len(set(names)) < len(names):
        raise ValueError(f"genes={names[:5]!r}: pass at least one gene, each once.")
    dense = sample_genes(samples, names, layer)
    scaled = dense - dense.mean(axis=1, keepdims=True)
    spread = scaled.std(axis=1, keepdims=True)
    scaled = np.divide(scaled, spread, out=np.zeros_like(scaled), where=spread > 0)
    order = _order(samples, columns, scaled)
    values = scaled if standardize else dense
    return pd.DataFrame(values[:, order], index=names, columns=samples.obs_names[order])


def _order(samples: AnnData, columns: Sequence[str], scaled: np.ndarray) -> np.ndarray:
    """Return the samples by the first column, and within a group so that neighbors are alike."""
    everyone = np.arange(samples.n_obs)
    if columns:
        first = obs_column(samples, columns[0])
        if is_number(first):
            return np.argsort(first.to_numpy(dtype=float), kind="stable")
        codes = groups(first).cat.codes.to_numpy()
        codes = np.where(codes < 0, codes.max() + 1, codes)  # missing ones come last
        parts = [everyone[codes == code] for code in np.unique(codes)]
    else:
        parts = [everyone]
    return np.concatenate([part if len(part) < 3 else part[_leaves(scaled[:, part].T)] for part in parts])


def _leaves(rows: np.ndarray) -> np.ndarray:
    """Return the order of the leaves of a tree in which neighbors are as alike as they can be."""
    out: np.ndarray = leaves_list(linkage(rows, "average", optimal_ordering=len(rows) <= 500))
    return out
