"""Draw the logo, light and dark, and the icon of the browser's tab, as SVG with letters as paths.

Two clouds of cells, and the ellipse that a metric makes of a circle: short across the direction that tells them apart.
"""

from pathlib import Path

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
from matplotlib.font_manager import FontProperties
from matplotlib.patches import Circle, Ellipse, PathPatch
from matplotlib.textpath import TextPath
from matplotlib.transforms import Affine2D

STATIC = Path(__file__).parents[1] / "_static"
BLUE, ORANGE = "#0072B2", "#D55E00"
LIGHT = {"ink": "#22313f", "blue": BLUE, "orange": ORANGE}
DARK = {"ink": "#e8edf2", "blue": "#56B4E9", "orange": "#F28E4B"}


def mark(ax, ink, blue, orange):
    """Draw the mark in the square from (0, 0) to (10, 10)."""
    rng = np.random.default_rng(5)
    for color, center in ((blue, (2.6, 7.4)), (orange, (7.4, 2.6))):
        angles = np.linspace(0, 2 * np.pi, 7)[:-1] + rng.uniform(0, 1)
        offsets = np.column_stack((np.cos(angles), np.sin(angles))) * 1.75
        for offset in [(0, 0), *offsets]:
            ax.add_patch(Circle(np.add(center, offset), 0.72, color=color, lw=0))
    ax.add_patch(Ellipse((5, 5), 12.4, 2.0, angle=45, fill=False, ec=ink, lw=2.2))


def save(name, colors, *, text):
    """Write one file."""
    mpl.rcParams.update({"svg.hashsalt": "scggml", "svg.fonttype": "path"})
    width = 37 if text else 10
    figure = plt.figure(figsize=(width / 10, 1))
    ax = figure.add_axes((0, 0, 1, 1), xlim=(0, width), ylim=(0, 10), aspect="equal")
    ax.set_axis_off()
    mark(ax, **colors)
    if text:
        path = TextPath((0, 0), "scggml", size=8, prop=FontProperties(family="DejaVu Sans", weight="bold"))
        box = path.get_extents()
        place = Affine2D().scale(25 / box.width).translate(11.5, 3.3)
        ax.add_patch(PathPatch(place.transform_path(path), color=colors["ink"], lw=0))
    figure.savefig(STATIC / name, transparent=True, metadata={"Date": None, "Creator": None})
    plt.close(figure)


if __name__ == "__main__":
    save("logo.svg", LIGHT, text=True)
    save("logo-dark.svg", DARK, text=True)
    save("favicon.svg", {**LIGHT, "ink": "#7f8c97"}, text=False)
