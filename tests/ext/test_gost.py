"""Whatever stands in an answer: it is read as values that can be, or refused."""

import copy
import json
from contextlib import suppress

import numpy as np
from _gost import Gost
from hypothesis import given, settings
from hypothesis import strategies as st

from scggml.ext._gost import read_answer
from scggml.ext._query import Query, Question
from scggml.ext._service import MalformedError, _parse

QUERY = Query("ggml1", "higher in a", ["G1", "G2", "G3"])
QUESTION = Question(None, [1], [QUERY], [], [], np.empty((0, 1)), [])  # only the queries are looked at
ASKED = {
    "query": {QUERY.name: QUERY.genes},
    "background": [],
    "ordered": False,
    "all_results": True,
    "user_threshold": 0.05,
    "sources": [],
    "organism": "hsapiens",
}
RIGHT = Gost({"A": ["G1", "G2", "G7"], "B": ["G3", "G8"]}).answer(ASKED)
ANY = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5) | st.just("G1"),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=2),
    max_leaves=4,
)


def places(value, path=()):
    """Every place in a JSON value."""
    yield path
    for key in value if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else ():
        yield from places(value[key], (*path, key))


PLACES = [path for path in places(RIGHT) if path]


def test_the_right_answer_is_read():
    answer = read_answer(RIGHT, QUESTION, ASKED, "m")
    assert [(row["native"], row["intersection"]) for row in answer.rows] == [("A", "G1,G2"), ("B", "G3")]


@settings(max_examples=50)
@given(st.sampled_from(PLACES), ANY, st.booleans())
def test_any_value_in_any_place_is_read_as_one_that_can_be_or_refused(path, value, removed):
    answer = copy.deepcopy(RIGHT)
    holder = answer
    for key in path[:-1]:
        holder = holder[key]
    if removed:
        del holder[path[-1]]
    else:
        holder[path[-1]] = value
    try:
        found = read_answer(_parse(json.dumps(answer).encode()), QUESTION, ASKED, "m")
    except MalformedError:
        return
    for row in found.rows:
        assert all(0 <= row[name] <= 1 for name in ("p_adjusted", "precision", "recall"))
        sizes = [row[name] for name in ("intersection_size", "term_size", "effective_domain_size")]
        assert all(isinstance(size, int) for size in sizes)
        assert 0 <= sizes[0] <= sizes[1] <= sizes[2]
        assert row["significant"] in (True, False)
        for name in ("source", "native", "name", "description", "intersection"):
            assert row[name].encode().decode() == row[name]
    assert all(isinstance(name, str) for name in [found.version, found.timestamp, *found.unmapped])


@given(st.binary(max_size=40) | st.text(max_size=40).map(str.encode))
def test_any_bytes_are_an_object_or_refused(body):
    with suppress(MalformedError):
        assert isinstance(_parse(body), dict)
