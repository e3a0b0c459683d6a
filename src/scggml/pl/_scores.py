"""Draw the samples along a component."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from anndata import AnnData
from matplotlib.axes import Axes

from scggml._anndata.genes import Component, pick_components
from scggml._anndata.metric import read_metric
from scggml._anndata.scores import read_scores
from scggml._docs import documented
from scggml.pl._colors import FAINT, OKABE_ITO, PLAIN, Palette, groups, is_number
from scggml.pl._colors import palette as colors_of
from scggml.pl._figure import note, paint, panels, wrapped
from scggml.pl._fit import grow
from scggml.pl._legend import beside, check_loc
from scggml.pl._output import Title, entitle, finish

JITTER = 0.16
"""Half of the width over which the samples of a class are spread."""

POINT: dict[str, Any] = {"s": 26, "linewidths": 0.5, "edgecolors": "white", "zorder": 3}
"""How points are drawn."""

LONG = 12
"""Letters of the name of a class from which on names are slanted, where there are more than three."""


@documented
def scores(
    adata: AnnData,
    *,
    component: Component = 1,
    key: str = "ggml",
    held_out: bool | None = None,
    color: str | None = None,
    paired: bool | None = None,
    title: Title = None,
    palette: Palette | None = None,
    legend_loc: str | None = "right margin",
    ax: Axes | None = None,
    show: bool | None = None,
    save: bool | str | Path | None = None,
) -> Axes:
    """Draw the mean coordinate of the cells of each sample along a component, by class.

    Held-out scores, of metrics that have not seen the donor, show whether classes differ for new donors too. Lines are
    the medians of the classes; thin lines join the samples of one donor.

    Parameters
    ----------
    adata
        %(adata_metric)s
    component
        Component, by its number from 1 or its name (`"ggml1"`).
    key
        %(key_metric)s
    held_out
        Draw held-out scores (`tl.cross_fit` comes first), or those under the metric that has seen all. None for
        held-out ones where there are any.
    color
        Column of `.obs` with one value for each sample: groups, or numbers. By default the label.
    paired
        Join the samples of one donor. None to do so where donors have samples of several classes.
    title
        %(title)s
    palette
        %(palette)s
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
    The axes.

    Raises
    ------
    KeyError
        No such metric or column; `held_out` without `tl.cross_fit`.
    TypeError
        `held_out` or `paired` that is neither True, False nor None.
    ValueError
        No such component; a column with several values in a sample.

    Examples
    --------
    >>> import scggml as sg
    >>> adata = sg.datasets.synthetic(n_noise=3, n_samples=3, n_cells=10)
    >>> sg.tl.ggml(adata, "sample_id", "label", n_comps=2, progress=False)
    >>> ax = sg.pl.scores(adata)
    >>> [label.get_text() for label in ax.get_xticklabels()]
    ['class0', 'class1', 'class2']

    References
    ----------
    Chernozhukov et al., *Double/debiased machine learning for treatment and structural parameters*, The Econometrics
    Journal 2018, for cross-fitting.
    """
    stored = read_metric(adata, key)
    (number,) = pick_components(adata, stored, [component], "no scores", argument="component")
    table, seen = read_scores(adata, stored, number, held_out=held_out, column=color)
    label = str(stored.reading.label_key)
    numbers = is_number(table["label"])
    names = [] if numbers else [str(name) for name in table["label"].cat.categories]
    shown_by = label if color is None else color
    if not is_number(table["label" if color is None else "color"]):
        colors_of(adata, shown_by, given=palette)  # what is wrong with them is said before there is a figure
    check_loc(legend_loc)
    slanted = len(names) > 3 and max(map(len, names)) > LONG
    below = 0.05 * max(map(len, names)) if slanted else 0.0  # inches that slanted names take
    new, size = ax is None, (2.2 + 0.5 * max(len(names), 4), 3.2 + below)
    (ax,) = panels(1, ax, size, title=title)
    places = table["label"] if numbers else table["label"].cat.codes + jitter(table)
    x = places.to_numpy(dtype=float)
    if paired or (paired is None and not numbers and _is_paired(table)):
        for _, own in table.groupby("donor"):
            at = table.index.get_indexer(own.index)
            at = at[np.argsort(x[at], kind="stable")]  # from left to right
            ax.plot(x[at], table["score"].iloc[at], color=FAINT, linewidth=0.7, zorder=1)
    if color is None:
        colors = dict.fromkeys(table["label"], OKABE_ITO[0]) if numbers else colors_of(adata, label, given=palette)
        ax.scatter(x, table["score"], c=[colors[name] for name in table["label"]], **POINT)
    else:
        values = table["color"] if is_number(table["color"]) else groups(table["color"]).astype(object)
        entries = paint(ax, adata, color, table.assign(x=x, y=table["score"], color=values), given=palette, **POINT)
        beside(ax, entries, loc=legend_loc)
        if new:
            grow(ax, size, size[0] - 0.7)
    if numbers:
        ax.set_xlabel(label)
    else:
        for place, (_, own) in enumerate(table.groupby("label", observed=False)):
            if len(own):
                half = [place - 1.8 * JITTER, place + 1.8 * JITTER]
                ax.plot(half, [own["score"].median()] * 2, color=PLAIN, linewidth=1.6, solid_capstyle="butt", zorder=2)
        shown = names if slanted else [wrapped(name) for name in names]
        ax.set_xticks(range(len(names)), shown, rotation=35 if slanted else 0, ha="right" if slanted else "center")
        ax.set_xlim(-0.6, len(names) - 0.4)
        ax.tick_params(axis="x", length=0)
    ax.spines[["top", "right"]].set_visible(False)
    unit = " (sd of the cells)" if seen == "held out" else ""
    ax.set_ylabel(f"mean {key}{number}{unit}")
    note(ax, seen)
    entitle([ax], title)
    finish(ax.figure, show=show, save=save, name="scores")
    return ax


def jitter(table: pd.DataFrame) -> np.ndarray:
    """Return offsets that keep the points of a class apart: by turns left and right in the order of the scores."""
    rank = table.groupby("label", observed=True)["score"].rank(method="first").to_numpy()
    steps = np.array([0.0, -0.67, 0.67, -0.33, 0.33, -1.0, 1.0])
    return JITTER * steps[rank.astype(np.int64) % len(steps)]


def _is_paired(table: pd.DataFrame) -> bool:
    """Return whether most donors have samples of several classes."""
    return bool((table.groupby("donor")["label"].nunique() > 1).mean() > 0.5)
