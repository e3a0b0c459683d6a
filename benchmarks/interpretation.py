"""Do significant genes and cell types come out where they were planted, and nowhere else?

    python benchmarks/interpretation.py [seeds]

prints, for cohorts in which the answer is known: recall and share of false discoveries of the genes at a rate of 5 %,
how many cohorts of dealt labels report any gene, and how often the planted cell type comes first.
"""

import sys
import time
import warnings

import numpy as np
import scanpy as sc

import scggml as sg

DESIGNS = {
    "100 genes, 2 types, 16 + 16 donors x 16 cells, log2 fold change 2": (
        {"n_genes": 100, "n_planted": 10, "n_samples": 16, "n_cells": 16, "n_types": 2, "log_fold_change": 2.0},
        10,
    ),
    "200 genes, 4 types, 20 + 20 donors x 25 cells, log2 fold change 2.5": (
        {"n_genes": 200, "n_planted": 20, "n_samples": 20, "n_cells": 25, "n_types": 4, "log_fold_change": 2.5},
        20,
    ),
}
NULL = {"n_genes": 60, "n_planted": 0, "n_samples": 8, "n_cells": 8, "n_types": 2}


def learn(seed, sizes, n_axes):
    adata = sg.datasets.synthetic_counts(**sizes, rng=seed)
    adata.X = adata.X.toarray()
    sc.pp.normalize_total(adata, target_sum=1e4)
    sc.pp.log1p(adata)
    sc.pp.scale(adata)
    sc.pp.pca(adata, n_comps=n_axes)
    start = sg.tl.Canonical(ridge=0.1)
    sg.tl.ggml(adata, "sample_id", "label", use_rep="X_pca", n_comps=2, init=start, max_iter=0, progress=False)
    return adata


def significant(adata, n_perm):
    sg.tl.gene_stability(adata, 0, n_perm=n_perm, n_jobs=1, progress=False)
    return sg.get.rank_genes_df(adata, max_p_adjusted=0.05)["gene"]


def planted_genes(name, seeds):
    sizes, n_axes = DESIGNS[name]
    recalls, false, first, seconds = [], [], 0, []
    for seed in range(seeds):
        start = time.perf_counter()
        adata = learn(seed, sizes, n_axes)
        is_true = adata.var.loc[significant(adata, 50), "planted"].to_numpy()
        seconds.append(time.perf_counter() - start)
        recalls.append(is_true.sum() / sizes["n_planted"])
        false.append((~is_true).sum() / max(len(is_true), 1))
        sg.tl.attribute(adata, cell_type_key="cell_type", progress=False)
        types = adata.uns["ggml_attribution"]["types"]
        types = types[types["class_a"] != types["class_b"]]
        first += types.loc[types["excess"].idxmax(), "cell_type"] == "type0"
    print(name)
    print(f"  recall {np.mean(recalls):.3f} (each: {' '.join(f'{r:.2f}' for r in recalls)})")
    print(f"  false discoveries {np.mean(false):.3f} (each: {' '.join(f'{f:.2f}' for f in false)})")
    print(f"  planted type first in {first} of {seeds}; {np.median(seconds):.0f} s per cohort", flush=True)


def nothing_planted(n):
    found = sum(len(significant(learn(1000 + seed, NULL, 10), 30)) > 0 for seed in range(n))
    print(f"nothing planted: {found} of {n} cohorts report any gene", flush=True)


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    seeds = int(sys.argv[1]) if len(sys.argv) > 1 else 10
    nothing_planted(10 * seeds)
    for name in DESIGNS:
        planted_genes(name, seeds)
