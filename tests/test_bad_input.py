"""Bad values for every parameter of every public function: refused in words that help, and nothing is changed.

What a parameter takes is read from its annotation. A value of another kind must be refused; one of the right kind may
be refused (-1 neighbors) or not. Each refusal says four things: which argument or slot, the value that was given, what
is wanted instead, and so the next step.
"""

import inspect
import math
import re
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from types import UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

import anndata as ad
import matplotlib.pyplot as plt
import numpy as np
import pytest
from _new import measured_again
from _slots import assert_same, slots

import scggml as sg

QUIET = {"n_jobs": 1, "progress": False}

BAD: dict[str, Any] = {
    "None": None,
    "nan": math.nan,
    "-1": -1,
    "0": 0,
    "1.5": 1.5,
    "True": True,
    "text": "no such",
    "list": [],
    "dict": {"no such": "text"},
    "AnnData": ad.AnnData(np.zeros((2, 2), dtype=np.float32)),
}

SAID = (
    r"pass|must|choose|sg\.|needed|run |at least|leave|give|goes with|adata\.\w+, which|"  # the next step
    r"holds|lacks|there is no|has |none of|neither|are not|is no"  # what there is
)
"""A message says what is wanted, what there is, or which call comes first."""

UNTRIED = {"ax": "drawn on", "save": "writes files", "rng": "any seed is one"}
"""Parameters of which values of the right kind are left out."""

OFFLINE = {
    "convert_genes",
    "gprofiler",
    "cellxgene",
    "breast_cancer",
    "covid19",
    "kidney_disease",
    "myocardial_infarction",
}
"""Functions that would ask a server: only what they refuse is tried."""


@pytest.fixture(scope="module")
def cells() -> ad.AnnData:
    """Twelve donors, with the results of every function of `tl` and `ext`."""
    adata = sg.datasets.synthetic_counts(n_samples=6, n_cells=8, n_genes=20, n_planted=4, n_types=2, rng=0)
    adata.X = np.log1p(adata.X.toarray())
    adata.var["symbol"] = [f"S{i}" for i in range(20)]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        sg.tl.ggml(adata, "sample_id", "label", n_comps=2, mask_var=None, **QUIET)
        sg.tl.rank_genes(adata, cell_type_key="cell_type", **QUIET)
        sg.tl.component_test(adata, n_perm=9, **QUIET)
        sg.tl.gene_stability(adata, 5, n_perm=9, **QUIET)
        sg.tl.cross_fit(adata, n_splits=3, **QUIET)
        sg.tl.attribute(adata, cell_type_key="cell_type", n_perm=9, **QUIET)
        sg.tl.influence(adata, **QUIET)
        few = {"n_splits": 2, "n_repeats": 1, "preprocess": None}
        sg.tl.cross_validate(adata, methods=["canonical", "majority"], **few, **QUIET)
        sg.tl.permutation_test(adata, n_permutations=3, **few, **QUIET)
        sg.tl.power(adata, n_sizes=3, n_draws=2, preprocess=None, **QUIET)
        sg.tl.tune(adata, "sample_id", "label", space={"n_comps": [1, 2]}, n_inner_splits=2, **few, **QUIET)
        sg.ext.enrich_gmt(adata, {"one": list(adata.var_names[:8])}, all_results=True)
    return adata


