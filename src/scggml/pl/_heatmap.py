"""Draw the expression of genes in samples."""

from collections.abc import Sequence
from pathlib import Path

import matplotlib as mpl
import numpy as np
import pandas as pd
from anndata import AnnData
from matplotlib.axes import Axes
from matplotlib.colors import Normalize, to_hex, to_rgb
from matplotlib.lines import Line2D
from scipy.cluster.hierarchy import leaves_list, linkage

from scggml._anndata.drawn import obs_column, sample_genes
from scggml._docs import documented
from scggml.pl._figure import MISSING, embolden, finish, groups, heading, is_number, marks, palette, panels

CUT = 2.5
"""Standard deviations at which colors end."""

COLORS = "RdBu_r"
"""Low and high expression; red and blue stay apart for color-blind readers."""

ROW, COLUMN = 0.17, 0.13
"""Inches of a gene, and of a sample whose name is written."""

LINE = 0.19
"""Inches of an entry of the legend."""

NAMED = 60
"""Most samples whose names are written."""

GAP = "#F3E3C3"
"""Color of a number that is missing, which no gray is."""

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

    Parameters
    ----------
    samples
        AnnData of samples from `tl.distances`, whose `.X` is the mean expression of genes.
    genes
        Names of genes in the order in which they are drawn, such as
        `sg.get.rank_genes_df(adata, component=1, n_genes=20)["gene"]`.
    color
        Columns of `.obs` that are drawn above the samples: groups, or numbers (in gray). Samples are sorted by the
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
        A text in place of a list.

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
    columns = [] if color is None else [color] if isinstance(color, str) else list(color)
    shown = [obs_column(samples, name) for name in columns]
    table = heatmap_table(samples, genes, columns, layer=layer, standardize=standardize)
    n_genes, n_samples = table.shape
    width = COLUMN * n_samples if n_samples <= NAMED else min(COLUMN * n_samples, 6.0)
    height = ROW * (n_genes + len(columns) + 0.2)
    strips, used = list[tuple[str, np.ndarray, list[Line2D]]](), 0
    for name, column in zip(columns, shown, strict=True):
        colors, found = _strip(samples, name, column.loc[table.columns], used)
        used += 0 if is_number(column) else len(found) - 1
        strips.append((name, colors, found))
    entries = [entry for *_, found in strips for entry in found]
    below = 0.5 if n_samples <= NAMED else 0.1  # names
    (ax,) = panels(1, ax, (2.8 + max(width, 1.6), max(1.0 + height + below, 0.3 + LINE * len(entries))))
    norm = Normalize(-CUT, CUT) if standardize else None
    drawn = ax.imshow(
        table.to_numpy(), aspect="auto", cmap=COLORS if standardize else GRAYS, norm=norm, interpolation="nearest"
    )
    ax.set_xticks([])
    if n_samples <= NAMED:
        ax.set_xticks(range(n_samples), table.columns, rotation=90, fontsize=6)
    ax.tick_params(length=0)
    places = [-1.2 - i for i in range(len(strips))]  # above the genes
    for place, (_, colors, _) in zip(places, strips, strict=True):
        extent = (-0.5, n_samples - 0.5, place + 0.42, place - 0.42)
        ax.imshow(colors[None], aspect="auto", interpolation="nearest", extent=extent)
    ax.set_ylim(n_genes - 0.5, (places[-1] if places else 0.0) - 0.5)
    ax.set_yticks([*places, *range(n_genes)], [*columns, *table.index], fontsize="small")
    ax.spines[:].set_visible(False)
    if shown and not is_number(shown[0]):
        codes = groups(shown[0]).cat.codes.loc[table.columns].to_numpy()
        for last in np.flatnonzero(np.diff(codes)):
            ax.axvline(last + 0.5, color="white", linewidth=1.5)
    label = "mean expression" if layer is None else layer
    bar = ax.figure.colorbar(drawn, ax=ax, shrink=min(1.0, 1.4 / height), extend="both" if standardize else "neither")
    bar.set_label(f"{label}, sd" if standardize else label, fontsize="small")
    if entries:
        # the color bar makes room for it
        legend = ax.legend(
            handles=entries, loc="upper left", bbox_to_anchor=(1.02, 1.0), frameon=False, fontsize="small"
        )
        embolden(legend)
    finish(ax.figure, show=show, save=save)
    return ax


def heatmap_table(
    samples: AnnData, genes: Sequence[str], columns: Sequence[str], *, layer: str | None, standardize: bool
) -> pd.DataFrame:
    """Return what is drawn, genes x samples, the samples in the order in which they are drawn."""
    if isinstance(genes, str):
        raise TypeError(f"genes={genes!r} is one text; pass a list of names, such as [{genes!r}].")
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


def _strip(samples: AnnData, name: str, values: pd.Series, used: int) -> tuple[np.ndarray, list[Line2D]]:
    """Return (n_samples, 3) colors of a column, and the entries of its legend; `used` colors are those of others."""
    if is_number(values):
        numbers = values.to_numpy(dtype=float)
        known = numbers[np.isfinite(numbers)]
        low, high = (known.min(), known.max()) if len(known) else (0.0, 0.0)
        colors = mpl.colormaps[GRAYS](0.15 + 0.85 * (np.nan_to_num(numbers) - low) / ((high - low) or 1.0))[:, :3]
        colors[~np.isfinite(numbers)] = to_rgb(GAP)
        shown_ends = [(low, 0.15), (high, 1.0)] if len(known) else []
        ends = {f"{value:g}": to_hex(mpl.colormaps[GRAYS](at)) for value, at in shown_ends}
        gap = {"missing": GAP} if len(known) < len(numbers) else {}
        return colors, [heading(name), *marks(ends | gap, marker="s")]
    paints = palette(samples, name, used=used)
    shown = groups(values).astype(object)
    missing = {"missing": MISSING} if shown.isna().any() else {}
    colors = np.array([to_rgb(paints.get(value, MISSING)) for value in shown])
    return colors, [heading(name), *marks(paints | missing, marker="s")]
