"""What every plot promises. A plot is entered in `PLOTS`, with calls that between them draw all that it can draw."""

import inspect
import itertools
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from types import UnionType
from typing import Any, get_args, get_type_hints

import anndata as ad
import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pytest
import scanpy as sc
from _slots import assert_same, slots
from anndata import AnnData
from matplotlib.axes import Axes
from matplotlib.collections import Collection, LineCollection, PathCollection
from matplotlib.colors import to_hex, to_rgba
from matplotlib.figure import Figure, SubFigure
from matplotlib.image import AxesImage
from matplotlib.legend import Legend
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.text import Text
from seaborn.matrix import ClusterGrid
from zarr.storage import MemoryStore

import scggml as sg

Options = Mapping[str, Any]
Drawn = Axes | list[Axes] | ClusterGrid
Artists = list[tuple[str, list[np.ndarray]]]


@dataclass(frozen=True)
class Call:
    """A call that draws: the fixture of the data, the options, and the number of panels that they ask for."""

    data: str
    options: Options = field(default_factory=dict)
    panels: int = 1


@dataclass(frozen=True)
class Missing:
    """A call without a slot: the message names the slot, what there is instead, and the next step."""

    data: str
    options: Options
    says: tuple[str, ...]


@dataclass(frozen=True)
class Plot:
    """The table's entry of a plot. `refused` are options of the first call that end in a KeyError or ValueError."""

    calls: tuple[Call, ...]
    missing: tuple[Missing, ...]
    refused: tuple[Options, ...] = ()
    takes_ax: bool = True
    fills: float = 0.9
    """Share of the width and the height of the figure that a saved file has at least."""


NOTHING = ("None", "none", " ", "", None)
"""Names that matplotlib has for no line and no marker."""

OTHER = {"key": "other"}
NO_METRIC = ("adata.uns['other']", "'ggml'", "sg.tl.ggml(adata")
NO_EVALUATION = ("adata.uns['other']", "'cross_validation'", "sg.tl.cross_validate(adata")