@pytest.fixture(scope="module")
def samples(cells) -> ad.AnnData:
    """The samples of these cells, with all that is stored beside distances."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        samples = sg.tl.distances(cells, held_out=True, progress=False)
        sg.tl.mds(samples, key="ggml_held_out")
        sg.tl.covariates(samples, key="ggml_held_out", n_perm=9)
        sg.tl.trajectory(samples, cells.copy(), cell_type_key="cell_type", n_perm=9, **QUIET)
    return samples


@pytest.fixture(scope="module")
def given(cells, samples) -> Callable[[str], dict[str, Any]]:
    """Arguments with which a function works, small and quick; the AnnData are copies."""
    held_out = {"key": "ggml_held_out"}
    evaluated = {"n_splits": 2, "n_repeats": 1, "preprocess": None, **QUIET}
    options: dict[str, dict[str, Any]] = {
        "tl.attribute": QUIET,
        "tl.component_test": {"n_perm": 5, **QUIET},
        "tl.covariates": {"n_perm": 5, **held_out},
        "tl.cross_fit": {"n_splits": 3, **QUIET},
        "tl.cross_validate": {"methods": ["majority"], **evaluated},
        "tl.distances": QUIET,
        "tl.gene_stability": {"n_boot": 2, "n_perm": 5, **QUIET},
        "tl.ggml": {"sample_key": "sample_id", "label_key": "label", "n_comps": 1, **QUIET},
        "tl.influence": QUIET,
        "tl.mds": held_out,
        "tl.neighbors": held_out,
        "tl.permutation_test": {"n_permutations": 2, **evaluated},
        "tl.plan": {"sample_a": "class0_00", "sample_b": "class1_00"},
        "tl.power": {"method": "pseudobulk", "n_sizes": 3, "n_draws": 2, "preprocess": None, **QUIET},
        "tl.predict": {"n_splits": 2, "n_repeats": 1, **QUIET},
        "tl.rank_genes": QUIET,
        "tl.trajectory": {"n_perm": 5, **QUIET},
        "tl.tsne": held_out,
        "tl.tune": {"space": {"n_comps": [1]}, "n_inner_splits": 2, **evaluated},
        "get.representation_scores": {"relevant": "label"},
        "pl.clustermap": held_out,
        "pl.covariates": held_out,
        "pl.embedding": {},
        "pl.enrichment": {"max_p_adjusted": 1.0},
        "pl.gene_stability": {},
        "pl.heatmap": {"genes": list(cells.var_names[:3])},
        "pl.plan": {"cell_type_key": "cell_type"},
        "ext.enrich_gmt": {"gene_sets": {"one": list(cells.var_names[:8])}, "all_results": True, "n_perm": 5},
        "ext.convert_genes": {"genes": ["CD4"]},
        "ext.gprofiler": {},
        "datasets.cellxgene": {"dataset_id": "c1f6034b-7973-45e1-85e7-16933d0550bc"},
        "datasets.synthetic": {"n_samples": 2, "n_cells": 4, "n_noise": 1},
        "datasets.synthetic_counts": {"n_samples": 2, "n_cells": 4, "n_genes": 20, "n_planted": 2, "n_types": 2},
    }

    def given(name: str) -> dict[str, Any]:
        out = dict(options.get(name, {}))
        parameters = inspect.signature(function_of(name)).parameters
        if "samples" in parameters:
            out["samples"] = samples.copy()
        if "adata" in parameters:
            out["adata"] = cells.copy()
        if "reference" in parameters:
            out["reference"] = cells.copy()
            out["adata"] = measured_again(cells[:, ::-1])
        if name == "pl.plan":
            out["plan"] = sg.tl.plan(cells, "class0_00", "class1_00")
        if name == "pl.predictions":
            out["samples"] = sg.tl.predict(measured_again(cells[:48]), cells, n_splits=2, n_repeats=1, **QUIET)
        return out

    return given


def function_of(name: str) -> Callable[..., Any]:
    """Return the public function of a name such as "tl.ggml"."""
    module, function = name.split(".")
    return getattr(getattr(sg, module), function)


FUNCTIONS = [
    f"{module}.{name}"
    for module in ("tl", "pl", "ext", "get", "datasets")
    for name in getattr(sg, module).__all__
    if not inspect.isclass(getattr(getattr(sg, module), name))
]
CASES = [(name, parameter) for name in FUNCTIONS for parameter in inspect.signature(function_of(name)).parameters]


CLASSES: dict[Any, Any] = {float: (int, float), Sequence: list, Iterable: list, Mapping: dict}
"""Classes of values that are of the kind of an annotation, where they are not the kind itself."""


def fits(kind: Any, value: Any) -> bool:
    """Return whether a value is of the kind of an annotation."""
    if get_origin(kind) in (Union, UnionType):
        return any(fits(one, value) for one in get_args(kind))
    if get_origin(kind) is Literal:
        return any(type(value) is type(one) and value == one for one in get_args(kind))
    if kind is Any or isinstance(value, bool) or (isinstance(value, float) and math.isnan(value)):
        return kind is Any or (kind is bool and isinstance(value, bool))  # NaN is a number of no kind
    kind = get_origin(kind) or kind
    accepted = CLASSES.get(kind, kind)
    return isinstance(accepted, type | tuple) and isinstance(value, accepted)


def shown(value: Any) -> str:
    """Return a pattern for how a message shows a value."""
    if isinstance(value, list):
        return r"\[\]|list|at least one|no |empty|\b0 |\(0,"
    if isinstance(value, dict):
        return r"\{|dict|no such|text"
    if isinstance(value, ad.AnnData):
        return r"AnnData|adata|samples|\.obs|\.var|\.uns"
    return re.escape(value) if isinstance(value, str) else re.escape(repr(value))


def unclear(error: Exception, parameter: str, value: Any) -> str | None:
    """Return what a refusal leaves out."""
    if not isinstance(error, TypeError | ValueError | KeyError | FileNotFoundError):
        return f"is a {type(error).__name__}"
    text = str(error)
    lacks = []
    if not re.search(rf"\b{parameter}s?\b|\badata\b|\bsamples\b", text):
        lacks.append("the argument or slot")
    if not re.search(f"{shown(value)}|{type(value).__name__}", text):
        lacks.append("the value")
    if not re.search(SAID, text, re.IGNORECASE):
        lacks.append("what is wanted")
    return f"lacks {' and '.join(lacks)}: {text}" if lacks else None


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(("name", "parameter"), CASES, ids=[".".join(case) for case in CASES])
def test_bad_values_are_refused_in_words(given, monkeypatch, name, parameter):
    function = function_of(name)
    kind = get_type_hints(inspect.unwrap(function))[parameter]
    arguments, found = None, {}
    for label, value in BAD.items():
        right = fits(kind, value)
        if right and (parameter in UNTRIED or name.split(".")[1] in OFFLINE):
            continue
        if arguments is None:
            arguments = given(name)
            before = [slots(value) for value in arguments.values() if isinstance(value, ad.AnnData)]
        try:
            function(**(arguments | {parameter: value}))
        except Exception as error:
            wrong = unclear(error, parameter, value)
            if wrong:
                found[label] = wrong
            continue
        if not right:
            found[label] = "is taken"
        arguments = None
    plt.close("all")
    assert not found, "\n".join(f"{parameter}={BAD[label]!r} {wrong}" for label, wrong in found.items())
    if arguments is not None:
        after = [slots(value) for value in arguments.values() if isinstance(value, ad.AnnData)]
        for one, other in zip(after, before, strict=True):
            assert_same(one, other)
