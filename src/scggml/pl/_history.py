"""Draw the history of learning."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from anndata import AnnData
from matplotlib.axes import Axes
from matplotlib.ticker import Locator, LogLocator, MaxNLocator, NullFormatter, PercentFormatter

from scggml._anndata.metric import StoredMetric, read_metric
from scggml._docs import documented
from scggml.pl._colors import OKABE_ITO, ink, paper
from scggml.pl._figure import panels
from scggml.pl._fit import LETTER, letters
from scggml.pl._legend import check_loc, draw_legend
from scggml.pl._output import Title, entitle, finish

TITLES = {"loss": "objective", "gradient_norm": "gradient norm", "active": "active triplets"}

NONE, KEPT = "#888888", "#D55E00"
"""Settings that were tried, and the one that was kept."""


@documented
def history(
    adata: AnnData,
    *,
    key: str = "ggml",
    title: Title = None,
    legend_loc: str | None = "best",
    ncols: int | None = None,
    ax: Sequence[Axes] | None = None,
    show: bool | None = None,
    save: bool | str | Path | None = None,
) -> list[Axes]:
    r"""Draw how a metric was learned.

    Of canonical variates: the eigenvalues :math:`\lambda` of each alternation of plans and metric (above 1 a component
    tells classes apart, see :class:`~scggml.tl.Canonical`), and what the settings that were tried gain on held-out
    training donors over the usual one, with one standard error (two are needed to take another). Hollow points are of
    settings that were given up, as they were no better on half of these donors.

    Of gradient steps: objective, norm of its gradient and share of active triplets for each pass. The dotted line marks
    the pass whose metric was kept where the stopping rule was on. Passes over all cells after learning on a summary
    have a gray ground.

    Parameters
    ----------
    adata
        %(adata_metric)s
    key
        %(key_metric)s
    title
        %(titles)s
    legend_loc
        %(legend_loc_other)s
    ncols
        %(ncols)s
    ax
        Axes to draw on: two for canonical variates, three for gradient steps.
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
        No such metric.

    Examples
    --------
    >>> import scggml as sg
    >>> adata = sg.datasets.synthetic(n_noise=3, n_samples=3, n_cells=10)
    >>> sg.tl.ggml(adata, "sample_id", "label", n_comps=2, progress=False)
    >>> [ax.get_title() for ax in sg.pl.history(adata)]
    ['separation', 'settings']
    >>> sg.tl.ggml(adata, "sample_id", "label", method="triplets", n_comps=2, progress=False)
    >>> [ax.get_title() for ax in sg.pl.history(adata)]
    ['objective', 'gradient norm', 'active triplets']

    References
    ----------
    Kühn and Schaub, *Global Ground Metric Learning with Applications to scRNA data*, AISTATS 2025 (PMLR 258); Li and
    Lin, *Canonical variates in Wasserstein metric space*, 2024 (arXiv 2405.15768).
    """
    stored = read_metric(adata, key)
    check_loc(legend_loc)
    variates = "eigenvalues" in stored.record["history"]
    size = (_width(stored), 2.7) if variates else (3.2, 2.7)
    axes = panels(2 if variates else 3, ax, size, ncols=ncols, title=title)
    if variates:
        _draw_variates(stored, axes, legend_loc)
    else:
        _draw_steps(stored, axes)
    entitle(axes, title)
    finish(axes[0].figure, show=show, save=save, name="history")
    return axes


def _width(stored: StoredMetric) -> float:
    """Return the inches of a panel that leave room for the names of the settings, which both panels share."""
    table = setting_table(stored)
    return 3.4 + LETTER / 2 * max(0, 0 if table["gain"].isna().all() else letters(table["setting"]) - 30)


def _draw_variates(stored: StoredMetric, axes: list[Axes], legend_loc: str | None) -> None:
    """Draw eigenvalues by alternation, and the settings that were tried."""
    values = eigenvalue_table(stored)
    left, right = axes
    steps = np.arange(1, len(values) + 1)
    for i, name in enumerate(values):
        left.plot(steps, values[name], marker="o", markersize=4, color=OKABE_ITO[i % len(OKABE_ITO)], label=name)
    left.axhline(1, color=NONE, linewidth=1, linestyle=":")
    left.set(title="separation", xlabel="alternation", ylabel="eigenvalue λ")
    left.xaxis.set_major_locator(MaxNLocator(5, integer=True, min_n_ticks=1))
    low, high = float(values.to_numpy().min()), float(values.to_numpy().max())
    if low > 0 and high > 20 * low:
        left.set_yscale("log")
    draw_legend(left, left.get_legend_handles_labels()[0], legend_loc, frameon=False)

    settings = setting_table(stored)
    places = np.arange(len(settings))
    colors = [KEPT if kept else NONE for kept in settings["kept"]]
    right.set_title("settings")
    if settings["gain"].isna().all():
        right.text(0.5, 0.5, settings.attrs["reason"], ha="center", va="center", wrap=True, transform=right.transAxes)
        right.set(xticks=[], yticks=[])
    else:
        for place, (_, row), color in zip(places, settings.iterrows(), colors, strict=True):
            reach = [row["gain"] - row["error"], row["gain"] + row["error"]]
            right.plot(reach, [place, place], color=color, linewidth=1.6, solid_capstyle="round")
        given_up = settings["given_up"].to_numpy()
        right.scatter(
            settings["gain"],
            places,
            c=np.where(given_up, paper(), colors).tolist(),
            s=26,
            zorder=3,
            edgecolors=np.where(given_up, colors, "white").tolist(),
            linewidths=np.where(given_up, 1.2, 0.5).tolist(),
        )
        right.axvline(0, color=ink(), linewidth=0.8)
        right.set_yticks(places, settings["setting"], fontsize="small")
        right.set_ylim(len(settings) - 0.5, -0.5)
        right.set_xlabel("gain on held-out training donors", fontsize="small", loc="right")  # names may be long
        right.tick_params(axis="y", length=0)
    for panel in axes:
        panel.spines[["top", "right"]].set_visible(False)


def _draw_steps(stored: StoredMetric, axes: list[Axes]) -> None:
    """Draw objective, gradient and active triplets by pass."""
    table = step_table(stored)
    refined = int(stored.record.get("refined", 0))
    first = len(table) - refined if refined else 0
    kept = None
    if refined or float(getattr(stored.learner.recipe, "tol", 0.0)) > 0:
        kept = first + int(table["loss"].to_numpy()[first:].argmin())
    for panel, column in zip(axes, TITLES, strict=True):
        marker = "o" if len(table) == 1 else None
        panel.plot(table.index, table[column], color=OKABE_ITO[0], linewidth=1.5, marker=marker)
        if kept is not None and len(table) > 1:
            panel.axvline(kept, color=NONE, linewidth=1, linestyle=":")
        if refined:
            panel.axvspan(len(table) - refined - 0.5, len(table) - 0.5, color="#EEEEEE", linewidth=0, zorder=0)
        panel.set(title=TITLES[column], xlabel="pass")
        panel.xaxis.set_major_locator(MaxNLocator(5, integer=True, min_n_ticks=1))
        panel.spines[["top", "right"]].set_visible(False)
    axes[0].set_ylim(0, 1.05 * max(table["loss"].max(), np.finfo(float).tiny))
    axes[2].set_ylim(0, 1)
    axes[2].yaxis.set_major_formatter(PercentFormatter(1.0))
    if (table["gradient_norm"] > 0).all():
        axes[1].set_yscale("log")
        axes[1].yaxis.set_major_locator(_log_ticks(table["gradient_norm"]))
        axes[1].yaxis.set_major_formatter("{x:g}")
        axes[1].yaxis.set_minor_formatter(NullFormatter())


def _log_ticks(values: pd.Series) -> Locator:
    """Return a few ticks at round numbers, however many decades there are."""
    span = values.max() / values.min()
    if span < 5:
        return MaxNLocator(5, steps=[1, 2, 5, 10])
    return LogLocator(subs=(1.0,) if span > 100 else (1.0, 2.0, 5.0))


def step_table(stored: StoredMetric) -> pd.DataFrame:
    """Return what is drawn of gradient steps: `loss`, `gradient_norm`, `active`, a row for each pass."""
    record = stored.record["history"]
    return pd.DataFrame({column: np.asarray(record[column]) for column in TITLES})


def eigenvalue_table(stored: StoredMetric) -> pd.DataFrame:
    """Return what is drawn of canonical variates: a row for each alternation, a column for each component."""
    values = np.asarray(stored.record["history"]["eigenvalues"], dtype=np.float64)
    return pd.DataFrame(values, columns=[f"λ{i + 1}" for i in range(values.shape[1])])


def setting_table(stored: StoredMetric) -> pd.DataFrame:
    """Return the settings that were tried: `setting`, `gain` over the first one, its `error`, `kept` and `given_up`."""
    choice = stored.record["choice"]
    scores = np.asarray(choice["score"], dtype=np.float64)
    names = [
        f"ridge {float(ridge):g} ({scale}), shrinkage {float(share):g}"
        for ridge, scale, share in zip(choice["ridge"], choice["ridge_scale"], choice["shrinkage"], strict=True)
    ]
    table = pd.DataFrame(
        {
            "setting": names,
            "gain": scores - scores[0],
            "error": np.asarray(choice["error"], dtype=np.float64),
            "kept": np.arange(len(names)) == int(choice["chosen"]),
            "given_up": np.asarray(choice["given_up"], dtype=np.bool_),
        }
    )
    table.attrs["reason"] = str(choice["reason"])
    return table
