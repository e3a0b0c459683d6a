"""Evaluate a metric on donors that it has not seen."""

import warnings
from typing import Annotated, Any

import typer
from anndata import AnnData

from scggml import get, tl
from scggml._anndata.commands import add_command
from scggml._anndata.keys import CROSS_VALIDATION
from scggml._anndata.metric import stored_keys
from scggml._anndata.reported import verdicts_of
from scggml._cli.arguments import Cohort, InPlace, Outputs
from scggml._cli.files import (
    COHORT,
    as_json,
    as_text,
    check_outputs,
    read_cohort,
    records,
    tell,
    write_cohort,
    write_text,
)
from scggml._cli.options import Source
from scggml._cli.run import Call

SOURCES = (
    Source(tl.cross_validate),
    Source(tl.permutation_test, only=frozenset({"n_permutations", "strata_key"})),
    Source(tl.component_test, only=frozenset({"n_perm", "level"})),
)
STUDY = [
    "sample_key",
    "label_key",
    "preprocess",
    "use_rep",
    "layer",
    "mask_var",
    "label_kind",
    "reference_class",
    "groups_key",
    "batch_key",
    "covariate_keys",
    "weights_key",
    "cell_type_key",
    "split",
    "n_splits",
    "classifier",
    "n_neighbors",
    "n_cells",
    "min_cells",
    "summary",
]
"""Options of the cross-validation that the test by permutation takes, too."""


def evaluate(
    call: Call,
    cohort: Cohort,
    *,
    output: Outputs = None,
    in_place: InPlace = False,
    component_test: Annotated[
        bool,
        typer.Option(
            "--component-test/--no-component-test",
            help="Test which components are real, too (tl.component_test). [default: yes]",
            show_default=False,
        ),
    ] = True,
    permutation_test: Annotated[
        bool,
        typer.Option(
            "--permutation-test/--no-permutation-test",
            help="Compare with permuted labels, too (tl.permutation_test); it takes long. [default: no]",
            show_default=False,
        ),
    ] = False,
    cross_fit: Annotated[
        bool,
        typer.Option(
            "--cross-fit/--no-cross-fit",
            help="Store metrics without some donors, too, for held-out figures (tl.cross_fit). [default: yes]",
            show_default=False,
        ),
    ] = True,
) -> None:
    """Evaluate on held-out donors (tl.cross_validate).

    Donors are predicted by the stored metric, which is learned again without them, and by simple methods.
    Prints the verdict and the scores. An h5ad output holds all results, a JSON output what --json prints.
    """
    outputs = [*(output or []), *([cohort] if in_place else [])]
    check_outputs(outputs, [cohort], (*COHORT, ".json"), in_place=in_place)
    adata = read_cohort(cohort)
    options = call.options(tl.cross_validate)
    tl.cross_validate(adata, **options)
    stored = call.key in stored_keys(adata)
    if component_test and stored:
        tl.component_test(adata, **call.options(tl.component_test))
    if cross_fit and stored:
        try:
            tl.cross_fit(adata, **call.options(tl.cross_fit))
        except ValueError as error:  # it needs more donors than what is found already, which must not be lost
            warnings.warn(f"No metrics without some donors are stored (tl.cross_fit). {error}", stacklevel=2)
    if permutation_test:
        tl.permutation_test(adata, **call.options(tl.permutation_test, *STUDY))
    add_command(adata, call.text)
    found = _about(adata, call.key, str(options.get("key_added", CROSS_VALIDATION)))
    for path in outputs:
        if path.suffix.lower() in COHORT:
            write_cohort(path, adata)
        else:
            write_text(path, as_json(found) + "\n")
    if call.json:
        tell(as_json(found))
    else:
        tell("\n".join(found["verdict"].values()) + "\n")
        tell(
            as_text(
                get.cross_validation(adata, key=str(options.get("key_added", CROSS_VALIDATION))).summary.round(3),
                index=True,
            )
        )


def _about(adata: AnnData, key: str, evaluation: str) -> dict[str, Any]:
    """Return what the evaluation found, for JSON."""
    found = get.cross_validation(adata, key=evaluation)
    return {
        "verdict": {"cross_validation": found.verdict, **verdicts_of(adata, key)},
        "chance": found.chance,
        "donors": dict(found.donors),
        "summary": records(found.summary, index=True),
        "differences": records(found.differences),
        "predictions": records(found.predictions),
    }
