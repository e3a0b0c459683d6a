"""Whatever happens to a stored entry, its readers give what they gave, or say which slot to make anew by which call."""

import copy
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from _new import measured_again
from anndata import AnnData
from hypothesis import given, settings
from hypothesis import strategies as st
from matplotlib.text import Text
from scipy import sparse

import scggml as sg

QUIET = {"progress": False}
SERIAL = {"n_jobs": 1, "progress": False}


def make() -> AnnData:
    """12 samples of 8 cells of two types and 6 genes in two classes, with an age that moves a gene."""
    rng = np.random.default_rng(0)
    label, age = np.repeat(np.arange(12) % 2, 8), np.repeat(rng.uniform(20, 80, 12), 8)
    X = rng.normal(size=(96, 6)) + 0.3 * np.repeat(rng.normal(size=(12, 6)), 8, axis=0)
    X[:, :2] += 2.0 * label[:, None]
    X[:, 5] += 0.02 * age
    obs = pd.DataFrame({"sample": np.repeat([f"s{i}" for i in range(12)], 8), "label": np.where(label, "ill", "well")})
    obs["type"], obs["age"] = np.where(np.arange(96) % 2, "T", "B"), age
    obs.index = [f"cell{i}" for i in range(96)]
    return AnnData(X, obs=obs, var=pd.DataFrame(index=[f"G{i}" for i in range(6)]))


class Stored(dict[str, AnnData]):
    """Everything that any function stores, by name, and what its readers give as long as nothing happens to it."""

    def __init__(self, **parts: AnnData) -> None:
        super().__init__(parts)
        self._truth: dict[tuple[str, str], list[Any]] = {}

    def __repr__(self) -> str:
        return "stored"  # hypothesis writes arguments down

    def truth(self, where: tuple[str, str]) -> list[Any]:
        if where not in self._truth:
            self._truth[where] = [read(self[where[0]].copy()) for read in READERS[where]]
        return self._truth[where]


@pytest.fixture(scope="module")
def stored() -> Stored:
    cells = make()
    sg.tl.ggml(cells, "sample", "label", n_comps=2, covariate_keys=["age"], **QUIET)
    sg.tl.rank_genes(cells, cell_type_key="type", **QUIET)
    sg.tl.gene_stability(cells, 2, n_perm=19, n_top=2, **SERIAL)
    sg.tl.cross_fit(cells, n_splits=3, **SERIAL)
    sg.tl.attribute(cells, cell_type_key="type", **QUIET)
    sg.tl.influence(cells, **SERIAL)
    folds = {"n_splits": 2, "n_repeats": 1}
    sg.tl.cross_validate(cells, methods=["ggml", "majority"], **folds, **SERIAL)
    sg.tl.permutation_test(cells, n_permutations=19, **folds, **SERIAL)
    inner = {"n_inner_splits": 2, "n_inner_repeats": 1}
    sg.tl.tune(cells, space={"shrinkage": [0.2, 0.5]}, **folds, **inner, **SERIAL)
    sg.ext.enrich_gmt(cells, {"first": ["G0", "G1"], "last": ["G4", "G5"]}, min_size=1, all_results=True)
    samples = sg.tl.distances(cells, **QUIET)
    sg.tl.mds(samples)
    sg.tl.tsne(samples)
    sg.tl.covariates(samples, n_perm=19)
    sg.tl.trajectory(samples, cells, key="ggml", cell_type_key="type", n_perm=19, **SERIAL)
    plan = sg.tl.plan(cells, "s0", "s1")
    return Stored(
        cells=cells, samples=samples, plan=plan, new=sg.tl.predict(measured_again(cells), cells, **folds, **SERIAL)
    )


def drawn(axes: Any) -> list[Any]:
    """Texts, lines, points and bars of a plot."""
    found: list[Any] = []
    for ax in axes if isinstance(axes, list) else [axes]:
        found += [text.get_text() for text in ax.findobj(Text)]
        found += [np.asarray(line.get_xydata(), dtype=float) for line in ax.get_lines()]
        found += [np.asarray(points.get_offsets(), dtype=float) for points in ax.collections]
        found += [np.array([bar.get_x(), bar.get_width()]) for bar in ax.patches if hasattr(bar, "get_x")]
    plt.close("all")
    return found


def cross_validation(adata: AnnData) -> list[Any]:
    found = sg.get.cross_validation(adata)
    return [found.scores, found.predictions, found.differences, found.distances["ggml"], found.verdict, found.chance]


def genes(adata: AnnData) -> pd.DataFrame:
    return sg.tl.rank_genes(adata, copy=True, **QUIET).uns["ggml_genes"]["table"]


