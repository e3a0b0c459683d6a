import inspect
from typing import Annotated, get_args, get_origin

from scggml import ext, get, tl
from scggml._cli.options import Source, entries, plain


def kinds(function) -> dict[str, object]:
    return {p.name: get_args(p.annotation)[0] for p in Source(function).options()}


def test_kinds_of_options() -> None:
    found = kinds(tl.ggml)
    assert found["squared"] == bool | None
    assert found["min_cells"] == int | None
    assert found["n_cells"] == int | None
    assert found["mask_var"] == str | None
    assert found["covariate_keys"] == found["label_kind"] == list[str] | None
    assert found["sample_key"] is str  # required
    assert kinds(ext.enrich_gmt)["max_size"] == str | None  # a number, or "none" in place of 500
    assert kinds(get.rank_genes_df)["max_p_adjusted"] == float | None


def test_what_is_not_given_is_left_to_the_function() -> None:
    source = Source(tl.ggml)
    assert all(p.default in (None, inspect.Parameter.empty) for p in source.options())
    assert source.values({"n_comps": None, "n_cells": 10, "seed": 3}) == {"n_cells": 10}
    assert source.values({"squared": False, "solver": "Exact()"}) == {"squared": False, "solver": tl.Exact()}


def test_all_options_have_a_text() -> None:
    for function in (tl.ggml, tl.cross_validate, tl.distances, tl.predict, tl.rank_genes, ext.enrich_gmt):
        texts = entries(function)
        assert [name for name in Source(function).parameters if not texts[name]] == []
        assert not any(mark in text for text in texts.values() for mark in ("`", ":math:", ":class:", "\n"))


def test_markup_is_taken_off() -> None:
    assert plain(r"The cost :math:`\|W(x-y)\|^2`, by ``Exact``; see :func:`~scggml.tl.ggml`.") == (
        "The cost |W(x-y)|^2, by Exact; see tl.ggml."
    )


def test_annotations_are_those_that_typer_reads() -> None:
    assert all(get_origin(p.annotation) is Annotated for p in Source(tl.predict).options())
