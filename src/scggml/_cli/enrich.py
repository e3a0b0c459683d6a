"""Find gene sets."""

from pathlib import Path
from typing import Annotated

import typer

from scggml import ext, get, tl
from scggml._anndata.commands import add_command
from scggml._anndata.reported import has_genes
from scggml._cli.arguments import Cohort, InPlace, Outputs
from scggml._cli.files import COHORT, TABLES, check_outputs, read_cohort, write_results
from scggml._cli.options import Source
from scggml._cli.run import Call

SOURCES = (
    Source(ext.enrich_gmt, without=frozenset({"gene_sets", "background"})),
    Source(get.enrichment_df, only=frozenset({"component", "direction", "n_terms"})),
)


def enrich(
    call: Call,
    cohort: Cohort,
    gene_sets: Annotated[Path, typer.Argument(help="Gene sets, a GMT file.", show_default=False)],
    output: Outputs = None,
    in_place: InPlace = False,
) -> None:
    """Find gene sets offline (ext.enrich_gmt).

    Genes are ranked first unless the file holds a ranking. The table goes to a csv, tsv or json output, or else to
    standard output; an h5ad output holds the cohort with the result.
    """
    outputs = [*(output or []), *([cohort] if in_place else [])]
    check_outputs(outputs, [cohort, gene_sets], COHORT + TABLES, in_place=in_place)
    adata = read_cohort(cohort)
    if not has_genes(adata, call.key):
        tl.rank_genes(adata, **call.options(tl.rank_genes))
    ext.enrich_gmt(adata, gene_sets, **call.options(ext.enrich_gmt))
    add_command(adata, call.text)
    table = get.enrichment_df(adata, **call.options(get.enrichment_df))
    write_results(adata, table, outputs, json=call.json)
