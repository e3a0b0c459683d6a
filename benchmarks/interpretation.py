"""Do significant genes and cell types come out where they were planted, and nowhere else?

Cohorts of counts in which the answer is known are prepared as usual (scaled log counts, PCA) and learned from by the
default. `planted` rows count the genes at a false discovery rate of 5 %; `nothing planted` counts the cohorts that
report any component, gene or cell type.
"""

import argparse
import time
import warnings
from collections.abc import Mapping
from typing import Any

import numpy as np
import scanpy as sc
from _report import Row, add_csv_option, append_csv, heading, print_table
from anndata import AnnData

import scggml as sg

DESIGNS: dict[str, tuple[dict[str, Any], int]] = {
    "small": (
        {"n_genes": 100, "n_planted": 10, "n_samples": 16, "n_cells": 16, "n_types": 2, "log_fold_change": 2.0},
        10,
    ),
    "large": (
        {"n_genes": 200, "n_planted": 20, "n_samples": 20, "n_cells": 25, "n_types": 4, "log_fold_change": 2.5},
        20,
    ),
    "default": ({"n_planted": 20}, 20),
}
"""Arguments of `sg.datasets.synthetic_counts` and the number of principal components."""

NOTHING = {"n_genes": 60, "n_planted": 0, "n_samples": 12, "n_cells": 12, "n_types": 2}


def learn(seed: int, sizes: Mapping[str, Any], n_axes: int) -> AnnData:
    """A cohort with the default metric of two components."""
    adata = sg.datasets.synthetic_counts(**sizes, rng=seed)
    adata.X = adata.X.toarray()
    sc.pp.normalize_total(adata, target_sum=1e4)
    sc.pp.log1p(adata)
    sc.pp.scale(adata)
    sc.pp.pca(adata, n_comps=n_axes)
    sg.tl.ggml(adata, "sample_id", "label", use_rep="X_pca", n_comps=2, progress=False)
    return adata


def significant(adata: AnnData, n_perm: int, n_jobs: int) -> np.ndarray:
    """Whether each gene at a rate of 5 % was planted."""
    sg.tl.gene_stability(adata, 0, n_perm=n_perm, n_jobs=n_jobs, progress=False)
    genes = sg.get.rank_genes_df(adata, max_p_adjusted=0.05)["gene"]
    return adata.var.loc[genes, "planted"].to_numpy(dtype=bool)


def planted(name: str, seed: int, n_perm: int, n_jobs: int) -> Row:
    """Recall, false discoveries and place of the planted type in one cohort."""
    sizes, n_axes = DESIGNS[name]
    adata = learn(seed, sizes, n_axes)
    began = time.perf_counter()
    found = significant(adata, n_perm, n_jobs)
    seconds = time.perf_counter() - began
    sg.tl.attribute(adata, cell_type_key="cell_type", progress=False)
    types = adata.uns["ggml_attribution"]["types"]
    types = types[types["class_a"] != types["class_b"]].sort_values("excess", ascending=False)
    return {
        "design": name,
        "seed": seed,
        "recall": float(found.sum() / sizes["n_planted"]),
        "false": float((~found).sum() / max(len(found), 1)),
        "place of the type": types["cell_type"].tolist().index("type0") + 1,
        "seconds": seconds,
    }


def reported(seed: int, n_perm: int, n_jobs: int) -> Row:
    """What is reported in a cohort without any difference: real components, genes and cell types at a rate of 5 %."""
    adata = learn(seed, NOTHING, 10)
    options: dict[str, Any] = {"n_jobs": n_jobs, "progress": False}
    sg.tl.component_test(adata, **options)
    genes = significant(adata, n_perm, n_jobs)
    sg.tl.cross_fit(adata, **options)
    sg.tl.attribute(adata, cell_type_key="cell_type", held_out=True, progress=False)
    types = adata.uns["ggml_attribution"]["types"]
    types = types[types["class_a"] != types["class_b"]]
    found: Row = {
        "component": bool(adata.uns["ggml_components"]["real"].any()),
        "gene": len(genes) > 0,
        "type": bool((types[["p_adjusted_state", "p_adjusted_composition"]] <= 0.05).any(axis=None)),
    }
    return found | {"anything": any(found.values())}


def mean_of(rows: list[Row], name: str) -> Row:
    """One line for a design."""
    first = sum(row["place of the type"] == 1 for row in rows)
    return {
        "design": name,
        "cohorts": len(rows),
        "recall": float(np.mean([row["recall"] for row in rows])),
        "false": float(np.mean([row["false"] for row in rows])),
        "type first": f"{first} of {len(rows)}",
    }


def main() -> None:
    """Print and keep the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=10, help="cohorts of each design")
    parser.add_argument("--nothing", type=int, default=100, help="cohorts in which nothing is planted")
    parser.add_argument("--designs", nargs="*", default=list(DESIGNS), choices=list(DESIGNS))
    parser.add_argument("--n-perm", type=int, default=50, help="permutations of labels, at least 19")
    parser.add_argument("--n-jobs", type=int, default=1)
    add_csv_option(parser)
    options = parser.parse_args()
    warnings.simplefilter("ignore")

    heading(f"Genes at a false discovery rate of 5 %, {options.n_perm} permutations of labels")
    rows = [
        planted(name, seed, options.n_perm, options.n_jobs) for name in options.designs for seed in range(options.seeds)
    ]
    print_table(rows, "planted")
    means = [mean_of([row for row in rows if row["design"] == name], name) for name in options.designs]
    print_table(means, "means")
    append_csv(options.csv, rows, "planted")
    append_csv(options.csv, means, "planted means")
    if options.nothing:
        found = [reported(5000 + seed, options.n_perm, options.n_jobs) for seed in range(options.nothing)]
        total: Row = {"cohorts": len(found)} | {name: sum(bool(row[name]) for row in found) for name in found[0]}
        print_table([total], "nothing planted: cohorts that report")
        append_csv(options.csv, [total], "nothing planted")


if __name__ == "__main__":
    main()
