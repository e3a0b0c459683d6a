"""Draw samples in their order, with the genes and cell types that change along it."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from anndata import AnnData
from matplotlib.axes import Axes
from matplotlib.colors import Normalize

from scggml._anndata.drawn import obs_column, sample_genes
from scggml._anndata.messages import choices
from scggml._anndata.trajectory import read_trajectory, shares_along
from scggml._core.checks import check_whole
from scggml._docs import documented
from scggml.pl._figure import OKABE_ITO, PLAIN, finish, groups, is_number, note, palette, panels, wrapped

CUT = 2.0
"""Standard deviations at which colors end."""

COLORS = "RdBu_r"
"""Low and high values; red and blue stay apart for color-blind readers."""

ROW, LETTER = 0.17, 0.085
"""Inches of a row, and of a letter of its name."""

WIDTH, LEVEL_ROW = 3.4, 0.24
"""Inches of the axes, and of a level of the label."""

SMOOTHED = 40
"""Samples above which each column is the mean of so many neighbors that about as many stay apart."""

STRONGEST = 10
"""Genes that are drawn where none is significant."""

CROWD = 60
"""Samples above which points become smaller."""


@documented
def trajectory(
    samples: AnnData,
    *,
    key: str = "ggml_held_out",
    genes: Sequence[str] | None = None,
    n_genes: int = 20,
    color: str | None = None,
    max_p_adjusted: float = 0.05,
    layer: str | None = None,
    ax: Sequence[Axes] | None = None,
    show: bool = False,
    save: str | Path | None = None,
) -> list[Axes]:
    """Draw samples in the order of a trajectory: above by their label, below genes and cell types along it.

    Each column of the lower panel is a sample (of more than 40, the mean of neighbors), each row a gene or the share of
    a cell type in standard deviations from its mean. Rows are sorted by their correlation with the order. Names of rows
    that are not significant are gray.

    Parameters
    ----------
    samples
        AnnData of samples that `tl.trajectory` has written to.
    key
        Key of the distances or metric that it was computed for.
    genes
        Genes to draw; by default the most significant ones of the trajectory (where none is, the strongest 10).
    n_genes
        Number of genes that are drawn at most by default, half of them at either end of the correlation.
    color
        Column of `.obs` that colors the samples; by default the label.
    max_p_adjusted
        False discovery rate up to which a gene or type is drawn as significant.
    layer
        Layer of the samples to draw in place of `.X`.
    ax
        Two axes to draw on.
    show
        %(show)s
    save
        %(save)s

    Returns
    -------
    Both axes.

    Raises
    ------
    KeyError
        No such trajectory, gene, column or layer.
    ValueError
        No genes, or numbers out of range.

    Examples
    --------
    >>> import scggml as sg
    >>> adata = sg.datasets.synthetic(n_noise=3, n_samples=3, n_cells=10)
    >>> samples = sg.tl.distances(
    ...     adata, metric="euclidean", sample_key="sample_id", label_key="label", progress=False
    ... )
    >>> sg.tl.trajectory(samples, key="euclidean")
    >>> axes = sg.pl.trajectory(samples, key="euclidean")
    >>> len(axes[0].collections[0].get_offsets())
    9

    References
    ----------
    Joodaki et al., *PILOT*, Molecular Systems Biology 2024, for genes along the trajectory of patients.
    """
    check_whole("n_genes", n_genes, 1)
    if not 0 <= max_p_adjusted <= 1:
        raise ValueError(f"max_p_adjusted={max_p_adjusted!r} must be between 0 and 1.")
    order, entry = read_trajectory(samples, key)
    table = trajectory_table(samples, key, genes, n_genes=n_genes, max_p_adjusted=max_p_adjusted, layer=layer)
    label = color if color is not None else entry["params"].get("label_key")
    n_levels = (
        4
        if label is None or is_number(obs_column(samples, label))
        else len(groups(obs_column(samples, label)).cat.categories)
    )
    upper, lower = _axes(ax, table, n_levels)
    place = np.empty(len(order))
    place[np.argsort(order, kind="stable")] = np.arange(len(order))
    _draw_samples(upper, samples, label, place, order)
    _draw_rows(lower, table)
    strength, p = float(entry["association"]), float(entry["p_value"])
    if np.isfinite(strength):
        said = f"{entry['measure']} {strength:.2f}" + (f", p = {p:.2g}" if np.isfinite(p) else "")
        upper.set_title(said, fontsize="small", loc="left")
    note(upper, str(entry.get("seen")))
    finish(upper.figure, show=show, save=save)
    return [upper, lower]


def _axes(ax: Sequence[Axes] | None, table: pd.DataFrame, n_levels: int) -> list[Axes]:
    """Return the given axes, or two new ones of one width."""
    if ax is not None:
        return panels(2, ax, (WIDTH, WIDTH))
    heights = [max(LEVEL_ROW * (n_levels + 0.6), 0.7), ROW * (len(table) + 0.6)]
    names = LETTER * max(map(len, table.index), default=4)
    figure = plt.figure(figsize=(names + WIDTH + 1.0, sum(heights) + 0.9), layout="constrained")
    places = figure.add_gridspec(2, 1, height_ratios=heights)
    return [figure.add_subplot(places[0]), figure.add_subplot(places[1])]


def _draw_samples(ax: Axes, samples: AnnData, label: str | None, place: np.ndarray, order: np.ndarray) -> None:
    """Draw each sample at its place in the order: by its label, or by its pseudotime without one."""
    n = len(place)
    style: dict[str, Any] = {
        "s": 22.0 * min(1.0, CROWD / n) + 3,
        "linewidths": 0.3,
        "edgecolors": "white",
        "alpha": 0.9,
    }
    if label is None:
        ax.scatter(place, order, c=OKABE_ITO[0], **style)
        ax.set_ylabel("pseudotime")
    elif is_number(obs_column(samples, label)):
        ax.scatter(place, obs_column(samples, label), c=OKABE_ITO[0], **style)
        ax.set_ylabel(wrapped(label))
    else:
        values = groups(obs_column(samples, label))
        names = list(values.cat.categories)
        codes = values.cat.codes.to_numpy().astype(float)
        within = np.random.default_rng(0).uniform(-0.22, 0.22, n) * min(1.0, n / CROWD)
        colors = palette(samples, label)
        known = codes >= 0
        ax.scatter(place[known], (codes + within)[known], c=[colors[name] for name in values[known]], **style)
        ax.set_yticks(range(len(names)), [wrapped(name, 24) for name in names], fontsize="small")
        ax.set_ylim(-0.6, len(names) - 0.4)
    ax.set_xlim(-0.5, n - 0.5)
    ax.set_xticks([])
    ax.spines[["top", "right"]].set_visible(False)


def _draw_rows(ax: Axes, table: pd.DataFrame) -> None:
    """Draw genes and cell types as rows of colors."""
    values = table.drop(columns=["kind", "significant"]).to_numpy(dtype=float)
    norm = Normalize(-CUT, CUT)
    n_columns = values.shape[1]
    drawn = ax.imshow(values, aspect="auto", cmap=COLORS, norm=norm, interpolation="nearest")
    drawn.set_extent((-0.5, n_columns - 0.5, len(table) - 0.5, -0.5))
    ax.set_yticks(range(len(table)), table.index, fontsize="small")
    for text, significant in zip(ax.get_yticklabels(), table["significant"], strict=True):
        text.set_color(PLAIN if significant else "#A0A0A0")
        text.set_fontweight("bold" if significant else "normal")
    switch = np.flatnonzero((table["kind"] != table["kind"].shift()).to_numpy())[1:]
    for row in switch:
        ax.axhline(row - 0.5, color="white", linewidth=3)
    ax.set_xticks([])
    ax.tick_params(length=0)
    ax.spines[:].set_visible(False)
    ax.set_xlabel(
        "samples, from first to last" + (" (means of neighbors)" if _window(n_columns) > 1 else ""), fontsize="small"
    )
    bar = ax.figure.colorbar(drawn, ax=ax, shrink=min(1.0, 1.2 / (ROW * len(table))), extend="both")
    bar.set_label("sd", fontsize="small")
    bar.ax.tick_params(labelsize="small")


def trajectory_table(
    samples: AnnData,
    key: str,
    genes: Sequence[str] | None,
    *,
    n_genes: int,
    max_p_adjusted: float,
    layer: str | None,
) -> pd.DataFrame:
    """Return the rows that are drawn, by name: a column for each sample in its order, `kind` and `significant`."""
    order, entry = read_trajectory(samples, key)
    chosen = _chosen(entry["genes"].set_index("gene"), samples, genes, n_genes, max_p_adjusted)
    parts = [_rows(chosen, sample_genes(samples, list(chosen.index), layer), order, "gene", max_p_adjusted)]
    shares = shares_along(samples, key)
    if shares is not None:
        types = entry["cell_types"].set_index("cell_type")
        parts.append(_rows(types, shares[list(types.index)].to_numpy().T, order, "cell type", max_p_adjusted))
    return pd.concat(parts)


def _chosen(
    table: pd.DataFrame, samples: AnnData, genes: Sequence[str] | None, n_genes: int, max_p_adjusted: float
) -> pd.DataFrame:
    """Return the rows of the genes that are drawn."""
    if genes is not None:
        names = [genes] if isinstance(genes, str) else [str(gene) for gene in genes]
        missing = [name for name in names if name not in table.index]
        if missing or not names:
            raise KeyError(f"genes={names!r}: {choices(missing)} are not in the trajectory of {len(table)} genes.")
        return table.loc[names]
    table = table[table.index.isin(samples.var_names)]
    significant = table[table["p_adjusted"] <= max_p_adjusted]
    if significant.empty:
        return table.sort_values("r2", ascending=False, kind="stable").head(min(STRONGEST, n_genes))
    return significant.head(n_genes)


def _rows(table: pd.DataFrame, values: np.ndarray, order: np.ndarray, kind: str, max_p_adjusted: float) -> pd.DataFrame:
    """Return standardized (n, P) values in the order of the samples, rows that fall first."""
    values = values[:, np.argsort(order, kind="stable")]
    window = _window(values.shape[1])
    if window > 1:
        values = pd.DataFrame(values.T).rolling(window, center=True, min_periods=1).mean().to_numpy().T
    centered = values - np.nanmean(values, axis=1, keepdims=True)
    spread = np.nanstd(centered, axis=1, keepdims=True)
    scaled = np.divide(centered, spread, out=np.zeros_like(centered), where=spread > 0)
    out = pd.DataFrame(scaled, index=table.index.astype(str).rename(None))
    out["kind"], out["significant"] = kind, (table["p_adjusted"] <= max_p_adjusted).to_numpy()
    return out.iloc[np.argsort(table["rho"].to_numpy(), kind="stable")]


def _window(n_samples: int) -> int:
    """Return how many neighbors a column is the mean of."""
    return max(1, n_samples // SMOOTHED)