PLOTS = {
    "attribution": Plot(
        calls=(
            Call("attributed", panels=2),
            Call("attributed", {"classes": ("class1", "class0"), "components": (2, 1)}, panels=2),
            Call("attributed_without_types"),
        ),
        missing=(
            Missing("attributed", OTHER, NO_METRIC),
            Missing("learned", {}, ("'ggml_attribution'", "adata.uns", "sg.tl.attribute(adata, key='ggml')")),
        ),
        refused=({"components": (1, 9)}, {"classes": ("class0", "class9")}),
    ),
    "calibration": Plot(
        calls=(
            Call("evaluated"),
            Call("evaluated", {"methods": ["canonical", "majority"], "n_bins": 2}, panels=2),
            Call("evaluated_by_batch", {"by_batch": True}),
        ),
        missing=(
            Missing("evaluated", OTHER, NO_EVALUATION),
            Missing("evaluated", {"by_batch": True}, ("'cross_validation'", "batches", "batch_key to sg.tl.cross_val")),
        ),
        refused=({"methods": ["other"]}, {"methods": []}, {"n_bins": 0}),
    ),
    "clustermap": Plot(
        calls=(
            Call("embedded"),
            Call("embedded", {"color": ["label", "stage", "age"], "linkage_method": "complete"}),
            Call("embedded", {"color": "label", "basis": "mds"}),
            Call("embedded", {"color": ["age", "label"], "basis": "mds"}),
        ),
        missing=(
            Missing("embedded", OTHER, ("'other_distances'", "samples.obsp", "'ggml'", "Pass one of these as key")),
            Missing("learned", {}, ("'ggml_distances'", "samples.obsp", "samples = sg.tl.distances(adata)")),
            Missing("embedded", {"basis": "tsne"}, ("'X_tsne'", "samples.obsm", "'X_mds'", "sg.tl.tsne(samples)")),
        ),
        refused=({"color": "sex"}, {"color": ["label", "sex"]}, {"linkage_method": "closest"}),
        takes_ax=False,  # a clustermap is a figure of several axes, laid out by seaborn
    ),
    "confusion": Plot(
        calls=(Call("evaluated"), Call("evaluated", {"method": "majority"})),
        missing=(Missing("evaluated", OTHER, NO_EVALUATION),),
        refused=({"method": "other"},),
        fills=0.8,  # its cells are squares
    ),
    "covariates": Plot(
        calls=(Call("compared"), Call("compared", {"key": "euclidean"})),
        missing=(
            Missing("compared", OTHER, ("'other_covariates'", "samples.uns", "'ggml'", "sg.tl.covariates(samples")),
        ),
    ),
    "cross_validation": Plot(
        calls=(Call("evaluated"), Call("evaluated", {"metric": "seconds"}), Call("evaluated_by_batch")),
        missing=(Missing("evaluated", OTHER, NO_EVALUATION),),
        refused=({"metric": "other"},),
    ),
    "embedding": Plot(
        calls=(
            Call("embedded"),
            Call("embedded", {"color": "label"}),
            Call("embedded", {"color": "stage", "size_by_cells": False}),
            Call("embedded", {"color": "age", "components": (2, 1)}),
            Call("embedded", {"color": ["label", "age", "signal"]}, panels=3),
            Call("embedded", {"marker": "stage"}),
            Call("embedded", {"color": ["label", "age"], "marker": "stage"}, panels=2),
        ),
        missing=(
            Missing("embedded", {"basis": "umap"}, ("'X_umap'", "samples.obsm", "'X_mds'", "sg.tl.neighbors(samples)")),
            Missing("learned", {}, ("'X_mds'", "samples.obsm", "'X_ggml'", "sg.tl.mds(samples)")),
        ),
        refused=({"color": "sex"}, {"components": (1, 9)}, {"marker": "sex"}),
    ),
    "enrichment": Plot(
        calls=(Call("enriched"), Call("enriched", {"n_terms": 1, "max_p_adjusted": 1e-4})),
        missing=(
            Missing("enriched", OTHER, ("'other_enrichment'", "adata.uns", "sg.ext.gprofiler(adata, key='other')")),
        ),
        refused=({"n_terms": 0}, {"max_p_adjusted": -1.0}, {"sources": ["other"]}),
    ),
    "gene_stability": Plot(
        calls=(
            Call("stable", panels=2),
            Call("stable_with_rates", {"component": 1, "gene_symbols": "symbol"}, panels=2),
        ),
        missing=(
            Missing("stable", OTHER, NO_METRIC),
            Missing("learned", {}, ("'ggml_stability'", "adata.uns", "sg.tl.gene_stability(adata, key='ggml'")),
        ),
        refused=({"component": 9}, {"n_genes": 0}, {"gene_symbols": "name"}),
    ),
    "heatmap": Plot(
        calls=(
            Call("embedded", {"genes": ["signal", "noise_1"], "color": ["label", "stage", "age"]}),
            Call("embedded", {"genes": ["noise_1"], "layer": "fraction", "standardize": False}),
        ),
        missing=(
            Missing("embedded", {"genes": ["other"]}, ("'other'", "samples.var_names", "sg.tl.distances")),
            Missing("embedded", {"genes": ["signal"], "layer": "counts"}, ("'counts'", "samples.layers", "'fraction'")),
        ),
        refused=({"color": "sex"}, {"genes": []}, {"genes": ["signal", "signal"]}),
        fills=0.8,
    ),
    "history": Plot(
        calls=(Call("learned", panels=2), Call("refined", panels=3)),
        missing=(Missing("learned", OTHER, NO_METRIC),),
    ),
    "influence": Plot(
        calls=(Call("influenced", panels=4),),
        missing=(
            Missing("influenced", OTHER, NO_METRIC),
            Missing("learned", {}, ("'ggml_influence'", "adata.uns", "sg.tl.influence(adata, key='ggml')")),
        ),
        refused=({"n_names": -1},),
    ),
    "loadings": Plot(
        calls=(
            Call("learned", panels=2),
            Call("learned", {"n_genes": 1, "gene_symbols": "symbol"}, panels=2),
            Call("learned", {"by": "loading"}, panels=2),
            Call("stable", {"components": [2]}),
            Call("learned_on_features", panels=2),
        ),
        missing=(
            Missing("learned", OTHER, NO_METRIC),
            Missing("refined", {}, ("'ggml_genes'", "adata.uns", "sg.tl.rank_genes(adata, key='ggml')")),
        ),
        refused=({"components": [9]}, {"n_genes": 0}, {"gene_symbols": "name"}, {"by": "weight"}),
    ),
    "permutation_test": Plot(
        calls=(Call("permuted"),),
        missing=(
            Missing("permuted", OTHER, ("adata.uns['other']", "'permutation_test'", "sg.tl.permutation_test(adata")),
        ),
    ),
    "plan": Plot(
        calls=(
            Call("coupled", {"cell_type_key": "mode"}),
            Call("coupled", {"cell_type_key": "mode", "min_mass": 0.5}),
        ),
        missing=(
            Missing("coupled", {"cell_type_key": "other"}, ("'other'", "plan.obs", "'mode'")),
            Missing("learned", {"cell_type_key": "mode"}, ("'plan'", "plan.uns", "plan = sg.tl.plan(adata, ")),
        ),
    ),
    "power": Plot(
        calls=(Call("curved"), Call("curved", {"metric": "auroc"})),
        missing=(Missing("curved", OTHER, ("adata.uns['other']", "'power'", "sg.tl.power")),),
        refused=({"metric": "f1"},),
    ),
    "predictions": Plot(
        calls=(Call("predicted"),),
        missing=(
            Missing("embedded", {}, ("'prediction'", "samples.uns", "samples = sg.tl.predict(adata, reference)")),
        ),
    ),
    "scores": Plot(
        calls=(
            Call("learned"),
            Call("cross_fitted", {"color": "site", "component": 2}),
            Call("cross_fitted", {"color": "age", "held_out": False, "paired": True}),
        ),
        missing=(
            Missing("learned", OTHER, NO_METRIC),
            Missing("learned", {"held_out": True}, ("'ggml_held_out'", "adata.uns", "sg.tl.cross_fit(adata")),
        ),
        refused=({"component": 9}, {"color": "sex"}),
    ),
    "trajectory": Plot(
        calls=(
            Call("followed", {"key": "ggml"}),
            Call("followed", {"key": "ggml", "genes": ["signal", "noise_1"], "color": "age"}),
        ),
        missing=(
            Missing(
                "followed", {}, ("'ggml_held_out_trajectory'", "samples.uns", "'ggml'", "sg.tl.trajectory(samples")
            ),
        ),
        refused=({"genes": ["other"]}, {"color": "sex"}, {"n_genes": 0}, {"max_p_adjusted": 2.0}),
        fills=0.8,
    ),
    "tuning": Plot(
        calls=(Call("tuned"), Call("tuned", {"options": ("n_comps", "shrinkage")})),
        missing=(
            Missing("tuned", OTHER, ("adata.uns['other']", "sg.tl.tune(adata")),
            Missing("evaluated", {"key": "cross_validation"}, ("adata.uns['cross_validation']", "sg.tl.tune")),
            Missing("tuned", {"options": ("n_comps", "reg")}, ("'reg'", "adata.uns['tuning']", "'n_comps'")),
        ),
        refused=({"options": ("n_comps",)}, {"options": ("n_comps", "n_comps")}),
    ),
    "volcano": Plot(
        calls=(
            Call("stable_with_rates", {"component": 1}),
            Call("stable_with_rates", {"alpha": 0.9, "gene_symbols": "symbol", "n_genes": 2}),
        ),
        missing=(
            Missing("learned", OTHER, NO_METRIC),
            Missing("learned", {}, ("'ggml_genes'", "adata.uns", "sg.tl.gene_stability(adata, key='ggml'")),
        ),
        refused=({"component": 9}, {"gene_symbols": "name"}, {"alpha": 2.0}, {"n_genes": 0}),
    ),
}

