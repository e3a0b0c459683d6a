"""Predict labels of new samples."""

from pathlib import Path
from typing import Annotated

import typer

from scggml import tl
from scggml._anndata.commands import add_command
from scggml._anndata.reported import prediction_table
from scggml._cli.arguments import Outputs
from scggml._cli.files import (
    COHORT,
    TABLES,
    as_json,
    as_text,
    check_outputs,
    read_cohort,
    records,
    tell,
    write_outputs,
)
from scggml._cli.options import Source
from scggml._cli.run import Call

SOURCES = (Source(tl.predict),)


def predict(
    call: Call,
    new: Annotated[Path, typer.Argument(help="Cells of the new samples, an h5ad file.", show_default=False)],
    reference: Annotated[Path, typer.Argument(help="Cohort that scggml learn has written.", show_default=False)],
    output: Outputs = None,
) -> None:
    """Predict labels of new samples (tl.predict)."""
    outputs = output or []
    check_outputs(outputs, [new, reference], COHORT + TABLES)
    samples = tl.predict(read_cohort(new), read_cohort(reference), **call.options(tl.predict))
    add_command(samples, call.text)
    table = prediction_table(samples)
    write_outputs(samples, table, outputs, index=True)
    if call.json:
        tell(as_json(records(table, index=True)))
    elif not outputs:
        tell(as_text(table, index=True))