READERS: dict[tuple[str, str], list[Callable[[AnnData], Any]]] = {
    ("cells", "ggml"): [
        lambda adata: sg.tl.distances(adata, genes=False, **QUIET).obsp["ggml_distances"],
        lambda adata: [sg.get.metric(adata).components, sg.get.metric(adata).loadings],
        lambda adata: drawn(sg.pl.history(adata)),
        lambda adata: sg.tl.plan(adata, "s0", "s1").X.toarray(),
    ],
    ("cells", "ggml_genes"): [
        sg.get.rank_genes_df,
        lambda adata: sg.get.rank_genes_df(adata, component=1, cell_type="T"),
        lambda adata: drawn(sg.pl.loadings(adata)),
        lambda adata: drawn(sg.pl.volcano(adata)),
    ],
    ("cells", "ggml_stability"): [lambda adata: drawn(sg.pl.gene_stability(adata))],
    ("cells", "ggml_components"): [lambda adata: drawn(sg.pl.loadings(adata))],
    ("cells", "ggml_held_out"): [
        lambda adata: sg.tl.distances(adata, held_out=True, genes=False, **QUIET).obsp["ggml_held_out_distances"],
        lambda adata: drawn(sg.pl.scores(adata)),
    ],
    ("cells", "ggml_attribution"): [lambda adata: drawn(sg.pl.attribution(adata))],
    ("cells", "ggml_influence"): [lambda adata: drawn(sg.pl.influence(adata))],
    ("cells", "ggml_enrichment"): [
        sg.get.enrichment_df,
        lambda adata: drawn(sg.pl.enrichment(adata, max_p_adjusted=1)),
    ],
    ("cells", "cross_validation"): [
        cross_validation,
        lambda adata: drawn(sg.pl.cross_validation(adata)),
        lambda adata: drawn(sg.pl.confusion(adata)),
        lambda adata: drawn(sg.pl.calibration(adata)),
    ],
    ("cells", "tuning"): [lambda adata: drawn(sg.pl.tuning(adata))],
    ("cells", "permutation_test"): [lambda adata: drawn(sg.pl.permutation_test(adata))],
    ("samples", "ggml_distances"): [
        lambda samples: sg.tl.covariates(samples, n_perm=9, copy=True).uns["ggml_covariates"]["table"],
    ],
    ("samples", "mds"): [lambda samples: drawn(sg.pl.embedding(samples))],
    ("samples", "tsne"): [lambda samples: drawn(sg.pl.embedding(samples, basis="tsne"))],
    ("samples", "ggml_covariates"): [lambda samples: drawn(sg.pl.covariates(samples))],
    ("samples", "ggml_trajectory"): [lambda samples: drawn(sg.pl.trajectory(samples, key="ggml"))],
    ("plan", "plan"): [lambda plan: drawn(sg.pl.plan(plan, "type"))],
    ("new", "prediction"): [lambda samples: drawn(sg.pl.predictions(samples))],
}

Path = tuple[str, ...]


def paths(entry: Any, start: Path = ()) -> Iterator[Path]:
    """Where entries are, those of nested options and columns of tables included."""
    for name in entry:
        yield (*start, name)
        if isinstance(entry[name], Mapping | pd.DataFrame):
            yield from paths(entry[name], (*start, name))


EDITS: dict[str, Callable[[Any], Any]] = {
    "None": lambda value: None,
    "text": lambda value: "nonsense",
    "a number": lambda value: 3.5,
    "a dict": lambda value: {"params": {"x": 1}},
    "transposed": lambda value: np.asarray(value).T,
    "truncated": lambda value: value[:-1],
    "narrow": lambda value: np.asarray(value)[..., :-1],
    "flat": np.ravel,
    "another order": lambda value: value[::-1],
    "twice as large": lambda value: value * 2,
    "NaN": lambda value: np.where(np.arange(np.size(value)).reshape(np.shape(value)) == 0, np.nan, value),
    "numbers as text": lambda value: np.asarray(value).astype(str).astype(object),
    "a column less": lambda value: value.iloc[:, 1:],
}
DROP = "left out"


def edited(entry: Mapping[str, Any], path: Path, edit: str) -> Any:
    """The entry with one change; None if it cannot be made."""
    out = copy.deepcopy(dict(entry))
    place: Any = out
    for name in path[:-1]:
        place = place[name]
    try:
        if not path:
            return None if edit == DROP else EDITS[edit](out)
        if edit == DROP:
            del place[path[-1]]
        else:
            place[path[-1]] = EDITS[edit](place[path[-1]])
    except (TypeError, ValueError, AttributeError, LookupError, pd.errors.IndexingError):
        return None
    return out