SHARED = ("title", "palette", "legend_loc", "ncols", "ax", "show", "save")
"""Options of all plots that have them, in their order; those after the place of the legend are None by default."""

PALETTES = {
    "clustermap": Call("embedded", {"color": "label"}),
    "embedding": Call("embedded", {"color": "label"}),
    "heatmap": Call("embedded", {"genes": ["signal"], "color": "label"}),
    "plan": Call("coupled", {"cell_type_key": "mode"}),
    "predictions": Call("predicted"),
    "scores": Call("learned"),
    "trajectory": Call("followed", {"key": "ggml"}),
}
"""Calls that draw three groups in colors of their own."""

NAMES = {name: ["class0", "class1", "class2"] for name in PALETTES} | {"plan": ["specific", "shared_1", "shared_2"]}
"""These groups."""

LEGENDS = {
    "attribution": Call("attributed", panels=2),
    "calibration": Call("evaluated"),
    "clustermap": Call("embedded", {"color": "label"}),
    "covariates": Call("compared"),
    "cross_validation": Call("evaluated"),
    "embedding": Call("embedded", {"color": "label"}),
    "enrichment": Call("enriched"),
    "gene_stability": Call("stable_with_rates", panels=2),
    "heatmap": Call("embedded", {"genes": ["signal"], "color": "label"}),
    "history": Call("learned", panels=2),
    "permutation_test": Call("permuted"),
    "power": Call("curved"),
    "predictions": Call("predicted"),
    "scores": Call("cross_fitted", {"color": "site"}),
    "tuning": Call("tuned"),
    "volcano": Call("stable_with_rates"),
}
"""Calls that draw a legend."""

NAMED = {name: plot.calls[0] for name, plot in PLOTS.items() if name in ("attribution", "loadings", "scores")}
NAMED |= {name: PLOTS[name].calls[-1] for name in ("gene_stability", "volcano")}
"""Calls that take components of a metric."""

CALLS = [(name, call) for name, plot in PLOTS.items() for call in plot.calls]
FIRST = [(name, plot.calls[0]) for name, plot in PLOTS.items()]
ON_AXES = [(name, call) for name, call in CALLS if PLOTS[name].takes_ax]
FIRST_ON_AXES = [(name, call) for name, call in FIRST if PLOTS[name].takes_ax]


def over(argument: str, entries: list[tuple[str, Any]]) -> pytest.MarkDecorator:
    """Run a test over entries of the table, each under the name of its plot and a number."""
    counts: dict[str, int] = {}
    ids = []
    for name, _ in entries:
        counts[name] = counts.get(name, 0) + 1
        ids.append(f"{name}-{counts[name]}")
    return pytest.mark.parametrize(("name", argument), entries, ids=ids)


