"""Write the page of all plots from what draws them, `examples/gallery.py`."""

from pathlib import Path

from gallery import LEARN, SECTIONS, Plot
from matplotlib.image import imread

PIXELS = 0.5
"""Pixels on the page for each one of a picture, which has 200 for each inch."""


def entry(plot: Plot, folder: Path) -> str:
    """Return the entry of a plot: what it shows, its code, its picture."""
    picture = folder / f"{plot.name}.png"
    if not picture.exists():
        raise FileNotFoundError(f"{picture} was not drawn; examples/gallery.py says why.")
    width = round(imread(picture).shape[1] * PIXELS)
    code = "\n".join((*plot.needs, plot.call))
    return (
        f"(gallery-{plot.name})=\n\n### `{plot.name}`\n\n{plot.shows} See {{func}}`scggml.pl.{plot.name}`.\n\n"
        f"```python\n{code}\n```\n\n```{{image}} gallery/{picture.name}\n:alt: {plot.shows}\n:width: {width}px\n```\n"
    )


def write_page(folder: Path) -> None:
    """Write `plots.md`, which the page `gallery.md` includes, beside the pictures."""
    parts = [f"```python\n{LEARN}\n```\n"]
    for section, plots in SECTIONS.items():
        parts += [f"## {section}\n", *(entry(plot, folder) for plot in plots)]
    (folder / "plots.md").write_text("\n".join(parts), encoding="utf-8")
