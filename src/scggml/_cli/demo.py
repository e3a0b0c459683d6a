"""Write a synthetic cohort."""

from pathlib import Path
from typing import Annotated

import scanpy as sc
import typer

from scggml import datasets
from scggml._anndata.reported import planted_sets
from scggml._cli.files import COHORT, as_json, check_outputs, tell, write_cohort, write_text
from scggml._cli.options import Source
from scggml._cli.run import Call

SOURCES = (Source(datasets.synthetic_counts),)


def demo_cohort(
    call: Call,
    cohort: Annotated[Path, typer.Argument(help="File to write, h5ad.", show_default=False)],
    gene_sets: Annotated[
        Path | None,
        typer.Option(
            help="Write gene sets, too, a GMT file: the genes that differ, and sets of others.", show_default=False
        ),
    ] = None,
) -> None:
    """Write a synthetic cohort to try things on.

    What differs is known (datasets.synthetic_counts).

    The counts are normalized, on a logarithmic scale, and their principal components are in .obsm["X_pca"].
    """
    check_outputs([cohort], [], COHORT)
    check_outputs([] if gene_sets is None else [gene_sets], [], (".gmt",))
    adata = datasets.synthetic_counts(**call.options(datasets.synthetic_counts))
    sc.pp.normalize_total(adata)
    sc.pp.log1p(adata)
    sc.pp.pca(adata, n_comps=min(20, min(adata.shape) - 1), random_state=0)
    write_cohort(cohort, adata)
    sets = planted_sets(adata)
    if gene_sets is not None:
        write_text(gene_sets, "".join("\t".join([name, "synthetic", *genes]) + "\n" for name, genes in sets.items()))
    if call.json:
        tell(as_json({"n_cells": adata.n_obs, "n_genes": adata.n_vars, "planted": sets["PLANTED"]}))
