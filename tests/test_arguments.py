"""No value is taken for another: what a signature calls a flag, a text or a list of texts is one."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd
import pytest
from numpy.typing import ArrayLike

from scggml._arguments import hold_to_signature


@hold_to_signature
def draw(
    adata: object,
    key: str = "ggml",
    *,
    label_key: str | None = None,
    genes: Sequence[str] | None = None,
    covariate_keys: Sequence[str] = (),
    background: Iterable[str] | None = None,
    color: str | Sequence[str] | None = None,
    cache_dir: str | Path | None = None,
    copy: bool = False,
    show: bool | None = None,
    by: Literal["pattern", "loading"] = "pattern",
    n_comps: int = 2,
    space: Mapping[str, Sequence[int]] | None = None,
    error: Exception | Sequence[Exception] | None = None,
    labels: ArrayLike = (),
    groups: ArrayLike | None = None,
) -> str:
    """Draw."""
    return "drawn"


@pytest.mark.parametrize(
    "options",
    [
        {"key": np.str_("mine"), "label_key": None, "copy": np.True_, "show": None, "cache_dir": Path("a")},
        {"labels": ["a", 1], "groups": None},
        {"labels": range(3), "groups": pd.Series([1, 2])},
        {"labels": np.array([1]), "groups": pd.Categorical(["a"])},
        {"genes": ["a", "b"], "background": (name for name in "ab"), "color": "a"},
        {"genes": np.array(["a"]), "background": {"a"}, "color": ["a"], "covariate_keys": pd.Index(["age"])},
        {"genes": pd.Series(["a"]), "background": {"a": 1}.keys(), "covariate_keys": []},
        {"by": 3, "n_comps": True, "adata": None, "space": None, "error": np.arange(2)},  # for the function to check
    ],
)
def test_what_fits_passes(options):
    assert draw(**({"adata": "any"} | options)) == "drawn"
    assert draw.__doc__ == "Draw."


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"key": None}, r"^key=None is a NoneType; pass a name such as 'ggml'\.$"),
        ({"key": ["ggml"]}, r"^key=\['ggml'\] is a list; pass a name such as 'ggml'\.$"),
        ({"label_key": 3}, r"^label_key=3 is a int; pass the name of a column of adata\.obs or None\.$"),
        ({"genes": "CD4"}, r"^genes='CD4' is one text; pass a list of names, such as \['CD4'\]\.$"),
        (
            {"genes": {"a"}},
            r"^genes=\{'a'\} is a set, whose order .* in the order that is meant, such as sorted\(genes\)",
        ),
        ({"color": {"a"}}, r"^color=\{'a'\} is a set"),
        ({"covariate_keys": frozenset("a")}, r"^covariate_keys=frozenset\(\{'a'\}\) is a frozenset"),
        ({"genes": b"CD4"}, "^genes=b'CD4' is a bytes; pass a list of names"),
        ({"background": [None, 3]}, "^background=None is a NoneType; pass a text in the list"),
        ({"genes": ["CD4", 3]}, "^genes=3 is a int; pass a text in the list"),
        ({"genes": {"CD4": 1}}, "^genes={'CD4': 1} is a dict; pass a list of names"),
        ({"genes": True}, "^genes=True is a bool; pass a list of names"),
        ({"genes": np.array("CD4")}, r"^genes=array\('CD4', .* is a ndarray; pass a list of names"),
        ({"background": "TP53"}, r"^background='TP53' is one text; pass a list of names, such as \['TP53'\]"),
        ({"covariate_keys": "age"}, r"^covariate_keys='age' is a str; pass a list of columns of adata\.obs, such as"),
        ({"covariate_keys": None}, "^covariate_keys=None is a NoneType; pass a list of columns"),
        ({"color": 3}, "^color=3 is a int; pass the name of a column, or a list of names"),
        ({"cache_dir": 3}, "^cache_dir=3 is a int; pass a text or None"),
        ({"copy": 1}, r"^copy=1 must be True or False\.$"),
        ({"by": Path("a")}, r"^by=PosixPath\('a'\) is a PosixPath; pass 'pattern' or 'loading'\.$"),
        ({"n_comps": object}, r"^n_comps=<class 'object'> is a type; pass a whole number\.$"),
        ({"space": [1]}, r"^space=\[1\] is a list; pass a dict or None\.$"),
        ({"error": 0.5}, r"^error=0.5 is a float; pass an Exception, a list or None\.$"),
        ({"labels": {0: "a"}}, r"^labels=\{0: 'a'\} is a dict; pass an array or a list\.$"),
        ({"labels": {"a"}}, r"^labels=\{'a'\} is a set; pass an array or a list\.$"),
        ({"labels": "ab"}, r"^labels='ab' is a str; pass an array or a list\.$"),
        ({"labels": None}, r"^labels=None is a NoneType; pass an array or a list\.$"),
        ({"groups": b"ab"}, r"^groups=b'ab' is a bytes; pass an array or a list, or None\.$"),
        ({"copy": "no"}, r"^copy='no' must be True or False\.$"),
        ({"copy": None}, r"^copy=None must be True or False\.$"),
        ({"show": 0}, r"^show=0 must be True or False, or None\.$"),
        ({"label_key": pd.DataFrame({"a": range(99)})}, r"^label_key=a 0 0 1 1 .{1,60}… is a DataFrame; pass"),
    ],
)
def test_what_does_not_fit_is_named_before_the_function_runs(options, message):
    with pytest.raises(TypeError, match=message):
        draw("any", **options)


def test_a_call_that_python_refuses_is_refused_in_its_words():
    with pytest.raises(TypeError, match=r"draw\(\) got an unexpected keyword argument 'gens'"):
        draw("any", gens=["a"])
