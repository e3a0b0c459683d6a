"""Draw which cells and cell types contribute to the gap between classes."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from anndata import AnnData
from matplotlib.axes import Axes

from scggml._anndata.drawn import attributed_cells, attributed_types, attribution_seen
from scggml._anndata.genes import Component, pick_components
from scggml._anndata.messages import choices
from scggml._anndata.metric import read_metric
from scggml._arguments import check_names, shown
from scggml._core.metric import shares
from scggml._docs import documented
from scggml.pl._colors import FAINT, PLAIN, ink
from scggml.pl._figure import note, panels
from scggml.pl._legend import BELOW, check_loc, draw_legend
from scggml.pl._output import Title, entitle, finish

STATE, COMPOSITION = PLAIN, FAINT

MOST = 25
"""Cell types that have a bar of their own; the others are drawn as their sum."""

ROW = 0.17
"""Height of a bar with its name, in inches."""


@documented
def attribution(
    adata: AnnData,
    *,
    key: str = "ggml",
    components: tuple[Component, Component] = (1, 2),
    classes: tuple[str, str] | None = None,
    title: Title = None,
    legend_loc: str | None = "bottom margin",
    ncols: int | None = None,
    ax: Axes | Sequence[Axes] | None = None,
    show: bool | None = None,
    save: bool | str | Path | None = None,
) -> list[Axes]:
    """Draw the contributions of cells, in the learned space, and of cell types to the gap between classes.

    Left, orange cells are farther from other classes than from their own, violet ones nearer. Right, bars of cell types
    are split into state (the cells of a type differ) and composition (there are more or fewer of them, or room is made
    for others). Of more than 25 types, the 25 with the largest parts are drawn, and the sum of the others.

    Parameters
    ----------
    adata
        AnnData that `tl.attribute` has written to.
    key
        %(key_metric)s
    components
        Which two components to draw, by number from 1 or by name. (A metric of one component is drawn over the excess
        itself.)
    classes
        The two classes that the bars compare; None for the mean over all pairs of classes.
    title
        %(titles)s
    legend_loc
        %(legend_loc_other)s
    ncols
        %(ncols)s
    ax
        Axes to draw on: two where cell types are known, else one.
    show
        %(show)s
    save
        %(save)s

    Returns
    -------
    One axes of the cells and, where `tl.attribute` knew cell types, one of the types.

    Raises
    ------
    KeyError
        `tl.attribute` has not run for this metric.
    ValueError
        Components or classes that are not there.

    Examples
    --------
    >>> import scggml as sg
    >>> adata = sg.datasets.synthetic(n_noise=3, n_samples=3, n_cells=10)
    >>> sg.tl.ggml(adata, "sample_id", "label", n_comps=2, progress=False)
    >>> sg.tl.attribute(adata, cell_type_key="mode", progress=False)
    >>> axes = sg.pl.attribution(adata)
    >>> axes[1].get_yticklabels()[0].get_text()
    'specific'

    References
    ----------
    Okabe and Ito, *Color universal design*, 2008, for the colors.
    """
    drawn = _numbers(adata, key, components)
    if classes is not None:
        check_names("classes", classes)
    cells = attribution_cells(adata, key, drawn)
    types = attribution_types(adata, key, classes)
    check_loc(legend_loc, BELOW)
    axes = panels(1 if types is None else 2, ax, _size(types), ncols=ncols, title=title)
    _draw_cells(axes[0], cells, adata, key, drawn)
    if types is not None:
        _draw_types(axes[1], types, legend_loc)
    for panel in axes:
        note(panel, attribution_seen(adata, key))
    entitle(axes, title)
    finish(axes[0].figure, show=show, save=save, name="attribution")
    return axes


def _numbers(adata: AnnData, key: str, components: tuple[Component, Component]) -> tuple[int, int]:
    """Return the numbers of the two components; those of a metric of one component are not looked at."""
    stored = read_metric(adata, key)
    k = len(stored.components)
    if isinstance(components, str) or not isinstance(components, Sequence) or len(components) != 2:
        raise TypeError(
            f"components={shown(components)} is a {type(components).__name__}; pass two of the components of the "
            f"metric {key!r}, such as (1, 2)."
        )
    if k == 1:
        return 1, 2
    pick_components(adata, stored, components, "no cells")
    first, second = (pick_components(adata, stored, [component], "no cells")[0] for component in components)
    return first, second


def attribution_cells(adata: AnnData, key: str, components: tuple[int, int]) -> pd.DataFrame:
    """Return what is drawn of the cells: `x`, `y`, `excess`; those with the largest size of the excess last, on top."""
    stored = read_metric(adata, key)
    Z, excess = attributed_cells(adata, stored)
    k = len(stored.components)
    y = excess if k == 1 else Z[:, components[1] - 1]
    x = Z[:, 0 if k == 1 else components[0] - 1]
    table = pd.DataFrame({"x": x, "y": y, "excess": excess}, index=excess.index).dropna()
    return table.iloc[np.argsort(table["excess"].abs().to_numpy(), kind="stable")]


def attribution_types(adata: AnnData, key: str, classes: tuple[str, str] | None) -> pd.DataFrame | None:
    """Return what is drawn of the types: `cell_type`, `state`, `composition`, `excess` (the sum), largest first.

    A last row holds the sum of the types that have no bar of their own, if there are any.
    """
    table = attributed_types(adata, key)
    if table is None:
        return None
    table = table[table["class_a"] != table["class_b"]]
    if classes is not None:
        pair = {str(name) for name in classes}
        rows = [{a, b} == pair for a, b in zip(table["class_a"], table["class_b"], strict=True)]
        if not any(rows):
            known = pd.unique(table[["class_a", "class_b"]].to_numpy().ravel())
            raise ValueError(f"classes={classes!r} are not two of the classes {choices(known)}.")
        table = table[rows]
    means = table.groupby("cell_type", sort=False)[["excess_state", "excess_composition", "excess"]].mean()
    means = means.rename(columns={"excess_state": "state", "excess_composition": "composition"})
    means.index = means.index.astype(str)
    strongest = (means["state"].abs() + means["composition"].abs()).nlargest(MOST).index
    drawn = means.loc[strongest].sort_values("excess", ascending=False, kind="stable")
    rest = means.drop(index=strongest)
    if len(rest):
        drawn.loc[f"{len(rest)} more (sum)"] = rest.sum()
    return drawn.rename_axis("cell_type").reset_index()


def _size(types: pd.DataFrame | None) -> tuple[float, float]:
    """Return width and height of a panel in inches: each type has its row, and long names leave room for the bars."""
    if types is None:
        return 4.3, 3.4
    longest = max(len(name) for name in types["cell_type"])
    return 4.3 + 0.035 * max(0, longest - 14), max(3.4, 1.2 + ROW * len(types))  # both panels share a long name's room


def _draw_cells(ax: Axes, cells: pd.DataFrame, adata: AnnData, key: str, components: tuple[int, int]) -> None:
    reach = float(np.quantile(cells["excess"].abs(), 0.99)) or 1.0
    drawn = ax.scatter(
        cells["x"],
        cells["y"],
        c=cells["excess"],
        cmap="PuOr_r",
        vmin=-reach,
        vmax=reach,
        s=float(np.clip(20000 / len(cells), 2, 16)),
        linewidths=0,
        rasterized=True,
    )
    ax.set_facecolor("#F4F4F4")
    share = shares(read_metric(adata, key).singular_values)
    held_out = attribution_seen(adata, key) == "held out"  # coordinates of several metrics, in standard deviations
    extents = ["held out (sd)" if held_out else f"({part:.0%})" for part in share]
    names = [f"{key}{i} {extents[i - 1]}" if i <= len(share) else "excess" for i in components]
    ax.set(xlabel=names[0] if len(share) > 1 else f"{key}1", ylabel=names[1] if len(share) > 1 else "excess")
    ax.set(xticks=[], title="cells")
    if len(share) > 1:
        ax.set_yticks([])
    ax.spines[["top", "right"]].set_visible(False)
    bar = ax.figure.colorbar(drawn, ax=ax, shrink=0.8, extend="both")
    bar.set_label("excess distance", fontsize="small")
    bar.ax.tick_params(labelsize="small")


def _draw_types(ax: Axes, types: pd.DataFrame, legend_loc: str | None) -> None:
    places = np.arange(len(types))
    ax.use_sticky_edges = False  # else the longest bar ends at the edge, as if it were cut off
    for sign in (1, -1):  # parts of unlike sign go to either side of 0
        start = np.zeros(len(types))
        for column, color in (("state", STATE), ("composition", COMPOSITION)):
            part = np.where(np.sign(types[column]) == sign, types[column], 0.0)
            ax.barh(places, part, left=start, color=color, height=0.72, label=column if sign == 1 else None)
            start += part
    ax.plot(types["excess"], places, linestyle="", marker="D", color=ink(), markersize=4, label="sum")
    ax.axvline(0, color=ink(), linewidth=0.8)
    ax.set_yticks(places, types["cell_type"], fontsize="small")
    ax.set_ylim(len(types) - 0.4, -0.6)
    ax.set(xlabel="adds to the gap", title="cell types")
    ax.locator_params(axis="x", nbins=5)
    ax.tick_params(axis="y", length=0)
    ax.spines[["top", "right"]].set_visible(False)
    handles, _ = ax.get_legend_handles_labels()
    order = sorted(handles, key=lambda handle: handle.get_label() == "sum")
    # in letters, so that the distance is that of the labels whatever the height
    below = {"loc": "upper center", "bbox_to_anchor": (0.5, 0.0), "borderaxespad": 4.2, "frameon": False, "ncols": 3}
    draw_legend(
        ax,
        order,
        legend_loc,
        outside=below if legend_loc == BELOW else None,
        columnspacing=1.0,
        handletextpad=0.4,
        handlelength=1.2,
    )
