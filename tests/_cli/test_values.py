from collections.abc import Sequence
from typing import Any, Literal

import pytest

from scggml import tl
from scggml._cli.values import list_of, object_of, value_of


@pytest.mark.parametrize(
    ("text", "annotation", "value"),
    [
        ("none", int | None, None),
        ("None", str | None, None),
        ("none", str, "none"),
        ("3", int | None, 3),
        ("3", str, "3"),
        ("0.5", float | Literal["auto"], 0.5),
        ("auto", float | Literal["auto"], "auto"),
        ("3", int | float, 3),
        ("1e-3", int | float, 1e-3),
        ("donor(1)", str | None, "donor(1)"),
        ("Coreset(20)", Any, tl.Coreset(20)),
        ("Coreset(n_points=20)", tl.Coreset | None, tl.Coreset(20)),
    ],
)
def test_values(text: str, annotation: Any, value: Any) -> None:
    found = value_of(text, annotation)
    assert found == value
    assert type(found) is type(value)


def test_objects_may_hold_others() -> None:
    found = object_of('Learner(method=Triplets(init=Canonical(ridge=0.03), penalty="l1"), n_comps=2)')
    assert found == tl.Learner(method=tl.Triplets(init=tl.Canonical(ridge=0.03), penalty="l1"), n_comps=2)


@pytest.mark.parametrize(
    "text",
    [
        "Coreset(",
        "open('x')",
        "Coreset(open('x'))",
        "Coreset(n)",
        "Coreset(**{})",
        "Coreset.x(1)",
        "Coreset(1, 2, 3, 4)",
    ],
)
def test_nothing_else_is_made_or_executed(text: str) -> None:
    with pytest.raises(ValueError, match=r"Coreset|open"):
        object_of(text)


def test_lists() -> None:
    kinds = Literal["classes", "ordered"] | Sequence[str]
    assert list_of(["ordered"], kinds) == "ordered"
    assert list_of(["mild", "severe"], kinds) == ["mild", "severe"]
    assert list_of(["age"], Sequence[str]) == ["age"]
    assert list_of(["2", "ggml1"], Sequence[int | str] | None) == [2, "ggml1"]