@pytest.fixture
def data(request) -> Callable[[str], AnnData]:
    """What a fixture holds, as a copy that a test may change."""
    return lambda name: request.getfixturevalue(name).copy()


@pytest.fixture(scope="module")
def reread(request, tmp_path_factory) -> Callable[[str, str], AnnData]:
    """What comes back of a fixture from a file of a kind."""

    @cache
    def reread(name: str, kind: str) -> AnnData:
        store = MemoryStore() if kind == "zarr" else tmp_path_factory.mktemp("stored") / f"{name}.h5ad"
        getattr(request.getfixturevalue(name).copy(), f"write_{kind}")(store)  # writing turns text into categories
        return getattr(ad, f"read_{kind}")(store)

    return reread


@pytest.fixture(scope="module")
def picture(request) -> Callable[[str, Call], "Picture"]:
    """What a call draws in a figure of its own."""

    known: dict[tuple[str, int], Picture] = {}

    def picture(name: str, call: Call) -> Picture:
        at = name, PLOTS[name].calls.index(call)
        if at not in known:
            known[at] = take(draw(name, request.getfixturevalue(call.data).copy(), call.options))
        return known[at]

    return picture


def draw(name: str, adata: AnnData, options: Options, **more: Any) -> Any:
    return getattr(sg.pl, name)(adata, **options, **more)


def axes_of(drawn: Drawn) -> list[Axes]:
    """The axes that a plot returned."""
    if isinstance(drawn, ClusterGrid):
        return [drawn.ax_heatmap]
    return drawn if isinstance(drawn, list) else [drawn]


def titles_of(drawn: Drawn) -> list[Text]:
    """The titles of the panels."""
    panels = [drawn.ax_col_dendrogram] if isinstance(drawn, ClusterGrid) else axes_of(drawn)
    return [axes.title for axes in panels]


def legends_of(drawn: Drawn) -> list[Legend]:
    """The legends of the panels and of the figure."""
    figure = figure_of(drawn)
    return [*figure.legends, *(legend for axes in figure.axes if (legend := axes.get_legend()) is not None)]


def colors_of(drawn: Drawn) -> set[str]:
    """The colors of all that is drawn."""
    figure = figure_of(drawn)
    figure.canvas.draw()
    found: set[str] = set()
    for artist in figure.findobj():
        match artist:
            case Line2D():
                values = [artist.get_color()]
            case Patch():
                values = [artist.get_facecolor()]
            case Collection():
                values = list(artist.get_facecolor().reshape(-1, 4))
            case AxesImage():
                shown = artist.get_array()
                values = list(shown.reshape(-1, 3)) if shown.ndim == 3 else []
            case _:
                continue
        found |= {to_hex(value) for value in values}
    return found


def figure_of(drawn: Drawn) -> Figure:
    (figure,) = {axes.figure for axes in axes_of(drawn)}
    return figure


def artists(part: Figure | Axes) -> Artists:
    """Texts, numbers and colors of all that is drawn, in order."""
    found = []
    for artist in part.findobj():
        match artist:
            case Text():
                values = [artist.get_text(), artist.get_color(), artist.get_fontweight(), artist.get_visible()]
            case Line2D():
                values = [artist.get_xydata(), artist.get_color(), artist.get_linestyle(), artist.get_marker()]
            case Patch():
                values = [artist.get_path().vertices, artist.get_patch_transform().get_matrix(), artist.get_facecolor()]
            case Collection():
                values = [artist.get_offsets(), artist.get_sizes() if hasattr(artist, "get_sizes") else 0.0]
                values += [artist.get_array(), artist.get_facecolor(), *(path.vertices for path in artist.get_paths())]
            case AxesImage():
                values = [artist.get_array()]
            case Axes():
                values = [artist.get_xlim(), artist.get_ylim(), artist.get_xscale(), artist.get_yscale()]
            case _:
                continue
        found.append((type(artist).__name__, [np.ma.getdata(value) for value in values]))
    return found


def data_artists(axes: Axes) -> Artists:
    """Artists inside the axes, titles and entries of the legend, but nothing that depends on the size of the axes."""
    inside = [*axes.collections, *axes.lines, *axes.patches, *axes.images, *axes.texts]
    texts = [axes.title, axes.xaxis.label, axes.yaxis.label]
    if axes.get_legend() is not None:
        texts += axes.get_legend().get_texts()
    return [each for artist in [*inside, *texts] for each in artists(artist)]


@dataclass(frozen=True)
class Picture:
    """A figure as plain values: all its artists, those inside each of the returned axes, and the image."""

    artists: Artists
    inside: list[Artists]
    pixels: np.ndarray


def take(drawn: Drawn) -> Picture:
    figure = figure_of(drawn)
    figure.canvas.draw()  # from here on ticks have labels
    inside = [data_artists(axes) for axes in axes_of(drawn)]
    found = Picture(artists(figure), inside, np.array(figure.canvas.buffer_rgba()))
    plt.close(figure)
    return found


