"""Compute distances between samples."""

from scggml import tl
from scggml._anndata.commands import add_command
from scggml._anndata.held_out import has_held_out
from scggml._anndata.metric import read_metric
from scggml._anndata.reported import distance_table
from scggml._cli.arguments import Cohort, Outputs
from scggml._cli.files import (
    COHORT,
    TABLES,
    as_json,
    as_text,
    check_outputs,
    read_cohort,
    tell,
    write_outputs,
)
from scggml._cli.options import Source
from scggml._cli.run import Call

SOURCES = (Source(tl.distances),)


def distances(call: Call, cohort: Cohort, output: Outputs = None) -> None:
    """Compute distances of samples (tl.distances).

    An h5ad output is an AnnData of samples; a table has a row and a column for each sample. With --held-out the
    metric is learned again without some donors (tl.cross_fit), unless the file holds that already.
    """
    outputs = output or []
    check_outputs(outputs, [cohort], COHORT + TABLES)
    adata = read_cohort(cohort)
    options = call.options(tl.distances)
    if options.get("held_out") and not has_held_out(adata, read_metric(adata, call.key)):
        tl.cross_fit(adata, **call.options(tl.cross_fit))
    samples = tl.distances(adata, **options)
    add_command(samples, call.text)
    table = distance_table(samples)
    write_outputs(samples, table, outputs, index=True)
    if call.json:
        tell(as_json({"samples": table.index, "distances": table.to_numpy()}))
    elif not outputs:
        tell(as_text(table, index=True))
