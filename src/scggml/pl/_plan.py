"""Draw the flow between the cell types of two samples."""

from pathlib import Path

import numpy as np
import pandas as pd
from anndata import AnnData
from matplotlib.axes import Axes
from matplotlib.patches import PathPatch, Rectangle
from matplotlib.path import Path as Curve

from scggml._anndata.drawn import plan_ends, plan_entries, plan_info
from scggml._anndata.messages import check_adata
from scggml._core.checks import check_number
from scggml._docs import documented
from scggml.pl._colors import MISSING, PLAIN, Palette, chosen, distinct, groups
from scggml.pl._figure import note, panels, spread, wrapped
from scggml.pl._fit import letters
from scggml.pl._output import Title, entitle, finish

WIDTH = 0.06
"""Width of the bars of the types; the samples are 1 apart."""

SPACE = 0.015
"""Space between the bars of two types, as a share of all mass."""

MOST = 23
"""Types that are drawn on their own, those with most mass in either sample; the others are drawn as one."""

ROW, LINE = 0.34, 0.15
"""Height of the figure for each type, and of a line of text, in inches."""

LONG, SHORT = 24, 8
"""Letters of a line of the name of a sample, and of names between which a note fits."""


@documented
def plan(
    plan: AnnData,
    cell_type_key: str,
    *,
    min_mass: float = 0.002,
    title: Title = None,
    palette: Palette | None = None,
    ax: Axes | None = None,
    show: bool | None = None,
    save: bool | str | Path | None = None,
) -> Axes:
    """Draw the mass that the optimal plan of two samples moves from cell type to cell type.

    Bands are as thick as their mass and have the color of the type where they start, darker where the type stays
    itself. Of more than 23 types, those with most mass are drawn, and the others together in gray.

    Parameters
    ----------
    plan
        What `tl.plan` returned.
    cell_type_key
        Column of `.obs` and `.var` with the types.
    min_mass
        Leave out flows of less mass than this share.
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
        No such column, or an AnnData that is no plan.

    Examples
    --------
    >>> import scggml as sg
    >>> adata = sg.datasets.synthetic(n_noise=3, n_samples=3, n_cells=10)
    >>> sg.tl.ggml(adata, "sample_id", "label", n_comps=2, progress=False)
    >>> first, second = adata.obs["sample_id"].unique()[:2]
    >>> ax = sg.pl.plan(sg.tl.plan(adata, first, second), "mode")
    >>> len(ax.patches)  # three types on either side, three flows that stay
    9

    References
    ----------
    Peyré and Cuturi, *Computational Optimal Transport*, 2019, chapter 2.
    """
    check_adata(plan, "plan")
    check_number("min_mass", min_mass, "a share of the mass from 0 to 1", 0, np.nextafter(1, 2), open_low=False)
    whole = plan_table(plan, cell_type_key)
    table, others = merged(whole)
    names = [name for name in table["type_a"].cat.categories if name != others]
    if palette is None:
        colors = dict(zip(names, distinct(len(names)), strict=True))
    else:
        colors = chosen(palette, names, repr(cell_type_key), every=list(whole["type_a"].cat.categories))
    if others is not None:
        names, colors = [*names, others], {**colors, others: MISSING}
    totals = [table.groupby(side, observed=False)["mass"].sum() for side in ("type_a", "type_b")]
    longest = max(len(name) for name in names)
    height = ROW * max(len(names), 6)
    (ax,) = panels(1, ax, (3.2 + 0.14 * longest, 1.2 + height), title=title)
    starts = [_starts(total) for total in totals]
    bottom = max(max(start[name] + total[name] for name in names) for start, total in zip(starts, totals, strict=True))
    for x, total, start, side in ((0.0, totals[0], starts[0], "right"), (1.0, totals[1], starts[1], "left")):
        drawn = [name for name in names if total[name] > 0]
        middles = np.array([start[name] + total[name] / 2 for name in drawn])
        away = WIDTH if side == "left" else -WIDTH
        for name, middle, line in zip(drawn, middles, spread(middles, bottom * LINE / height, bottom), strict=True):
            ax.add_patch(Rectangle((x - WIDTH / 2, start[name]), WIDTH, total[name], color=colors[name], linewidth=0))
            if abs(line - middle) > total[name] / 2:  # the name stands beside another bar
                ax.plot([x + away / 2, x + 1.2 * away], [middle, line], color=PLAIN, linewidth=0.6)
            ax.text(x + 1.3 * away, line, name, ha=side, va="center", fontsize="small")
    _draw_bands(ax, table, starts, colors, min_mass, others=others)
    ax.set(xlim=(-0.1, 1.1), ylim=(bottom, 0), xticks=[0, 1], yticks=[])
    info = plan_info(plan)
    ends = [wrapped(str(info[end]), LONG) for end in ("sample_a", "sample_b")]
    ax.set_xticklabels(ends)
    ax.xaxis.tick_top()
    ax.tick_params(axis="x", length=0)
    ax.spines[:].set_visible(False)
    moved = float(whole.loc[whole["type_a"].astype(str) != whole["type_b"].astype(str), "mass"].sum())
    ax.set_xlabel(f"distance {float(info['distance']):.3g}; {moved:.0%} of the mass changes its type", fontsize="small")
    above = 16 + 14 * max(name.count("\n") for name in ends)  # the names of the samples
    note(ax, info.get("seen"), "", at=0.5, up=above if letters(ends) > SHORT else 2)
    entitle([ax], title)
    finish(ax.figure, show=show, save=save, name="plan")
    return ax


