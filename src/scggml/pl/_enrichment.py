"""Draw gene sets of the components."""

import re
from collections.abc import Sequence
from pathlib import Path

import matplotlib as mpl
import numpy as np
import pandas as pd
from anndata import AnnData
from matplotlib.axes import Axes
from matplotlib.collections import PathCollection
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator
from matplotlib.transforms import ScaledTranslation

from scggml._anndata.genes import check_sources, read_enrichment
from scggml._anndata.messages import choices
from scggml._core.checks import check_rate, check_whole
from scggml._docs import documented
from scggml.pl._colors import NUMBERS
from scggml.pl._figure import note, panels
from scggml.pl._fit import LARGEST as TALLEST
from scggml.pl._fit import fit_names
from scggml.pl._legend import RIGHT, check_loc, draw_legend, heading
from scggml.pl._output import LOG_P, Title, entitle, finish

LONGEST = 48
"""Letters of a term that are shown."""

LARGEST = 150.0
"""Area of the dot of the largest intersection, in square points; a dot fits into its row."""

MOST = 40
"""Sets that fit a page."""

LETTER = 8.3
"""Size of the letters of legends, in points, on which the places of legend and color bar depend."""


@documented
def enrichment(
    adata: AnnData,
    *,
    key: str = "ggml",
    n_terms: int = 5,
    max_p_adjusted: float = 0.05,
    sources: Sequence[str] | None = None,
    title: Title = None,
    legend_loc: str | None = "right margin",
    ax: Axes | None = None,
    show: bool | None = None,
    save: bool | str | Path | None = None,
) -> Axes:
    """Draw the most significant gene sets of each direction of each component, as dots.

    Parameters
    ----------
    adata
        %(adata_enrichment)s
    key
        %(key_metric)s
    n_terms
        Most sets that each direction of a component brings in; each is then drawn wherever it is significant. Where
        they would be more than 40, each direction brings in fewer, as is said above.
    max_p_adjusted
        %(max_p_adjusted_sets)s
    sources
        Such as `["GO:BP"]`; None for all.
    title
        %(title)s
    legend_loc
        %(legend_loc)s
    ax
        %(ax)s
    show
        %(show)s
    save
        %(save)s

    Returns
    -------
    The axes: terms from top to bottom, directions of components from left to right. The area of a dot is proportional
    to the size of the intersection (of the set, for tests on all genes), its color is the p-value.

    Raises
    ------
    KeyError
        No gene sets were computed yet.
    ValueError
        No set is significant.

    Examples
    --------
    >>> import scanpy as sc
    >>> import scggml as sg
    >>> adata = sg.datasets.synthetic_counts(n_samples=4, n_cells=30, n_genes=80, n_planted=8)
    >>> sc.pp.log1p(adata)
    >>> sg.tl.ggml(adata, "sample_id", "label", n_comps=2, progress=False)
    >>> sg.tl.rank_genes(adata, progress=False)
    >>> strong = sg.get.rank_genes_df(adata, component=1, n_genes=8)["gene"]
    >>> sg.ext.enrich_gmt(adata, {"strong": strong}, n_genes=10)
    >>> ax = sg.pl.enrichment(adata)
    >>> [label.get_text() for label in ax.get_yticklabels()]
    ['strong']

    References
    ----------
    Kolberg et al., *g:Profiler (2023 update)*, Nucleic Acids Research 2023.
    """
    table = enrichment_table(adata, key=key, n_terms=n_terms, max_p_adjusted=max_p_adjusted, sources=sources)
    terms, directions = list(dict.fromkeys(table["term"])), list(table["direction"].cat.categories)
    widest = max(len(term) for term in terms)
    tallest = max(len(direction) for direction in directions)  # names of columns are turned
    row = min(0.24, (TALLEST - 1.0 - 0.065 * tallest) / len(terms))
    size = (2.2 + 0.075 * widest + 0.42 * len(directions), 0.7 + 0.065 * tallest + row * max(len(terms), 6))
    given = ax is not None
    check_loc(legend_loc)
    (ax,) = panels(1, ax, size, title=title)
    drawn = ax.scatter(
        [directions.index(direction) for direction in table["direction"]],
        [terms.index(term) for term in table["term"]],
        s=areas(table["size"].to_numpy(), table["size"].to_numpy()),
        c=table["log_p"],
        cmap=mpl.colormaps[NUMBERS].reversed(),
        vmin=0.0,
        vmax=max(1.0, float(table["log_p"].max())),  # where all p-values are 1 a color stands for 1 still
        edgecolors="#444444",
        linewidths=0.4,
    )
    ax.set_xticks(range(len(directions)), directions, rotation=90, fontsize="small")
    ax.set_yticks(range(len(terms)), terms, fontsize="small")
    ax.set_xlim(-0.6, len(directions) - 0.4)
    ax.set_ylim(len(terms) - 0.4, -0.6)
    ax.set_axisbelow(True)
    ax.grid(color="#E5E5E5", linewidth=0.6)
    ax.tick_params(length=0)
    ax.spines[:].set_color("#BBBBBB")
    entries = _sizes(table["size"].to_numpy())
    close = {"borderaxespad": 0.0, "borderpad": 0.2}
    draw_legend(ax, entries, legend_loc, outside=close, fontsize=LETTER, labelspacing=0.8)
    _draw_bar(ax, drawn, below=len(entries) if legend_loc == RIGHT else 0)
    left_out = int(table.attrs["n_terms"]) - len(terms)
    note(ax, "training", f"{len(terms)} of {left_out + len(terms)} sets" if left_out else "")
    if given or row < 0.2:
        fit_names(ax)
    entitle([ax], title)
    finish(ax.figure, show=show, save=save, name="enrichment")
    return ax


