"""Draw samples in their order, with the genes and cell types that change along it."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from anndata import AnnData
from matplotlib.axes import Axes
from matplotlib.colors import Normalize

from scggml._anndata.drawn import obs_column, sample_genes
from scggml._anndata.messages import choices
from scggml._anndata.trajectory import read_trajectory, shares_along
from scggml._core.checks import check_rate, check_whole
from scggml._docs import documented
from scggml.pl._colors import MISSING, OKABE_ITO, PLAIN, Palette, groups, is_number
from scggml.pl._colors import palette as colors_of
from scggml.pl._figure import LINE, gene_names, note, panels, wrapped
from scggml.pl._fit import fit_names
from scggml.pl._output import Title, entitle, finish

CUT = 2.0
"""Standard deviations at which colors end."""

COLORS = "RdBu_r"
"""Low and high values; red and blue stay apart for color-blind readers."""

ROW, LETTER = 0.17, 0.085
"""Inches of a row, and of a letter of its name."""

WIDTH = 3.4
"""Inches of the axes."""

LINES = 10.0
"""Points of a line of what is written above."""

BELOW, LEVEL, HIGH = 1.6, 1.4, 3.0
"""Rows from the first one up to the lowest level of the label, of a level, and levels over which numbers stand."""

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
    title: Title = None,
    palette: Palette | None = None,
    ax: Axes | None = None,
    show: bool | None = None,
    save: bool | str | Path | None = None,
) -> Axes:
    """Draw samples in the order of a trajectory: above by their label, below genes and cell types along it.

    Each column of the lower part is a sample (of more than 40, the mean of neighbors), each row a gene or the share of
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
        Number of genes that are drawn at most by default, and of cell types.
    color
        Column of `.obs` by which samples stand and are colored, by default the label. (The correlation that is written
        is that of the label.)
    max_p_adjusted
        False discovery rate up to which a gene or type is drawn as significant.
    layer
        Layer of the samples to draw in place of `.X`.
    title
        %(title)s
    palette
        %(palette)s
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
    >>> ax = sg.pl.trajectory(samples, key="euclidean")
    >>> len(ax.collections[0].get_offsets())
    9

    References
    ----------
    Joodaki et al., *PILOT*, Molecular Systems Biology 2024, for genes along the trajectory of patients.
    """
    check_whole("n_genes", n_genes, 1)
    check_rate("max_p_adjusted", max_p_adjusted)
    order, entry = read_trajectory(samples, key)
    table = trajectory_table(samples, key, genes, n_genes=n_genes, max_p_adjusted=max_p_adjusted, layer=layer)
    label = color if color is not None else entry["params"].get("label_key")
    heights, ticks = _places(samples, label, order)
    colors: list[str] = [OKABE_ITO[0]] * len(order)
    if label is not None and not is_number(obs_column(samples, label)):
        by_name = colors_of(samples, label, given=palette)
        colors = [by_name.get(name, MISSING) for name in groups(obs_column(samples, label)).astype(object)]
    top = -BELOW - LEVEL * (max(ticks) if ticks else 0) - LEVEL / 2
    names = LETTER * max(map(len, [*table.index, *ticks.values()]), default=4)
    (ax,) = panels(1, ax, (names + WIDTH + 1.0, ROW * (len(table) - top) + 0.9), title=title)
    place = np.empty(len(order))
    place[np.argsort(order, kind="stable")] = np.arange(len(order))
    _draw_rows(ax, table, ROW * (len(table) - top))
    _draw_samples(ax, place, heights, colors)
    rows = range(len(table))
    ax.set_yticks([*rows, *(-BELOW - LEVEL * step for step in ticks)], [*table.index, *ticks.values()])
    for text, significant in zip(ax.get_yticklabels(), table["significant"], strict=False):
        text.set_color(PLAIN if significant else "#A0A0A0")
        text.set_fontweight("bold" if significant else "normal")
    ax.tick_params(length=0, labelsize="small")
    ax.set_ylim(len(table) - 0.5, top)
    said = _said(entry)
    ax.annotate(said, (0.0, 1.0), (0, 2), xycoords="axes fraction", textcoords="offset points", fontsize="small")
    note(ax, str(entry.get("seen")), up=LINES * (said.count("\n") + 1) + 2 if said else 2.0)
    fit_names(ax)
    entitle([ax], title)
    finish(ax.figure, show=show, save=save, name="trajectory")
    return ax


def _said(entry: Mapping[str, Any]) -> str:
    """Return how strongly the order follows the label, as text."""
    strength, p = float(entry["association"]), float(entry["p_value"])
    if not np.isfinite(strength):
        return ""
    name = wrapped(str(entry["params"]["label_key"]), LINE)
    return f"{name}: {entry['measure']} {strength:.2f}" + (f", p = {p:.2g}" if np.isfinite(p) else "")


def _places(samples: AnnData, label: str | None, order: np.ndarray) -> tuple[np.ndarray, dict[float, str]]:
    """Return how high each sample stands, in levels, and what is written at which height.

    Samples stand by their label, without one by pseudotime.
    """
    if label is None:
        return HIGH * order, {0.0: "0", HIGH: "pseudotime 1"}
    values = obs_column(samples, label)
    if is_number(values):
        numbers = values.to_numpy(dtype=float, na_value=np.nan)
        low, high = float(np.nanmin(numbers)), float(np.nanmax(numbers))
        span = (high - low) or 1.0
        return HIGH * (numbers - low) / span, {0.0: f"{low:.4g}", HIGH: f"{label} {high:.4g}"}
    found = groups(values)
    names = list(found.cat.categories)
    codes = found.cat.codes.to_numpy().astype(float)
    within = np.random.default_rng(0).uniform(-0.22, 0.22, len(codes)) * min(1.0, len(codes) / CROWD)
    return np.where(codes < 0, np.nan, codes + within), {float(i): name for i, name in enumerate(names)}


def _draw_samples(ax: Axes, place: np.ndarray, height: np.ndarray, colors: list[str]) -> None:
    """Draw each sample above the rows, at its place in the order."""
    size = 22.0 * min(1.0, CROWD / len(place)) + 3
    y = -BELOW - LEVEL * height
    ax.scatter(place, y, s=size, c=colors, linewidths=0.3, edgecolors="white", alpha=0.9)


def _draw_rows(ax: Axes, table: pd.DataFrame, height: float) -> None:
    """Draw genes and cell types as rows of colors, on axes of a height in inches."""
    values = table.drop(columns=["kind", "significant"]).to_numpy(dtype=float)
    n_columns = values.shape[1]
    drawn = ax.imshow(values, aspect="auto", cmap=COLORS, norm=Normalize(-CUT, CUT), interpolation="nearest")
    for row in np.flatnonzero((table["kind"] != table["kind"].shift()).to_numpy())[1:]:
        ax.axhline(row - 0.5, color="white", linewidth=3)
    ax.set_xticks([])
    ax.spines[:].set_visible(False)
    smoothed = " (means of neighbors)" if _window(n_columns) > 1 else ""
    ax.set_xlabel(f"samples, from first to last{smoothed}", fontsize="small")
    bar = ax.figure.colorbar(drawn, ax=ax, shrink=min(1.0, 1.2 / height), extend="both")
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
        types = entry["cell_types"].set_index("cell_type").head(n_genes)
        parts.append(_rows(types, shares[list(types.index)].to_numpy().T, order, "cell type", max_p_adjusted))
    return pd.concat(parts)


def _chosen(
    table: pd.DataFrame, samples: AnnData, genes: Sequence[str] | None, n_genes: int, max_p_adjusted: float
) -> pd.DataFrame:
    """Return the rows of the genes that are drawn."""
    if genes is not None:
        names = gene_names(genes)
        missing = [name for name in names if name not in table.index]
        if missing:
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
