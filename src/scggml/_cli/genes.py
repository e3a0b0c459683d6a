"""Rank genes."""

from typing import Annotated

import typer

from scggml import get, tl
from scggml._anndata.commands import add_command
from scggml._anndata.reported import has_genes
from scggml._cli.arguments import Cohort, InPlace, Outputs
from scggml._cli.files import COHORT, TABLES, check_outputs, read_cohort, write_results
from scggml._cli.options import Source
from scggml._cli.run import Call

SOURCES = (
    Source(tl.rank_genes),
    Source(get.rank_genes_df, without=frozenset({"key"})),
    Source(tl.gene_stability, only=frozenset({"n_boot", "n_perm", "n_top", "level"})),
)


def genes(
    call: Call,
    cohort: Cohort,
    *,
    output: Outputs = None,
    in_place: InPlace = False,
    stability: Annotated[
        bool,
        typer.Option(
            "--stability/--no-stability",
            help="Compute false discovery rates and intervals, too (tl.gene_stability); it takes long. [default: no]",
            show_default=False,
        ),
    ] = False,
) -> None:
    """Rank genes by how they change (tl.rank_genes).

    The table goes to a csv, tsv or json output, or else to standard output; an h5ad output holds the cohort with the
    ranking. Genes that the file has ranked already are taken as they are unless an option asks for another ranking.
    """
    outputs = [*(output or []), *([cohort] if in_place else [])]
    check_outputs(outputs, [cohort], COHORT + TABLES, in_place=in_place)
    adata = read_cohort(cohort)
    ranking = call.options(tl.rank_genes)
    asked = set(ranking) - {"key", "n_jobs", "progress"}
    if asked or not has_genes(adata, call.key):
        tl.rank_genes(adata, **ranking)
    if stability:
        tl.gene_stability(adata, **call.options(tl.gene_stability))
    add_command(adata, call.text)
    table = get.rank_genes_df(adata, **call.options(get.rank_genes_df))
    write_results(adata, table, outputs, json=call.json)
