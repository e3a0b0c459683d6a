"""Options survive the way into a file and back, and what is damaged is named."""

from itertools import product
from typing import get_args

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scggml._core.learn.canonical import Canonical, RidgeScale
from scggml._core.learn.learner import KINDS, Learner, MethodName
from scggml._core.learn.loss import Anchors
from scggml._core.learn.penalty import PenaltyName
from scggml._core.learn.triplets import InitialName, Triplets
from scggml._core.params import from_params, plain, to_params
from scggml._core.transport.coreset import Coreset
from scggml._core.transport.devices import Device
from scggml._core.transport.divergence import SinkhornDivergence
from scggml._core.transport.exact import Backend, Exact
from scggml._core.transport.sinkhorn import Sinkhorn
from scggml._core.transport.solvers import SolverName
from scggml._core.transport.unbalanced import Unbalanced


def as_stored(value):
    """What comes back from h5ad and zarr: mappings of scalars of numpy, 0-d arrays and texts."""
    if isinstance(value, dict):
        return {key: as_stored(part) for key, part in value.items()}
    if isinstance(value, str):
        return np.str_(value) if len(value) % 2 else np.array(value, dtype=object)
    if isinstance(value, bool):
        return np.bool_(value)
    if isinstance(value, int):
        return np.int64(value)
    return np.float64(value) if isinstance(value, float) else value


def leaves(value):
    if isinstance(value, dict):
        for part in value.values():
            yield from leaves(part)
    else:
        yield value


def round_trip(learner):
    params = learner.to_params()
    assert all(isinstance(leaf, str | bool | int | float | np.ndarray) for leaf in leaves(params))
    for stored in (params, as_stored(params)):
        found = Learner.from_params(stored)
        assert found == learner
        assert type(found.recipe) is type(learner.recipe)
        assert found.to_params().keys() == params.keys()
    return Learner.from_params(as_stored(params))


CANONICALS = st.builds(
    Canonical,
    ridge=st.sampled_from(["auto", 0.05, 1, np.float32(0.25)]),
    ridge_scale=st.sampled_from(["auto", *get_args(RidgeScale)]),
    n_alternations=st.sampled_from([1, 3, np.int64(2)]),
    max_features=st.sampled_from([2048, 7]),
    max_pairs=st.sampled_from([20_000, 5]),
)
TRIPLETS = st.builds(
    Triplets,
    margin=st.sampled_from(["auto", 1, 10.0]),
    penalty=st.sampled_from(get_args(PenaltyName)),
    reg=st.sampled_from([0, 0.1]),
    anchors=st.sampled_from(get_args(Anchors)),
    n_triplets=st.sampled_from([None, 5]),
    init=st.sampled_from(get_args(InitialName))
    | CANONICALS
    | st.builds(lambda k: np.eye(k, 4) + 0.1, st.integers(1, 3)),
    lr=st.sampled_from([0.1, 1]),
    max_iter=st.sampled_from([1, 300]),
    tol=st.sampled_from([0, 1e-3]),
    batch_size=st.sampled_from([None, 128]),
    refine=st.sampled_from([0, 3]),
)
ENTROPIC = {
    "epsilon": st.sampled_from([0.02, 1]),
    "tol": st.sampled_from([1e-3, np.float32(0.5)]),
    "device": st.sampled_from(get_args(Device)),
    "unit": st.sampled_from([None, 2.0]),
}
SOLVERS = (
    st.sampled_from(get_args(SolverName))
    | st.builds(
        Exact,
        max_iter=st.sampled_from([10, 10**7]),
        backend=st.sampled_from(get_args(Backend)),
        cache_size=st.sampled_from([0, 512.0]),
    )
    | st.builds(Sinkhorn, **ENTROPIC)
    | st.builds(SinkhornDivergence, **ENTROPIC)
    | st.builds(Unbalanced, reach=st.sampled_from([1, 0.5]), **ENTROPIC)
)
LEARNERS = st.builds(
    Learner,
    method=st.sampled_from(get_args(MethodName)) | CANONICALS | TRIPLETS,
    n_comps=st.sampled_from([None, 1, np.int32(7)]),
    squared=st.booleans() | st.just(np.True_),
    shrinkage=st.sampled_from(["auto", 0, 0.4, 1, np.float64(0.2)]),
    solver=SOLVERS,
)


