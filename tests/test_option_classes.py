"""Options of every public class are checked when it is made, with the name and the value in the message."""

import dataclasses
import re
from typing import Any, Literal, get_args, get_origin, get_type_hints

import numpy as np
import pytest

import scggml as sg

ENTROPIC = [sg.tl.Sinkhorn, sg.tl.SinkhornDivergence, sg.tl.Unbalanced]
CLASSES = [
    *(sg.tl.Blend, sg.tl.Canonical, sg.tl.Coreset, sg.tl.Exact, sg.tl.Learner, sg.tl.Preprocess, sg.tl.Triplets),
    *(sg.tl.Gaussian, sg.tl.Groups, sg.tl.Mixture),
    *(sg.tl.Frequencies, sg.tl.MeanEmbedding),
    *ENTROPIC,
]

BAD: dict[str, Any] = {
    "True": True,
    "one": 1,
    "minus one": -1,
    "zero": 0,
    "half": 0.5,
    "NaN": np.nan,
    "infinite": np.inf,
    "complex": 1j,
    "masked": np.ma.masked,
    "text": "x",
    "bytes": b"x",
    "None": None,
    "list": [],
    "dict": {},
    "array": np.array([1.0, 2.0]),
    "masked array": np.ma.masked_equal([[1.0, 2.0]], 2.0),
    "class": dict,
}

RIGHT: dict[str, set[str]] = {
    "Canonical.ridge": {"one", "half"},
    "Canonical.n_alternations": {"one"},
    "Canonical.max_features": {"one"},
    "Canonical.max_pairs": {"one"},
    "Coreset.n_points": {"one"},
    "Coreset.max_iter": {"one"},
    "Exact.max_iter": {"one"},
    "Exact.cache_size": {"one", "zero", "half"},
    "Frequencies.n_cells": {"one"},
    "Groups.key": {"text"},
    "Groups.shared": {"True"},
    "Learner.bags": {"None"},
    "Learner.n_comps": {"one", "None"},
    "Learner.squared": {"True"},
    "Learner.shrinkage": {"one", "zero", "half"},
    "MeanEmbedding.bandwidths": {"one", "half"},
    "MeanEmbedding.n_features": {"one"},
    "MeanEmbedding.n_cells": {"one"},
    "Mixture.n": {"one"},
    "Mixture.shared": {"True"},
    "Mixture.max_n": {"one"},
    "Mixture.key": {"text", "None"},
    "Preprocess.normalize": {"True"},
    "Preprocess.n_top_genes": {"one", "None"},
    "Preprocess.scale": {"True"},
    "Preprocess.n_comps": {"one", "None"},
    "Triplets.margin": {"one", "half"},
    "Triplets.reg": {"one", "zero", "half"},
    "Triplets.n_triplets": {"one", "None"},
    "Triplets.lr": {"one", "half"},
    "Triplets.max_iter": {"one"},
    "Triplets.tol": {"zero", "half"},
    "Triplets.batch_size": {"None"},
    "Triplets.refine": {"one", "zero"},
    "Triplets.keep_history": {"True"},
}
"""The values among these that an option takes."""

for _cls in ENTROPIC:
    RIGHT |= {
        f"{_cls.__name__}.epsilon": {"one", "half"},
        f"{_cls.__name__}.tol": {"half"},
        f"{_cls.__name__}.max_iter": {"one"},
        f"{_cls.__name__}.cache_size": {"one", "zero", "half"},
        f"{_cls.__name__}.unit": {"one", "half", "None"},
    }
RIGHT["Unbalanced.reach"] = {"one", "half"}

OPTIONS = [(cls, field.name) for cls in CLASSES for field in dataclasses.fields(cls)]


def test_every_public_class_that_is_made_of_options_is_tried():
    results = {sg.get.CrossValidation, sg.get.Metric, sg.get.Power}
    elsewhere = {sg.tl.PatpyMethod, sg.tl.Ensemble}  # by tests of their own
    public = [getattr(room, name) for room in (sg.tl, sg.pl, sg.ext, sg.get, sg.datasets) for name in room.__all__]
    assert {thing for thing in public if isinstance(thing, type)} - results - elsewhere == set(CLASSES)
    assert set(RIGHT) <= {f"{cls.__name__}.{name}" for cls, name in OPTIONS}


@pytest.mark.parametrize("value", BAD)
@pytest.mark.parametrize(("cls", "name"), OPTIONS, ids=[f"{cls.__name__}.{name}" for cls, name in OPTIONS])
def test_a_value_of_another_kind_is_refused_by_name(cls, name, value):
    if value in RIGHT.get(f"{cls.__name__}.{name}", set()):
        cls(**{name: BAD[value]})
        return
    with pytest.raises((TypeError, ValueError)) as found:
        cls(**{name: BAD[value]})
    text = str(found.value)
    assert re.search(rf"\b{name}\b", text), text
    said = (repr(BAD[value])[:20], type(BAD[value]).__name__, getattr(BAD[value], "__name__", "?"))
    kind = "array" if isinstance(BAD[value], np.ndarray) else "a class" if isinstance(BAD[value], type) else "?"
    assert any(word in text for word in (*said, kind)), text
    assert re.search(r"must be|choose from|pass|needed", text), text


@pytest.mark.parametrize(("cls", "name"), OPTIONS, ids=[f"{cls.__name__}.{name}" for cls, name in OPTIONS])
def test_the_defaults_and_all_names_pass(cls, name):
    cls(**{name: getattr(cls(), name)})
    kinds = get_type_hints(cls)[name]
    for kind in (kinds, *get_args(kinds)):
        if get_origin(kind) is Literal:
            for choice in get_args(kind):
                cls(**{name: choice})


@pytest.mark.parametrize("metrics", ["canonical", [], (), [["canonical"]], [3], ["canonical", "magic"], None])
def test_a_blend_is_a_list_of_metrics(metrics):
    with pytest.raises((TypeError, ValueError), match=r"^Blend: metrics"):
        sg.tl.Blend(metrics)
