"""Colors of the samples beside a matrix, one column of `.obs` after the other."""

from collections.abc import Collection, Sequence

import matplotlib as mpl
import numpy as np
import pandas as pd
from anndata import AnnData
from matplotlib.colors import Normalize, to_hex
from matplotlib.lines import Line2D

from scggml._anndata.drawn import obs_column
from scggml.pl._colors import MISSING, Palette, groups, is_number, palette
from scggml.pl._figure import LINE, wrapped
from scggml.pl._legend import heading, marks


def color_table(
    samples: AnnData,
    keys: Sequence[str],
    *,
    numbers: str,
    given: Palette | None = None,
    named: Collection[str] = (),
) -> tuple[pd.DataFrame, list[Line2D]]:
    """Return hex colors of each sample (row) and key (column), and the entries of the legend with a heading by key.

    `numbers` is the scale of numbers; it must have no color of the matrix. Groups have the colors that are `given`.
    Columns that are `named` elsewhere need no legend.
    """
    table = pd.DataFrame(index=samples.obs_names)
    legend: list[Line2D] = []
    used = 0
    for key in keys:
        values = obs_column(samples, key)
        if is_number(values):
            table[key], colors = _number_colors(values.astype(float), numbers)
        else:
            colors = palette(samples, key, used=used, given=given)
            used += len(colors)
            table[key] = [colors.get(name, MISSING) for name in groups(values).astype(object)]
        if values.isna().any():
            colors = colors | {"missing": MISSING}
        if key not in named:
            legend += [heading(key), *marks({wrapped(name, LINE): color for name, color in colors.items()}, marker="s")]
    return table, legend


def _number_colors(values: pd.Series, numbers: str) -> tuple[list[str], dict[str, str]]:
    """Return colors of numbers on a scale, and those of its ends."""
    low, high = values.min(), values.max()
    scale = Normalize(low, high)

    def color(value: float) -> str:
        return to_hex(mpl.colormaps[numbers](0.15 + 0.85 * scale(value)))  # the palest ones are lost on white

    ends = () if np.isnan(low) else (low, high)
    return [MISSING if np.isnan(v) else color(v) for v in values], {f"{v:.4g}": color(v) for v in ends}
