"""Draw the predicted class probabilities of new samples."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from anndata import AnnData
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from scggml._anndata.drawn import abstaining, obs_column, predicted_classes, read_prediction
from scggml._anndata.messages import columns
from scggml._docs import documented
from scggml.pl._colors import MISSING, Palette, chosen, distinct, groups, ink, is_number
from scggml.pl._figure import panels
from scggml.pl._fit import LETTER, fit_names, letters
from scggml.pl._legend import ABOVE, check_loc, draw_legend
from scggml.pl._output import Title, entitle, finish

UNLIKE = "unlike_reference"

WIDTH, TALLEST = 4.6, 9.0
"""Width of the figure with short names, and its height at most, in inches."""

ROW, THINNEST = 0.24, 0.085
"""Height of a row, in inches, and the least one beside which a name can be read."""

TRUE, WRONG = 1.13, 1.21
"""Where the true classes and the crosses of wrong predictions are drawn, in the units of probabilities."""

CIRCLE: dict[str, Any] = {
    "linestyle": "",
    "marker": "o",
    "markersize": 4,
    "markerfacecolor": "none",
    "clip_on": False,
}
"""A circle, as `Line2D` takes it, but for its color."""

OPEN = -0.035
"""Where the circles of samples without a class are drawn."""


@documented
def predictions(
    samples: AnnData,
    *,
    title: Title = None,
    palette: Palette | None = None,
    legend_loc: str | None = "top margin",
    ax: Axes | None = None,
    show: bool | None = None,
    save: bool | str | Path | None = None,
) -> Axes:
    """Draw the class probabilities of each new sample as a bar; samples unlike the reference are marked and pale.

    Where the true class is known, it is drawn at the right, with a cross where another class was predicted. After
    `tl.predict(abstain=...)` a circle stands before each sample that gets no class, since several or none are possible.
    Above about 80 samples their names are left out.

    Parameters
    ----------
    samples
        AnnData of samples from `tl.predict`.
    title
        %(title)s
    palette
        %(palette)s
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
        No predictions.
    ValueError
        The predictions are numbers.

    Examples
    --------
    >>> import scggml as sg
    >>> adata = sg.datasets.synthetic(n_noise=3, n_samples=6, n_cells=10)
    >>> sg.tl.ggml(adata, "sample_id", "label", n_comps=2, progress=False)
    >>> new = sg.datasets.synthetic(n_noise=3, n_samples=2, n_cells=10, rng=1)
    >>> samples = sg.tl.predict(new, adata, n_splits=3, n_repeats=1, n_jobs=1, progress=False)
    >>> sg.pl.predictions(samples).get_xlabel()
    'probability'

    References
    ----------
    Okabe and Ito, *Color universal design*, 2008, and Tol, *Colour schemes*, 2021, for the colors.
    """
    table = predictions_table(samples)
    colors = _colors(table, palette)
    check_loc(legend_loc, ABOVE)
    truth = true_classes(samples)
    truth = None if truth is None else truth.loc[table.index]
    strange = table[UNLIKE].to_numpy(dtype=bool)
    abstains, rate = abstaining(samples)
    undecided = pd.Series(abstains, index=samples.obs_names).loc[table.index].to_numpy()
    no_class = f"no class (error {rate:.3g})"
    signs = {"* unlike the reference": bool(strange.any()), no_class: bool(undecided.any()), "wrong": True}
    n_columns = _columns(list(colors), [name for name, drawn in signs.items() if drawn])
    above = 0.8 + 0.17 * -(-(len(colors) + sum(signs.values()) + 1) // n_columns)  # the legend, and the axis below
    row = min(ROW, max(TALLEST - above, 4.0) / len(table))
    named = row >= THINNEST
    left = LETTER * letters(table.index) if named else 0.0
    width = max(WIDTH, left + max(2.9, 0.6 + 0.075 * letters(colors)))  # the legend is centered above the bars
    given = ax is not None
    (ax,) = panels(1, ax, (width, min(TALLEST, above + row * len(table))), title=title)
    _draw_bars(ax, table, colors)
    if truth is not None:
        _draw_truth(ax, table, truth, colors, cross=min(4.0, 0.6 * 72 * row))
    if undecided.any():
        rows = np.flatnonzero(undecided)
        ax.plot(np.full(len(rows), OPEN), rows, **CIRCLE | {"markersize": min(4.0, 0.5 * 72 * row), "color": ink()})
        ax.set_xlim(2 * OPEN, ax.get_xlim()[1])
    if named:
        names = [f"{name} *" if pale else str(name) for name, pale in zip(table.index, strange, strict=True)]
        ax.set_yticks(np.arange(len(table)), names, fontsize=min(8.3, 0.8 * 72 * row))
    else:
        ax.set(yticks=[], ylabel=f"{len(table)} samples")
    ax.tick_params(axis="y", length=0)
    ax.set_ylim(len(table) - 0.5, -0.5)
    ax.set_xlabel("probability")
    ax.spines[["top", "right", "left"]].set_visible(False)
    ax.spines["bottom"].set_bounds(0.0, 1.0)
    handles: list[Patch | Line2D] = [Patch(color=color, label=name) for name, color in colors.items()]
    if strange.any():
        handles.append(Patch(color="none", label="* unlike the reference" if named else "pale: unlike the reference"))
    if undecided.any():
        handles.append(Line2D([], [], **CIRCLE, color=ink(), label=no_class))
    if truth is not None and wrong(table, truth).any():
        handles.append(Line2D([], [], linestyle="", marker="x", markersize=4, color=ink(), label="wrong"))
    in_columns = {"ncols": n_columns} if legend_loc == ABOVE else None
    draw_legend(ax, handles, legend_loc, outside=in_columns, columnspacing=1.2, handlelength=1.2)
    if given:
        fit_names(ax)
    entitle([ax], title)
    finish(ax.figure, show=show, save=save, name="predictions")
    return ax


def predictions_table(samples: AnnData) -> pd.DataFrame:
    """Return what is drawn: samples x classes, and `unlike_reference`; by predicted class, most confident first."""
    table, unlike = predicted_classes(samples, UNLIKE)
    best = table.to_numpy().argmax(axis=1)
    order = np.lexsort((-table.to_numpy().max(axis=1), best))
    table[UNLIKE] = unlike
    return table.iloc[order]


def true_classes(samples: AnnData) -> pd.Series | None:
    """Return the class of each sample in the column of the labels, None if there is no such column or it is empty."""
    label_key = read_prediction(samples)["params"].get("label_key")
    if label_key not in columns(samples):
        return None
    column = obs_column(samples, label_key)
    if is_number(column):  # classes are text, and a missing value makes whole numbers floats
        by_value = {
            number: name for name in predicted_classes(samples, UNLIKE)[0] if (number := _number(name)) is not None
        }
        column = column.map(lambda value: by_value.get(float(value), str(value)), na_action="ignore")
    truth = groups(column).astype(object)
    return truth if truth.notna().any() else None


def _number(name: object) -> float | None:
    """Return the number that a name of a class is, None if it is none."""
    try:
        return float(str(name))
    except ValueError:
        return None


def wrong(table: pd.DataFrame, truth: pd.Series) -> np.ndarray:
    """Return (n,) whether another class than the true one was predicted; not where that is missing."""
    predicted = table.drop(columns=UNLIKE).idxmax(axis=1)
    return (truth.notna() & (predicted != truth)).to_numpy()


def _columns(classes: list[str], signs: list[str]) -> int:
    """Return how many columns of the legend fit above the bars; the last one also holds the entries for signs."""
    width, widest = (0.4 + 0.075 * max(len(name) for name in names) for names in (classes, [*classes, *signs]))
    return int(np.clip(1 + (WIDTH - widest) // width, 1, 2 if len(classes) <= 4 else 6))


def _colors(table: pd.DataFrame, given: Palette | None) -> dict[str, str]:
    classes = [name for name in table.columns if name != UNLIKE]
    if given is not None:
        return chosen(given, classes, "the predictions")
    return dict(zip(classes, distinct(len(classes)), strict=True))


def _draw_bars(ax: Axes, table: pd.DataFrame, colors: dict[str, str]) -> None:
    rows, left = np.arange(len(table)), np.zeros(len(table))
    for name, color in colors.items():
        bars = ax.barh(rows, table[name], left=left, color=color, height=0.78, linewidth=0)
        for bar, pale in zip(bars, table[UNLIKE], strict=True):
            bar.set_alpha(0.3 if pale else 1.0)
        left += table[name].to_numpy()
    ax.set_xlim(0, 1)


def _draw_truth(ax: Axes, table: pd.DataFrame, truth: pd.Series, colors: dict[str, str], *, cross: float) -> None:
    """Draw the true classes at the right of the bars, those that the reference lacks in gray, with crosses if wrong."""
    known = np.flatnonzero(truth.notna())
    paint = [colors.get(name, MISSING) for name in truth.iloc[known]]
    ax.barh(known, 0.06, left=TRUE - 0.03, color=paint, height=0.78, linewidth=0)
    missed = np.flatnonzero(wrong(table, truth))
    ax.plot(np.full(len(missed), WRONG), missed, linestyle="", marker="x", markersize=cross, color=ink())
    ax.set_xlim(0, WRONG + 0.03)
    ax.set_xticks([0.0, 0.5, 1.0, TRUE], ["0", "0.5", "1", "true"])