def assert_alike(found: Artists, truth: Artists) -> None:
    assert [kind for kind, _ in found] == [kind for kind, _ in truth]
    for (kind, values), (_, others) in zip(found, truth, strict=True):
        assert len(values) == len(others)
        for value, other in zip(values, others, strict=True):
            np.testing.assert_array_equal(value, other, err_msg=kind)


def assert_same_picture(found: Picture, truth: Picture) -> None:
    assert_alike(found.artists, truth.artists)
    np.testing.assert_array_equal(found.pixels, truth.pixels)


@contextmanager
def untouched(adata: AnnData) -> Iterator[None]:
    """Within the block nothing is written into the data, and no setting or state of another package changes."""
    before = slots(adata)
    settings = dict(mpl.rcParams)
    state = np.random.get_state(legacy=False)  # noqa: NPY002
    yield
    assert_same(slots(adata), before)
    assert dict(mpl.rcParams) == settings
    np.testing.assert_equal(np.random.get_state(legacy=False), state)  # noqa: NPY002


# The table


def test_every_plot_is_in_the_table():
    assert sorted(PLOTS) == sorted(sg.pl.__all__)


@pytest.mark.parametrize("name", sg.pl.__all__)
def test_options_that_all_plots_share_look_the_same(name):
    found = inspect.signature(getattr(sg.pl, name)).parameters
    shared = {option: found[option] for option in SHARED if option in found}
    assert list(found)[-len(shared) :] == list(shared)
    assert {"title", "show", "save"} <= set(shared)
    assert {option: p.default for option, p in shared.items() if option != "legend_loc"} == dict.fromkeys(
        [option for option in shared if option != "legend_loc"]
    )
    assert all(p.kind is inspect.Parameter.KEYWORD_ONLY for p in shared.values())
    assert ("ax" in shared) == PLOTS[name].takes_ax
    assert ("palette" in shared) == (name in PALETTES)
    assert ("ncols" in shared) == any(call.panels > 1 for call in PLOTS[name].calls)


@pytest.mark.parametrize("name", sg.pl.__all__)
def test_plots_with_a_legend_take_its_place(name, picture, request):
    legends = []
    for call in PLOTS[name].calls:
        drawn = draw(name, request.getfixturevalue(call.data).copy(), call.options)
        legends += legends_of(drawn)
    assert ("legend_loc" in inspect.signature(getattr(sg.pl, name)).parameters) == bool(legends)
    assert bool(legends) == (name in LEGENDS)


# What is drawn


@over("call", CALLS)
def test_the_axes_are_returned_and_nothing_else_changes(name, call, data):
    adata = data(call.data)
    with untouched(adata):
        drawn = draw(name, adata, call.options)
    promised = get_type_hints(getattr(sg.pl, name))["return"]
    kinds = get_args(promised) if isinstance(promised, UnionType) else (promised,)
    assert isinstance(drawn, tuple(list if kind == list[Axes] else kind for kind in kinds))
    assert len(axes_of(drawn)) == call.panels
    assert all(axes.has_data() for axes in axes_of(drawn))
    assert plt.get_fignums() == [figure_of(drawn).number]


def signs(drawn: Drawn) -> Iterator[tuple[Any, Any]]:
    """Yield the color inside of each line, mark and bar, and of each entry of a legend, and the color around it."""
    handles = [handle for legend in legends_of(drawn) for handle in legend.legend_handles]
    for artist in [*figure_of(drawn).findobj(), *handles]:
        match artist:
            case Line2D():
                if artist.get_linestyle() not in NOTHING:
                    yield "none", artist.get_color()
                if artist.get_marker() not in NOTHING:
                    yield artist.get_markerfacecolor(), artist.get_markeredgecolor()
            case LineCollection():
                yield from (("none", color) for color in artist.get_color())
            case PathCollection():
                faces, edges = (color.reshape(-1, 4) for color in (artist.get_facecolor(), artist.get_edgecolor()))
                if len(faces) and len(edges):
                    yield from zip(
                        *(np.resize(c, (max(len(faces), len(edges)), 4)) for c in (faces, edges)), strict=True
                    )
            case Patch():
                yield artist.get_facecolor(), artist.get_edgecolor()


@over("call", CALLS)
def test_lines_and_open_marks_are_seen_on_dark_paper(name, call, data):
    with plt.style.context("dark_background"):
        drawn = draw(name, data(call.data), call.options)
        figure_of(drawn).canvas.draw()
    for inside, around in signs(drawn):
        line, face = to_rgba(around), to_rgba(inside)
        if face[3] == 0:  # nothing but a line, if at all
            assert line[3] == 0 or max(line[:3]) > 0.25
        if min(face) == 1:  # white, as if it were open on white paper
            assert min(line) == 1