@given(LEARNERS)
@settings(max_examples=200)
def test_every_learner_survives_the_way_into_a_file_and_back(learner):
    round_trip(learner)


@pytest.mark.parametrize(("name", "squared", "n_comps"), [*product(get_args(MethodName), (True, False), (None, 3))])
def test_methods_by_name_are_stored_with_their_options(name, squared, n_comps):
    found = round_trip(Learner(method=name, squared=squared, n_comps=n_comps))
    assert (found.squared, found.n_comps) == (squared, n_comps)
    assert found.to_params()["method"]["name"] == ("canonical" if name == "canonical" else "triplets")


def test_options_are_nested_dicts_of_plain_values():
    learner = Learner(method=Triplets(init=Canonical(ridge=np.float32(0.5)), batch_size=None), n_comps=None)
    params = learner.to_params()
    assert params["name"] == "learner"
    assert "n_comps" not in params
    assert "batch_size" not in params["method"]
    assert params["method"]["init"] == {
        "name": "canonical", "ridge": 0.5, "ridge_scale": "auto", "n_alternations": 3, "max_features": 2048,
        "max_pairs": 20_000,
    }  # fmt: skip
    assert type(params["method"]["init"]["ridge"]) is float
    assert params["solver"] == {"name": "exact", "max_iter": 10_000_000, "backend": "simplex", "cache_size": 512.0}
    found = round_trip(learner)
    assert found.recipe.batch_size is None
    assert found.recipe.init == Canonical(ridge=0.5)


def test_a_start_by_numbers_is_stored_as_a_copy():
    start = np.arange(6.0).reshape(2, 3)
    params = Learner(method=Triplets(init=start)).to_params()
    np.testing.assert_array_equal(params["method"]["init"], start)
    assert not np.shares_memory(params["method"]["init"], start)
    other = Learner(method=Triplets(init=start + 1e-12))
    assert Learner.from_params(params) == Learner(method=Triplets(init=start))
    assert Learner.from_params(params) != other
    assert Learner.from_params(params) != Learner(method=Triplets(init="pca"))


def test_learners_are_equal_by_their_options():
    assert Learner() == Learner(method="canonical") == Learner(method=Canonical(), solver=Exact())
    assert Learner(method="paper") == Learner(method=Triplets.paper())
    assert len({id(learner) for learner in (Learner(), Learner())}) == 2
    for other in (
        Learner(n_comps=5),
        Learner(squared=True),
        Learner(shrinkage=0.4),
        Learner(method="triplets"),
        "canonical",
    ):
        assert Learner() != other
    with pytest.raises(TypeError, match="unhashable"):
        hash(Learner())


# Damage


def damaged(path, value):
    params = Learner(method=Triplets(init=Canonical())).to_params()
    part = params
    for key in path[:-1]:
        part = part[key]
    if value is None:
        del part[path[-1]]
    else:
        part[path[-1]] = value
    return params


