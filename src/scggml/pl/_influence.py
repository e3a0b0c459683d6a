"""Draw how much a metric hangs on single donors."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from anndata import AnnData
from matplotlib.axes import Axes

from scggml._anndata.influence import read_influence
from scggml._anndata.metric import read_metric
from scggml._core.checks import check_whole
from scggml._docs import documented
from scggml.pl._colors import FAINT, OKABE_ITO
from scggml.pl._figure import panels, spread
from scggml.pl._fit import shortened
from scggml.pl._output import Title, entitle, finish

PANELS = {
    "similarity": "similarity of the metric\nwithout the donor",
    "separation": "separation of the others,\nwho are training samples",
    "fit": "fit of the donor, which the\nmetric has not seen",
    "strangeness": "strangeness of its cells",
}
"""What is drawn, and the labels of the axes."""

SIZE = (2.0, 2.9)
"""Size of a panel in inches."""

NAMED = "#D55E00"
"""Color of donors that stand out."""

CROWD = 60
"""Donors above which points become smaller."""

LETTERS = 18
"""Letters of a name that are written."""


@documented
def influence(
    adata: AnnData,
    *,
    key: str = "ggml",
    n_names: int = 5,
    title: Title = None,
    ncols: int | None = None,
    ax: Sequence[Axes] | None = None,
    show: bool | None = None,
    save: bool | str | Path | None = None,
) -> list[Axes]:
    """Draw the metric without each donor in turn: similarity, separation, fit and strangeness, a point for each donor.

    Separation is that of the samples that the metric was learned on, so its size is no evidence, only its change; fit
    is that of a donor that the metric has not seen.

    Donors that `tl.influence` names are colored in all panels, and their names are written beside them, at most
    `n_names` in a panel. The line in the panel of separation is that of all donors.

    Parameters
    ----------
    adata
        AnnData that `tl.influence` has written to.
    key
        %(key_metric)s
    n_names
        Number of names in a panel at most, those farthest from the others.
    title
        %(titles)s
    ncols
        %(ncols)s
    ax
        Four axes to draw on.
    show
        %(show)s
    save
        %(save)s

    Returns
    -------
    The four axes.

    Raises
    ------
    KeyError
        No such metric, or `tl.influence` has not run.
    ValueError
        The metric was learned anew since.

    Examples
    --------
    >>> import scggml as sg
    >>> adata = sg.datasets.synthetic(n_noise=3, n_samples=4, n_cells=20)
    >>> sg.tl.ggml(adata, "sample_id", "label", n_comps=2, progress=False)
    >>> sg.tl.influence(adata, n_jobs=1, progress=False)
    >>> axes = sg.pl.influence(adata)
    >>> len(axes[0].collections[0].get_offsets())
    12

    References
    ----------
    Cook, *Detection of influential observation in linear regression*, Technometrics 1977.
    """
    check_whole("n_names", n_names, 0)
    entry = read_influence(adata, read_metric(adata, key))
    table = entry["table"]
    named = (table["reason"] != "").to_numpy()
    axes = panels(len(PANELS), ax, SIZE, ncols=ncols, title=title)
    for panel, (column, label) in zip(axes, PANELS.items(), strict=True):
        values = table[column].to_numpy(dtype=float)
        x = beeswarm(values)
        size = 16.0 * min(1.0, CROWD / len(values)) + 2
        panel.scatter(x, values, s=size, c=OKABE_ITO[0], linewidths=0, zorder=2)
        panel.scatter(x[named], values[named], s=size + 6, c=NAMED, linewidths=0, zorder=3)  # on all others
        if column == "separation":
            panel.axhline(float(entry["separation"]), color=FAINT, linewidth=1, zorder=1)
        if column == "fit":
            panel.axhline(0.0, color=FAINT, linewidth=1, zorder=1)
        panel.set(xlim=(-1.1, 2.6), xticks=[], ylabel=label)
        panel.yaxis.label.set_fontsize("small")
        panel.tick_params(labelsize="small")
        panel.spines[["top", "right", "bottom"]].set_visible(False)
        _write_names(panel, table["donor"].astype(str).to_numpy(), x, values, np.flatnonzero(named), n_names=n_names)
    n = int(named.sum())
    said = "no donor stands out" if n == 0 else f"{n} of {len(table)} donors stand{'s' if n == 1 else ''} out"
    axes[0].set_title(said, fontsize="small", loc="left")
    entitle(axes, title)
    finish(axes[0].figure, show=show, save=save, name="influence")
    return axes


def beeswarm(values: np.ndarray) -> np.ndarray:
    """Return places from -1 to 1 that keep near values apart."""
    span = np.ptp(values[np.isfinite(values)]) or 1.0
    bins = np.round((values - np.nanmin(values)) / span * 25)
    out = np.zeros(len(values))
    for one in np.unique(bins):
        own = np.flatnonzero(bins == one)
        width = min(1.0, 0.16 * (len(own) - 1) / 2)
        out[own] = np.linspace(-width, width, len(own)) if len(own) > 1 else 0.0
    return out


def _write_names(
    ax: Axes, names: np.ndarray, x: np.ndarray, values: np.ndarray, own: np.ndarray, *, n_names: int
) -> None:
    """Write the names of some donors to the right of their points, apart from each other."""
    own = own[np.argsort(-np.abs(values[own] - np.nanmedian(values)), kind="stable")][:n_names]
    own = own[np.argsort(values[own], kind="stable")]
    if not len(own):
        return
    low, high = ax.get_ylim()
    heights = spread((values[own] - low) / (high - low), 0.07, 1.0) * (high - low) + low
    for i, height in zip(own, heights, strict=True):
        ax.annotate(
            shortened(names[i], LETTERS),
            (x[i], values[i]),
            (1.2, height),
            fontsize=6.5,
            va="center",
            color=NAMED,
            arrowprops={"arrowstyle": "-", "color": NAMED, "linewidth": 0.5, "shrinkA": 0, "shrinkB": 2},
        )
    ax.set_ylim(low, high)