def _draw_bar(ax: Axes, drawn: PathCollection, *, below: int) -> None:
    """Draw the color bar below a legend of so many entries, at a distance that is the same whatever the axes' size."""
    inch = LETTER / 72
    top = -inch * (2.0 * below + 2.2)  # the legend, and the title of the bar
    upper_right = ScaledTranslation(1.0, 1.0, ax.transAxes)  # type: ignore[arg-type]  # moves by any affine transform
    corner = ax.figure.dpi_scale_trans + upper_right  # in inches
    place = ax.inset_axes((0.16, top - inch, 0.9, inch), transform=corner)
    bar = ax.figure.colorbar(drawn, cax=place, orientation="horizontal")
    place.set_title(LOG_P, fontsize=LETTER, loc="left", pad=3.0)
    place.tick_params(labelsize=LETTER)
    bar.locator = MaxNLocator(nbins=3, steps=[1, 2, 5, 10])


def enrichment_table(
    adata: AnnData, *, key: str, n_terms: int, max_p_adjusted: float, sources: Sequence[str] | None
) -> pd.DataFrame:
    """Return what is drawn, a row for each dot: `term`, `direction` ("ggml1 higher in cSLE"), `size` and `log_p`."""
    check_whole("n_terms", n_terms, 1)
    check_rate("max_p_adjusted", max_p_adjusted)
    full = read_enrichment(adata, key)
    if sources is not None:
        check_sources(adata, key, sources, "sources")
    table = full if sources is None else full[full["source"].isin(list(sources))]
    kept = table[table["p_adjusted"] <= max_p_adjusted]
    if kept.empty:
        raise ValueError(
            f"No gene set has an adjusted p-value of at most {max_p_adjusted} ({len(table)} of {len(full)} rows are "
            f"of these sources; sources: {choices(full['source'].unique())}). Raise max_p_adjusted, or ask again "
            "with other n_genes."
        )
    every = _first(kept, n_terms)
    # The best of each direction are kept as long as they can be.
    chosen = next((some for n in range(n_terms, 1, -1) if len(some := _first(kept, n)) <= MOST), _first(kept, 1)[:MOST])
    position = {term: i for i, term in enumerate(chosen)}
    rows = [pair in position for pair in zip(kept["source"], kept["native"], strict=True)]
    kept = kept[rows]
    order = [position[pair] for pair in zip(kept["source"], kept["native"], strict=True)]
    found = _directions(kept)
    columns = [direction for direction in dict.fromkeys(_directions(full)) if direction in set(found)]
    smallest = np.finfo(float).tiny
    out = pd.DataFrame(
        {
            "term": [shortened(name) for name in kept["name"]],
            "direction": pd.Categorical(found, categories=columns),
            "size": kept["intersection_size"].to_numpy(),
            "log_p": -np.log10(np.maximum(kept["p_adjusted"].to_numpy(), smallest)) + 0.0,
        }
    )
    out = out.assign(order=order).sort_values(["order", "direction"]).drop(columns="order").reset_index(drop=True)
    out.attrs["n_terms"] = len(every)
    return out


def _first(table: pd.DataFrame, n: int) -> list[tuple[str, str]]:
    """Return source and identifier of the `n` most significant sets of each direction, each once."""
    best = table.groupby(["component", "direction"], sort=False).head(n)
    return list(dict.fromkeys(zip(best["source"], best["native"], strict=True)))


def _directions(table: pd.DataFrame) -> list[str]:
    return [
        f"{component} {direction}" for component, direction in zip(table["component"], table["direction"], strict=True)
    ]


def shortened(name: str) -> str:
    """Return a term's name as it is shown: without its id, a collection's capitals and underscores, not too long."""
    name = re.sub(r"\s*\(GO:\d+\)$", "", name)
    words = name.split("_")
    if len(words) > 1 and name == name.upper():
        text = " ".join(words[1:]).lower()
        name = text[:1].upper() + text[1:]
    return name if len(name) <= LONGEST else name[: LONGEST - 1].rstrip() + "…"


def areas(sizes: np.ndarray, of: np.ndarray) -> np.ndarray:
    """Return areas of dots, proportional to the number of genes; the largest of `of` has the largest dot."""
    return LARGEST * sizes / of.max()


def _sizes(sizes: np.ndarray) -> list[Line2D]:
    """Return legend entries: the smallest, a middle and the largest intersection."""
    steps = np.unique([sizes.min(), int((sizes.min() + sizes.max()) // 2), sizes.max()])
    dots = [
        Line2D([], [], marker="o", linestyle="", color="#888888", markersize=np.sqrt(area), label=str(step))
        for step, area in zip(steps, areas(steps, sizes), strict=True)
    ]
    return [heading("genes"), *dots]