@over("call", FIRST)
def test_a_view_stays_a_view(name, call, data):
    view = data(call.data)[:]
    with untouched(view):
        draw(name, view, call.options)
    assert view.is_view


@over("call", CALLS)
def test_what_comes_back_from_h5ad_is_drawn_the_same(name, call, reread, picture):
    assert_same_picture(take(draw(name, reread(call.data, "h5ad"), call.options)), picture(name, call))


@over("call", FIRST)
def test_what_comes_back_from_zarr_is_drawn_the_same(name, call, reread, picture):
    assert_same_picture(take(draw(name, reread(call.data, "zarr"), call.options)), picture(name, call))


@pytest.mark.parametrize("name", PLOTS)
def test_each_call_draws_a_picture_of_its_own(name, picture):
    pictures = [picture(name, call).artists for call in PLOTS[name].calls]
    for one, other in itertools.combinations(pictures, 2):
        with pytest.raises(AssertionError):  # else the tests above could not tell them apart
            assert_alike(one, other)


# Given axes


@over("call", ON_AXES)
def test_given_axes_are_drawn_on_and_handed_back(name, call, data, picture):
    own = picture(name, call).inside
    figure = plt.figure(figsize=(4.0 * call.panels, 4.0))
    *given, spare = figure.subplots(1, call.panels + 1)
    elsewhere = plt.figure()  # the current one
    drawn = draw(name, data(call.data), call.options, ax=given if call.panels > 1 else given[0])
    assert axes_of(drawn) == given
    figure.canvas.draw()
    for axes, truth in zip(given, own, strict=True):
        assert_alike(data_artists(axes), truth)
    assert not spare.has_data()
    assert elsewhere.axes == []
    assert plt.gcf() is elsewhere
    assert plt.get_fignums() == [figure.number, elsewhere.number]


@over("call", FIRST_ON_AXES)
def test_a_wrong_number_of_axes_is_refused(name, call, data):
    for n in {1, call.panels - 1, call.panels + 1} - {0, call.panels}:
        figure, given = plt.subplots(1, n)
        with pytest.raises(ValueError, match=rf"^ax has {n} axes; this plot has {call.panels} panels\.$"):
            draw(name, data(call.data), call.options, ax=given)
        assert not any(axes.has_data() for axes in figure.axes)
        assert plt.get_fignums() == [figure.number]
        plt.close(figure)


@over("call", FIRST_ON_AXES)
def test_axes_that_cannot_be_drawn_on_are_refused(name, call, data):
    for projection in ("polar", "3d"):
        given = [plt.figure().add_subplot(projection=projection) for _ in range(call.panels)]
        with pytest.raises(ValueError, match=f"projection='{projection}', where no plot can be drawn"):
            draw(name, data(call.data), call.options, ax=given)


@over("call", FIRST_ON_AXES)
def test_axes_of_a_part_of_a_figure_are_drawn_on_and_the_whole_is_saved(name, call, data, tmp_path):
    whole = plt.figure(figsize=(2.5 * call.panels + 1.0, 2.5))
    beside, part = whole.subfigures(1, 2, width_ratios=(1.0, 2.5 * call.panels))
    beside.text(0.5, 0.5, "beside", color="#FF00FF", fontsize="xx-large")
    given = np.ravel(part.subplots(1, call.panels)).tolist()
    drawn = draw(name, data(call.data), call.options, ax=given, save=tmp_path / "plot.png")
    assert axes_of(drawn) == given
    assert isinstance(given[0].figure, SubFigure)
    assert all(axes.has_data() for axes in given)
    image = plt.imread(tmp_path / "plot.png")[..., :3]
    assert (image == (1.0, 0.0, 1.0)).all(axis=2).any()
    assert plt.get_fignums() == [whole.number]


# Showing and saving: either leaves open the figure that was handed back, and none but that


@over("call", FIRST)
def test_the_plot_is_saved_in_its_size(name, call, data, tmp_path):
    adata = data(call.data)
    with untouched(adata):
        drawn = draw(name, adata, call.options, save=tmp_path / "plot.png")
    figure = figure_of(drawn)
    assert plt.get_fignums() == [figure.number]
    image = plt.imread(tmp_path / "plot.png")
    assert image[..., :3].std() > 0.1  # something is on it
    shares = np.array(image.shape[:2]) / (200 * figure.get_size_inches()[::-1])
    assert shares.min() > PLOTS[name].fills
    assert shares.max() < 1.1  # nothing lies far outside
    box = 200 * (figure.get_tightbbox().size[::-1] + 0.2)  # padded by 0.1 inch
    np.testing.assert_allclose(image.shape[:2], box, rtol=0.03)


