"""Titles of plots, and how they are shown and written: the habits of scanpy."""

import os
import re
from collections.abc import Sequence
from pathlib import Path

import matplotlib as mpl
import matplotlib.pyplot as plt
import scanpy as sc
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.figure import Figure, SubFigure
from matplotlib.mathtext import MathTextParser
from matplotlib.text import Text
from matplotlib.ticker import FixedFormatter, FuncFormatter

from scggml._anndata.messages import choices
from scggml._arguments import shown

Title = str | Sequence[str] | None
"""A title, those of several panels, or None for the usual ones."""

FILES_ONLY = frozenset({"agg", "cairo", "pdf", "pgf", "ps", "svg", "template"})
"""Backends of matplotlib that show nothing: `plt.show()` warns there."""

LOG_FDR, LOG_P = r"$-$log$_{10}$ FDR", r"$-\log_{10}$ adjusted $p$"
FORMULAS = (LOG_FDR, LOG_P)
"""Labels with formulas."""

GAP = 4.0
"""Points between a title and what stands below it."""


def titles(title: Title, n: int) -> list[str | None]:
    """Return a title for each of `n` panels, None where the usual one stays."""
    if title is None:
        return [None] * n
    given = [title] if isinstance(title, str) else title
    if not isinstance(given, Sequence) or not all(isinstance(text, str) for text in given):
        raise TypeError(f"title={title!r} is a {type(title).__name__}; pass a text, or a list with one for each panel.")
    if len(given) != n:
        wanted = "one text" if n == 1 else f"a list of {n} texts"
        raise ValueError(f"title={title!r} has {len(given)} titles, but this plot has {n} panels; pass {wanted}.")
    return list(given)


def entitle(axes: Sequence[Axes], title: Title) -> None:
    """Write titles above all that stands above the panels, such as legends and notes; they may hold formulas."""
    for ax, text in zip(axes, titles(title, len(axes)), strict=True):
        literal(ax)
        if text is not None:
            ax.set_title(text, pad=GAP + above(ax)).set_parse_math(is_formula(text))


def literal(artist: Artist) -> None:
    """Let names stand as they are in all texts of a figure or axes: `$` in a name begins no formula.

    Formulas of our own, and numbers that matplotlib writes as formulas, stay what they are.
    """
    numbers: set[int] = set()
    for axis in artist.findobj(Axis):
        if isinstance(axis, Axis) and not isinstance(axis.get_major_formatter(), FixedFormatter | FuncFormatter):
            ticks = [*axis.majorTicks, *axis.minorTicks]
            numbers |= {id(label) for tick in ticks for label in (tick.label1, tick.label2)}
    for text in artist.findobj(Text):
        if isinstance(text, Text) and id(text) not in numbers and text.get_text() not in FORMULAS:
            text.set_parse_math(False)


def is_formula(text: str) -> bool:
    """Return whether matplotlib can read the formulas of a text."""
    try:
        MathTextParser("path").parse(text)
    except ValueError:
        return False
    return True


def above(ax: Axes) -> float:
    """Return how far legend and notes reach above the axes, in points."""
    legend = ax.get_legend()
    parts = [*ax.texts, *([] if legend is None else [legend])]
    top = max((part.get_window_extent().y1 for part in parts), default=ax.bbox.y1)
    return max(0.0, float(top - ax.bbox.y1)) * 72 / ax.figure.figure.dpi


def finish(
    figure: Figure | SubFigure, *, show: bool | None, save: bool | str | Path | None, name: str = "figure"
) -> None:
    """Write the figure to a file and show it, if asked to; `name` is that of the file where none is given.

    Either way it stays open: the caller has its axes and may add to them.
    """
    if save is not None and save is not False:
        whole = figure.figure.figure if isinstance(figure, SubFigure) else figure
        path = target(save, name)
        _check_ending(path, whole)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            whole.savefig(path, bbox_inches="tight", dpi=200)
        except OSError as error:  # a name that is too long, a folder that is read-only, a full disk
            raise OSError(
                f"save={shown(str(path))}: the figure cannot be written ({error.strerror or error}). Pass another "
                "path, or set sc.settings.figdir to a folder that can be written to."
            ) from error
    if can_show() and getattr(sc.settings, "autoshow", True) if show is None else show:
        plt.show()


def target(save: bool | str | Path, name: str) -> Path:
    """Return the file to write: the one given, else one of the plot's name where scanpy keeps its figures."""
    # scanpy deprecates saving by its plots, and these settings may go with it; then their defaults hold.
    folder = Path(getattr(sc.settings, "figdir", "./figures"))
    if save is True:
        return folder / f"{name}.{getattr(sc.settings, 'file_format_figs', 'pdf')}"
    if isinstance(save, str) and re.fullmatch(r"\.\w+", save):
        return folder / f"{name}{save}"
    if not isinstance(save, str | Path):
        raise TypeError(f"save={save!r} is a {type(save).__name__}; pass a path, an ending such as '.pdf', or True.")
    if not str(save).strip() or "\0" in str(save) or os.path.isdir(save):  # noqa: PTH112  # Path raises for a name that is too long
        what = "names no file" if "\0" in str(save) or not str(save).strip() else "is a folder"
        raise ValueError(f"save={shown(str(save))} {what}; pass a path, an ending such as '.pdf', or True.")
    return Path(save)


def _check_ending(path: Path, figure: Figure) -> None:
    """Raise for an ending that matplotlib does not write; without one it takes that of its settings."""
    known = sorted(figure.canvas.get_supported_filetypes())
    ending = path.suffix.lower().removeprefix(".")
    if ending and ending not in known:
        raise ValueError(f"save={shown(str(path))} has the ending {path.suffix!r}; choose from {choices(known)}.")


def can_show() -> bool:
    """Return whether the backend of matplotlib has a screen or a notebook to show figures on."""
    return mpl.get_backend().lower() not in FILES_ONLY