def same(one: Any, other: Any) -> bool:
    if isinstance(one, list):
        return len(one) == len(other) and all(map(same, one, other))
    if isinstance(one, pd.DataFrame):
        return list(one) == list(other) and len(one) == len(other) and all(same(one[c], other[c]) for c in one)
    a, b = np.asarray(one), np.asarray(other)
    if a.shape != b.shape:
        return False
    if a.dtype.kind in "fiub" and b.dtype.kind in "fiub":
        return np.allclose(a.astype(float), b.astype(float), equal_nan=True)
    return list(map(str, a.ravel())) == list(map(str, b.ravel()))


def reads_equal_or_refuses(read: Callable[[AnnData], Any], adata: AnnData, right: Any, slot: str) -> None:
    try:
        found = read(adata)
    except (KeyError, TypeError, ValueError, UserWarning) as error:  # a warning is an error here
        said = str(error)
        assert slot in said, said
        assert "sg." in said, said
    else:
        assert same(right, found)
    finally:
        plt.close("all")


def check(stored: Stored, where: tuple[str, str], entry: Any) -> None:
    name, slot = where
    for read, right in zip(READERS[where], stored.truth(where), strict=True):
        adata = stored[name].copy()
        adata.uns[slot] = copy.deepcopy(entry)
        reads_equal_or_refuses(read, adata, right, slot)


@pytest.mark.parametrize("where", READERS, ids=lambda where: where[1])
@settings(max_examples=12)
@given(place=st.integers(0, 10_000), edit=st.sampled_from([DROP, *EDITS]))
def test_a_changed_entry_is_read_equal_or_refused_with_the_call_that_makes_it_anew(where, stored, place, edit):
    entry = stored[where[0]].uns[where[1]]
    every = [(), *paths(entry)]
    found = edited(entry, every[place % len(every)], edit)
    if found is not None:
        check(stored, where, found)


@pytest.mark.parametrize("where", READERS, ids=lambda where: where[1])
def test_an_entry_that_is_missing_is_named(where, stored):
    entry = stored[where[0]].uns[where[1]]
    for name in entry:
        check(stored, where, edited(entry, (name,), DROP))


@pytest.mark.parametrize("where", [where for where in READERS if where[1] != "tsne"], ids=lambda where: where[1])
def test_something_of_another_package_is_refused(where, stored):
    for foreign in ({"params": {"x": 1}}, "text", pd.DataFrame({"x": [1]})):
        check(stored, where, foreign)


def test_coordinates_of_scanpy_are_drawn_without_a_word_about_the_metric(stored):
    samples = stored["samples"].copy()
    samples.uns["tsne"] = {"params": {"perplexity": 2}}  # what sc.tl.tsne leaves
    assert not any("training samples" in str(text) for text in drawn(sg.pl.embedding(samples, basis="tsne")))
    plt.close("all")


ARRAYS: dict[tuple[str, str], list[Callable[[AnnData], Any]]] = {
    ("varm", "ggml"): [
        lambda adata: sg.get.metric(adata).loadings,
        genes,
        lambda adata: sg.ext.enrich_gmt(adata, {"first": ["G0", "G1"]}, by="loading", min_size=1, copy=True).uns[
            "ggml_enrichment"
        ]["table"],
        lambda adata: project(adata).varm["ggml"],
    ],
    ("obsm", "X_ggml"): [
        lambda adata: sg.tl.distances(adata, genes=False, **QUIET).obsp["ggml_distances"],
        lambda adata: drawn(sg.pl.scores(adata, held_out=False)),
    ],
    ("obsm", "X_ggml_held_out"): [lambda adata: drawn(sg.pl.scores(adata))],
}


def test_sparse_coordinates_are_refused_in_plain_words():
    adata = make()
    sg.tl.ggml(adata, "sample", "label", n_comps=2, **SERIAL)
    adata.obsm["X_ggml"] = sparse.csr_matrix(adata.obsm["X_ggml"])
    with pytest.raises(
        ValueError, match=r"^adata.obsm\['X_ggml'\] is sparse \(csr_matrix\); coordinates of cells are den"
    ):
        sg.tl.distances(adata, **QUIET)


def project(adata: AnnData) -> AnnData:
    new = AnnData(adata.X.copy(), obs=adata.obs.copy(), var=adata.var.copy())
    sg.tl.project(new, adata)
    return new


@pytest.mark.parametrize("edit", ["transposed", "narrow", "another order", "twice as large", "numbers as text"])
@pytest.mark.parametrize(("place", "slot"), ARRAYS)
def test_a_changed_array_beside_an_entry_is_refused_with_the_call_that_makes_it_anew(place, slot, edit, stored):
    for read in ARRAYS[place, slot]:
        adata = stored["cells"].copy()
        right = read(adata.copy())
        found = EDITS[edit](getattr(adata, place)[slot])
        try:
            getattr(adata, place)[slot] = found
        except (TypeError, ValueError):  # AnnData itself does not take it
            continue
        reads_equal_or_refuses(read, adata, right, slot)