@pytest.mark.parametrize(
    ("path", "value", "text"),
    [
        (["name"], None, r"learner is \{.*; options with a name are needed"),
        (
            ["name"],
            "forest",
            r"learner names 'forest', which is not known here; known are 'canonical', 'triplets', 'exact'",
        ),
        (["name"], "exact", r"learner \(exact\) has an entry 'method' that is not known"),
        (
            ["depth"],
            3,
            r"learner \(learner\) has an entry 'depth' that is not known; known are method, n_comps, squared",
        ),
        (["squared"], None, r"learner \(learner\) is damaged: squared=None must be True or False"),
        (["squared"], "yes", r"learner \(learner\) is damaged: squared='yes' must be True or False"),
        (["n_comps"], 0, r"learner \(learner\) is damaged: n_comps=0 must be at least 1"),
        (["shrinkage"], 2.0, r"learner \(learner\) is damaged: shrinkage=2\.0 must be a share"),
        (["method"], None, r"learner \(learner\) is damaged: method is a NoneType"),
        (["method"], "sorting", r"learner \(learner\) is damaged: method='sorting' is not known"),
        (["method"], Exact(), r"learner \(learner\) is damaged: method is a Exact"),
        (["method", "name"], "exact", r"learner\['method'\] \(exact\) has an entry 'margin' that is not known"),
        (["method", "name"], None, r"learner\['method'\] is \{.*; options with a name are needed"),
        (["method", "margin"], -1.0, r"learner\['method'\] \(triplets\) is damaged: margin=-1\.0 must be"),
        (["method", "tol"], None, r"learner\['method'\] \(triplets\) is damaged: tol=None must be a share"),
        (
            ["method", "init"],
            np.ones(3),
            r"learner\['method'\] \(triplets\) is damaged: Triplets: init is an array of sh",
        ),
        (
            ["method", "init", "ridge"],
            None,
            r"learner\['method'\]\['init'\] \(canonical\) is damaged: Canonical: ridge=None",
        ),
        (
            ["method", "init", "ridge"],
            "big",
            r"learner\['method'\]\['init'\] \(canonical\) is damaged: Canonical: ridge='bi",
        ),
        (["method", "init", "rigde"], 1.0, r"learner\['method'\]\['init'\] \(canonical\) has an entry 'rigde'"),
        (
            ["solver", "backend"],
            "gpu",
            r"learner\['solver'\] \(exact\) is damaged: Exact\(backend='gpu'\) is not known",
        ),
        (["solver"], {"name": "canonical"}, r"learner\['solver'\] \(canonical\) is damaged: Canonical: ridge=None"),
    ],
)
def test_damaged_options_are_named(path, value, text):
    with pytest.raises(ValueError, match=text):
        Learner.from_params(damaged(path, value))


@pytest.mark.parametrize("params", [None, 3, "learner", [("name", "learner")], np.array(["learner"])])
def test_what_holds_no_options_is_refused(params):
    with pytest.raises(ValueError, match=r"learner is .*; options with a name are needed"):
        Learner.from_params(params)


@pytest.mark.parametrize("options", [Canonical(), Exact(), Triplets(), Coreset()])
def test_options_of_something_else_are_no_learner(options):
    with pytest.raises(
        ValueError, match=f"learner holds options of a {type(options).__name__}; those of a Learner are"
    ):
        Learner.from_params(to_params(options, KINDS))


def test_a_long_value_is_shortened_in_the_message():
    with pytest.raises(ValueError, match=r"^there is 'x+\.\.\.; options") as error:
        from_params("x" * 5000, KINDS, "there")
    assert len(str(error.value)) < 150


def test_a_class_of_ones_own_cannot_be_stored():
    class Mine(Exact):
        pass

    with pytest.raises(TypeError, match="A Mine cannot be stored beside the metric; pass one of Canonical, Triplets"):
        Learner(solver=Mine()).to_params()


@given(st.integers(1, 500), st.integers(1, 20))
@settings(max_examples=20)
def test_other_options_survive_too(n_points, max_iter):
    summary = Coreset(n_points, max_iter)
    assert from_params(as_stored(to_params(summary, KINDS)), KINDS, "summary") == summary


@pytest.mark.parametrize(
    ("stored", "value"),
    [
        (np.int64(3), 3), (np.float32(0.5), 0.5), (np.bool_(True), True), (np.str_("a"), "a"), (b"a", "a"),
        (np.array(3), 3), (np.array("a"), "a"), (np.array("a", dtype=object), "a"), (np.bytes_(b"a"), "a"), ("a", "a"),
        (None, None), (2, 2),
    ],
)  # fmt: skip
def test_scalars_of_numpy_become_those_of_python(stored, value):
    found = plain(stored)
    assert found == value
    assert type(found) is type(value)


def test_arrays_stay_arrays():
    array = np.arange(3)
    assert plain(array) is array