def plan_table(plan: AnnData, cell_type_key: str) -> pd.DataFrame:
    """Return what is drawn, a row for each flow with mass: `type_a`, `type_b` (in one order), `mass`, `distance`."""
    plan_info(plan)  # what is missing is named here
    stored = plan_ends(plan, cell_type_key)
    ends = [groups(end) for end in stored]
    every = pd.concat([end.cat.categories.to_series() for end in ends]).drop_duplicates()
    kind = stored[0].dtype
    if isinstance(kind, pd.CategoricalDtype):
        order = {str(name): i for i, name in enumerate(kind.categories)}
        every = every.sort_values(key=lambda names: names.map(order).fillna(len(order)), kind="stable")
    source, target, mass, distance = plan_entries(plan)
    flows = pd.DataFrame(
        {
            "type_a": pd.Categorical(ends[0].astype(str).to_numpy()[source], categories=list(every)),
            "type_b": pd.Categorical(ends[1].astype(str).to_numpy()[target], categories=list(every)),
            "mass": mass,
            "distance": mass * distance,
        }
    )
    return flows.groupby(["type_a", "type_b"], observed=True, as_index=False)[["mass", "distance"]].sum()


def merged(flows: pd.DataFrame) -> tuple[pd.DataFrame, str | None]:
    """Return the flows between the types of most mass, and what the others are called, which come last if there are."""
    every = list(flows["type_a"].cat.categories)
    totals = [flows.groupby(end, observed=False)["mass"].sum() for end in ("type_a", "type_b")]
    mass = pd.concat(totals, axis=1).max(axis=1)
    if (mass > 0).sum() <= MOST:
        return flows, None
    kept = set(mass.nlargest(MOST).index)
    others = f"{int((mass > 0).sum()) - MOST} other types"
    names = pd.CategoricalDtype([*(name for name in every if name in kept), others])
    ends = {
        end: flows[end].astype(str).where(flows[end].isin(kept), others).astype(names) for end in ("type_a", "type_b")
    }
    return flows.assign(**ends).groupby(list(ends), observed=True, as_index=False)[["mass", "distance"]].sum(), others


def _starts(total: pd.Series) -> dict[str, float]:
    """Return where the bar of each type begins."""
    space = np.where(total > 0, SPACE, 0.0)
    ends = np.cumsum(total.to_numpy() + space)
    return {
        str(name): float(end - mass - gap) for name, end, mass, gap in zip(total.index, ends, total, space, strict=True)
    }


def _draw_bands(
    ax: Axes,
    table: pd.DataFrame,
    starts: list[dict[str, float]],
    colors: dict[str, str],
    min_mass: float,
    *,
    others: str | None,
) -> None:
    """Draw one band for each flow, in the order of the types at both ends so that bands of one type do not cross."""
    left, right = dict(starts[0]), dict(starts[1])
    x0, x1 = WIDTH / 2, 1 - WIDTH / 2
    ordered = table.sort_values(["type_a", "type_b"])
    for a, b, mass in zip(ordered["type_a"], ordered["type_b"], ordered["mass"].astype(float), strict=True):
        top_a, top_b = left[a], right[b]
        left[a], right[b] = top_a + mass, top_b + mass
        if mass < min_mass:
            continue
        points = [
            (x0, top_a), (0.5, top_a), (0.5, top_b), (x1, top_b),
            (x1, top_b + mass), (0.5, top_b + mass), (0.5, top_a + mass), (x0, top_a + mass), (x0, top_a),
        ]  # fmt: skip
        codes = [Curve.MOVETO, *[Curve.CURVE4] * 3, Curve.LINETO, *[Curve.CURVE4] * 3, Curve.CLOSEPOLY]
        alpha = 0.75 if a == b != others else 0.35  # other types need not stay themselves
        ax.add_patch(PathPatch(Curve(points, codes), facecolor=colors[a], alpha=alpha, linewidth=0))
