"""Does the held-out order of samples recover a planted one, and which genes does it name?

Cohorts of counts in which 20 of 500 genes of one cell type change by the same dose from each of four levels to the
next (synthetic_counts), or labels permuted among the samples. `rho` is the Spearman correlation of the order with the
levels, of diffusion pseudotime of held-out distances and of the mean held-out score on the first component; recall
and false discoveries are those at a false discovery rate of 5 %; `recall, levels` is that of rank correlations of the
genes' means with the planted levels (Benjamini and Hochberg), which no one knows so well; `types` counts cell types
that are named although composition is the same at each level.
"""

import argparse
import warnings

import joblib
import numpy as np
import scanpy as sc
from _report import Row, add_csv_option, append_csv, heading, print_table
from anndata import AnnData
from scipy.stats import false_discovery_control, spearmanr

import scggml as sg

DESIGNS = {"15 per level, 1.2": (15, 1.2), "25 per level, 0.8": (25, 0.8), "nothing": (15, 1.2)}
"""Samples of each of four levels, and log2 fold change from one level to the next."""

N_LEVELS, N_CELLS, LEVEL = 4, 100, 0.05


def cohort(design: str, seed: int) -> AnnData:
    """Cells on principal components; without an order, labels of samples are permuted."""
    n_samples, fold_change = DESIGNS[design]
    adata = sg.datasets.synthetic_counts(
        n_classes=N_LEVELS, n_samples=n_samples, n_cells=N_CELLS, log_fold_change=fold_change, rng=seed
    )
    if design == "nothing":
        labels = adata.obs.groupby("sample_id", observed=True)["label"].first()
        permuted = np.random.default_rng(seed).permutation(labels.astype(str))
        adata.obs["label"] = (
            adata.obs["sample_id"].map(dict(zip(labels.index, permuted, strict=True))).astype("category")
        )
    adata.obs["label"] = adata.obs["label"].cat.as_ordered()
    # Depth is that of the other genes: planted ones that rise would make all others fall.
    depth = np.asarray(adata[:, ~adata.var["planted"]].X.sum(axis=1)).ravel()
    adata.X = adata.X.multiply((np.median(depth) / depth)[:, None]).tocsr().astype(np.float32)
    sc.pp.log1p(adata)
    sc.pp.pca(adata, n_comps=20)
    return adata


def look(design: str, seed: int) -> dict[str, float]:
    """Return what is found in one cohort."""
    warnings.simplefilter("ignore")
    adata = cohort(design, seed)
    options = {"n_jobs": 1, "progress": False}
    sg.tl.ggml(adata, "sample_id", "label", use_rep="X_pca", **options)
    sg.tl.cross_fit(adata, rng=seed, **options)
    samples = sg.tl.distances(adata, held_out=True, **options)
    sg.tl.trajectory(samples, adata, component=1, n_perm=1, n_folds=2, rng=seed, **options)
    by_score = samples.uns["ggml_held_out_trajectory"]["association"]
    sg.tl.trajectory(samples, adata, cell_type_key="cell_type", rng=seed, **options)
    found = samples.uns["ggml_held_out_trajectory"]
    genes = found["genes"].set_index("gene")
    named = genes.index[genes["p_adjusted"] <= LEVEL]
    planted = set(adata.uns["synthetic"]["planted_genes"])
    true = len(planted.intersection(named))
    levels = spearmanr(samples.X, samples.obs["label"].cat.codes).pvalue[-1, :-1]
    known = samples.var_names[false_discovery_control(levels) <= LEVEL]
    return {
        "rho": found["association"],
        "rho, score": by_score,
        "p": found["p_value"],
        "named": len(named),
        "recall": true / len(planted),
        "recall, levels": len(planted.intersection(known)) / len(planted),
        "false": (len(named) - true) / max(len(named), 1),
        "types": int((found["cell_types"]["p_adjusted"] <= LEVEL).sum()),
    }


def main() -> None:
    """Print and keep the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=10, help="cohorts of each planted design")
    parser.add_argument("--designs", nargs="+", default=list(DESIGNS), choices=list(DESIGNS))
    parser.add_argument("--nothing", type=int, default=100, help="cohorts without an order")
    parser.add_argument("--n-jobs", type=int, default=2)
    add_csv_option(parser)
    options = parser.parse_args()
    heading("Order of the samples of four levels")
    calls = [
        (design, seed)
        for design in options.designs
        for seed in range(options.nothing if design == "nothing" else options.seeds)
    ]
    found = joblib.Parallel(options.n_jobs)(joblib.delayed(look)(*call) for call in calls)
    rows: list[Row] = []
    for design in DESIGNS:
        own = [row for (name, _), row in zip(calls, found, strict=True) if name == design]
        if not own:
            continue
        row: Row = {"design": design, "cohorts": len(own)}
        row |= {name: round(float(np.mean([one[name] for one in own])), 3) for name in own[0] if name != "p"}
        row["smallest rho"] = round(min(one["rho"] for one in own), 2)
        row["cohorts with a gene"] = sum(one["named"] > 0 for one in own)
        row["with a gene or type"] = sum(one["named"] + one["types"] > 0 for one in own)
        rows.append(row)
    print_table(rows, "order")
    append_csv(options.csv, rows, "order")


if __name__ == "__main__":
    main()