@over("call", FIRST)
def test_the_plot_is_shown_once_when_the_file_is_written(name, call, data, tmp_path, monkeypatch):
    path = tmp_path / "plot.pdf"
    written = []
    monkeypatch.setattr(plt, "show", lambda: written.append(path.read_bytes()))
    drawn = draw(name, data(call.data), call.options, show=True, save=str(path))
    (content,) = written
    assert content.startswith(b"%PDF")
    assert len(content) > 2000
    assert all(axes.has_data() for axes in axes_of(drawn))
    assert plt.get_fignums() == [figure_of(drawn).number]


# The habits of scanpy


@pytest.fixture
def scanpy_settings(tmp_path):
    """The settings of scanpy, which are put back, with a folder for figures that is not there yet."""
    before = {name: getattr(sc.settings, name) for name in ("autoshow", "figdir", "file_format_figs")}
    sc.settings.figdir = tmp_path / "figures" / "of today"
    yield sc.settings
    for name, value in before.items():
        setattr(sc.settings, name, value)


@pytest.fixture
def window():
    """A backend that has where to show figures."""
    plt.switch_backend("module://_window")
    yield
    plt.switch_backend("agg")


@pytest.mark.usefixtures("window")
@over("call", FIRST)
def test_a_plot_is_shown_where_scanpy_shows_its_own(name, call, data, shown, scanpy_settings):
    adata = data(call.data)
    draw(name, adata, call.options)
    assert len(shown) == 1
    draw(name, adata, call.options, show=False)
    scanpy_settings.autoshow = False
    draw(name, adata, call.options)
    assert len(shown) == 1
    drawn = draw(name, adata, call.options, show=True)
    assert len(shown) == 2
    assert all(axes.has_data() for axes in axes_of(drawn))


@over("call", FIRST)
def test_true_saves_under_the_name_of_the_function_where_scanpy_saves(name, call, data, scanpy_settings):
    scanpy_settings.file_format_figs = "svg"
    draw(name, data(call.data), call.options, save=True)
    draw(name, data(call.data), call.options, save=".png")
    files = {path.name: path.read_bytes() for path in scanpy_settings.figdir.iterdir()}
    assert sorted(files) == [f"{name}.png", f"{name}.svg"]
    assert b"<svg" in files[f"{name}.svg"]
    assert files[f"{name}.png"].startswith(b"\x89PNG")


@over("call", FIRST)
def test_titles_stand_above_all_else(name, call, data):
    given = [f"Title {i}" for i in range(call.panels)]
    adata = data(call.data)
    with untouched(adata):
        drawn = draw(name, adata, call.options, title=given if call.panels > 1 else given[0])
    figure_of(drawn).canvas.draw()
    assert [title.get_text() for title in titles_of(drawn)] == given
    for title in titles_of(drawn):
        box = title.get_window_extent()
        others = [*title.axes.texts, *([] if title.axes.get_legend() is None else [title.axes.get_legend()])]
        assert [str(other) for other in others if other.get_window_extent().overlaps(box)] == []


@over("call", FIRST)
def test_a_wrong_number_of_titles_is_refused(name, call, data):
    for wrong in (["x"] * (call.panels + 1), "x" if call.panels > 1 else []):
        with pytest.raises(ValueError, match=rf"this plot has {call.panels} panels; pass"):
            draw(name, data(call.data), call.options, title=wrong)
    with pytest.raises(TypeError, match=r"title=3 is a int; pass a text"):
        draw(name, data(call.data), call.options, title=3)
    assert plt.get_fignums() == []


@pytest.mark.parametrize("name", LEGENDS)
def test_a_legend_stands_where_it_is_asked_for(name, data):
    call = LEGENDS[name]
    adata = data(call.data)
    words = [text.get_text() for text in legends_of(draw(name, adata, call.options))[0].get_texts()]
    for nowhere in (None, "none"):
        assert legends_of(draw(name, adata, call.options, legend_loc=nowhere)) == []
    for loc in ("lower left", "right margin"):
        drawn = draw(name, adata, call.options, legend_loc=loc)
        figure_of(drawn).canvas.draw()
        (legend,) = legends_of(drawn)
        assert [text.get_text() for text in legend.get_texts()] == words
        axes = axes_of(drawn)[0] if legend.axes is None else legend.axes
        left = legend.get_window_extent().x0
        if loc == "right margin":
            assert left > axes.bbox.x1
        else:
            assert axes.bbox.x0 < left < axes.bbox.x0 + 0.2 * axes.bbox.width


@pytest.mark.parametrize("name", LEGENDS)
@pytest.mark.parametrize("wrong", ["upper", "on data", 3, ("upper", "left")])
def test_a_place_where_no_legend_can_stand_is_answered_with_those_where_it_can(name, wrong, data):
    call = LEGENDS[name]
    with pytest.raises(ValueError, match=r"^legend_loc=.* is no place; choose from .*'right margin', 'best'.*or None"):
        draw(name, data(call.data), call.options, legend_loc=wrong)
    assert plt.get_fignums() == []


