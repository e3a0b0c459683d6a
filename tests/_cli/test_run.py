import warnings

import pytest
import scanpy as sc
import typer

from scggml import tl
from scggml._cli.options import Source
from scggml._cli.run import Call, as_typed, guarded, one_line


def test_errors_and_warnings_are_lines(capsys: pytest.CaptureFixture[str]) -> None:
    before = sc.settings.verbosity
    with pytest.raises(typer.Exit) as end, guarded("learn", debug=False, verbose=True):  # noqa: PT012
        warnings.warn("two\nlines", UserWarning, stacklevel=1)
        warnings.warn("of another package", FutureWarning, stacklevel=1)
        raise KeyError("no such column")
    assert end.value.exit_code == 1
    assert capsys.readouterr().err.splitlines() == ["scggml learn: warning: two lines", "scggml learn: no such column"]
    assert sc.settings.verbosity == before


def test_faults_of_ours_are_not_hidden() -> None:
    with pytest.raises(AssertionError), guarded("learn", debug=False, verbose=False):
        raise AssertionError("a fault")


def test_one_line() -> None:
    assert one_line(KeyError("a 'b'")) == "a 'b'"
    assert one_line(ValueError()) == "ValueError"


def test_a_command_as_typed_can_be_typed() -> None:
    given = {"use_rep": "X_pca", "covariate_keys": ["age", "my sex"], "squared": False, "held_out": True, "n": None}
    assert as_typed("learn", ["a b.h5ad"], given) == (
        "scggml learn 'a b.h5ad' --use-rep X_pca --covariate-keys age --covariate-keys 'my sex' --no-squared --held-out"
    )


def test_options_of_functions_do_not_mix() -> None:
    sources = {f: Source(f) for f in (tl.cross_validate, tl.permutation_test)}
    given = {"n_splits": 3, "n_repeats": 2, "key": "k", "seed": 4, "n_permutations": 9, "progress": False}
    call = Call({tl.cross_validate: sources[tl.cross_validate]}, given)
    assert call.options(tl.cross_validate) == {"n_splits": 3, "n_repeats": 2, "key": "k", "rng": 4, "progress": False}
    assert call.options(tl.permutation_test) == {"key": "k", "rng": 4, "progress": False}
    assert call.options(tl.permutation_test, "n_splits") == {"key": "k", "n_splits": 3, "rng": 4, "progress": False}
    assert call.options(tl.component_test) == {"key": "k", "rng": 4, "progress": False}