@pytest.mark.parametrize("name", PALETTES)
def test_groups_have_the_colors_that_are_asked_for(name, data):
    call = PALETTES[name]
    adata = data(call.data)
    by_name = dict(zip(NAMES[name], ("#012345", "tab:olive", (1.0, 0.2, 0.6)), strict=True))
    wanted = {to_hex(color) for color in by_name.values()}
    for given in (by_name | {"not drawn": "white"}, list(by_name.values())):
        with untouched(adata):
            drawn = draw(name, adata, call.options, palette=given)
        assert wanted <= colors_of(drawn)
    first = [to_hex(color) for color in mpl.colormaps["Set2"].colors[:3]]
    ends = [to_hex(color) for color in mpl.colormaps["plasma"]([0.0, 0.5, 1.0])]
    assert set(first) <= colors_of(draw(name, adata, call.options, palette="Set2"))
    assert set(ends) <= colors_of(draw(name, adata, call.options, palette="plasma"))


@pytest.mark.parametrize("name", PALETTES)
@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({}, "palette has no color of {0!r}, {1!r}, {2!r}; pass a color for each group"),
        (["red", "blue"], "palette has 2 colors, but .* has 3 groups"),
        ("Set9", "palette='Set9' is no colormap of matplotlib"),
        (["red", "blue", "glue"], "'glue' is no color"),
    ],
)
def test_a_palette_that_lacks_colors_is_answered_with_what_is_missing(name, wrong, says, data):
    call = PALETTES[name]
    with pytest.raises(ValueError, match=says.format(*NAMES[name])):
        draw(name, data(call.data), call.options, palette=wrong)
    with pytest.raises(TypeError, match="palette=3 is a int; pass colors by group"):
        draw(name, data(call.data), call.options, palette=3)
    assert plt.get_fignums() == []


@pytest.mark.parametrize("name", ["clustermap", "embedding", "heatmap"])
def test_a_palette_without_anything_to_color_is_refused(name, data):
    call = PALETTES[name]
    options = {option: value for option, value in call.options.items() if option not in ("color", "groupby")}
    with pytest.raises(
        ValueError, match=r"^palette='Set2' gives colors to the groups of color, and color is None; pass"
    ):
        draw(name, data(call.data), options, palette="Set2")
    assert plt.get_fignums() == []


@pytest.mark.parametrize("name", [name for name, plot in PLOTS.items() if any(call.panels > 1 for call in plot.calls)])
def test_panels_stand_in_rows_of_the_length_asked_for(name, data):
    call = next(call for call in PLOTS[name].calls if call.panels > 1)
    adata = data(call.data)
    for ncols in (1, 2):
        axes = axes_of(draw(name, adata, call.options, ncols=ncols))
        places = [(a.get_subplotspec().rowspan.start, a.get_subplotspec().colspan.start) for a in axes]
        assert places == [divmod(i, ncols) for i in range(call.panels)]
        plt.close("all")
    with pytest.raises(ValueError, match="ncols=0 must be at least 1"):
        draw(name, adata, call.options, ncols=0)
    with pytest.raises(TypeError, match="ncols='2' must be a whole number"):
        draw(name, adata, call.options, ncols="2")
    assert plt.get_fignums() == []


def test_every_plot_of_components_is_in_the_table():
    taken = {
        name
        for name in sg.pl.__all__
        if {"component", "components"} & set(inspect.signature(getattr(sg.pl, name)).parameters)
    }
    assert taken == {*NAMED, "embedding"}  # the components of an embedding are coordinates of samples


@pytest.mark.parametrize("name", NAMED)
def test_components_have_numbers_and_names(name, data):
    call = NAMED[name]
    several = "components" in inspect.signature(getattr(sg.pl, name)).parameters
    option, number, named = ("components", (2, 1), ("ggml2", "ggml1")) if several else ("component", 2, "ggml2")
    adata = data(call.data)
    drawn = [take(draw(name, adata, {**call.options, option: value})) for value in (number, named)]
    assert_same_picture(*drawn)
    with pytest.raises(ValueError, match=rf"^{option}=.*ggml9.*has components 1 to 2"):
        draw(name, adata, {**call.options, option: ("ggml9", "ggml1") if several else "ggml9"})


# What is refused


@over("call", [(name, each) for name, plot in PLOTS.items() for each in plot.missing])
def test_a_missing_slot_is_answered_with_its_name_and_the_next_step(name, call, data):
    adata = data(call.data)
    with untouched(adata), pytest.raises(KeyError) as error:
        draw(name, adata, call.options)
    message = error.value.args[0]
    assert [part for part in call.says if part not in message] == [], message
    assert plt.get_fignums() == []


@over("options", [(name, each) for name, plot in PLOTS.items() for each in plot.refused])
def test_a_refused_call_leaves_no_figure_behind(name, options, data):
    first = PLOTS[name].calls[0]
    adata = data(first.data)
    with untouched(adata), pytest.raises((KeyError, ValueError)):
        draw(name, adata, {**first.options, **options})
    assert plt.get_fignums() == []
