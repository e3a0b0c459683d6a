"""Are donors that were made different named, and are none in cohorts where nobody is?

Cohorts of counts with 20 planted genes of one cell type. In `clean` nothing else is done. In `shifted` 30 genes of one
donor are raised or lowered four-fold in all of its cells; `alone` is the same in cohorts without planted genes, where
such a donor would be all that there is to find. In `other label` the label of one donor is the other one.
"""

import argparse
import warnings

import joblib
import numpy as np
import scanpy as sc
from _report import Row, add_csv_option, append_csv, heading, print_table
from anndata import AnnData
from scipy import sparse

import scggml as sg

KINDS = ("clean", "shifted", "alone", "other label")
N_CELLS, N_SHIFTED, FOLD = 60, 30, 2.0


def cohort(kind: str, seed: int, n_samples: int) -> tuple[AnnData, str]:
    """Cells on principal components, and the donor that is another one."""
    n_planted = 0 if kind == "alone" else 20
    adata = sg.datasets.synthetic_counts(n_samples=n_samples, n_cells=N_CELLS, n_planted=n_planted, rng=seed)
    rng = np.random.default_rng(1000 + seed)
    donors = adata.obs["sample_id"].cat.categories
    donor = str(donors[rng.integers(len(donors))])
    own = (adata.obs["sample_id"] == donor).to_numpy()
    if kind == "other label":
        labels = adata.obs["label"].cat.categories
        other = labels[labels != adata.obs["label"][own].iloc[0]][0]
        adata.obs.loc[own, "label"] = other
    if kind in ("shifted", "alone"):
        X = adata.X.toarray()
        genes = rng.choice(adata.n_vars, N_SHIFTED, replace=False)
        fold = 2.0 ** rng.choice([-FOLD, FOLD], N_SHIFTED)
        X[np.ix_(own, genes)] = rng.poisson(X[np.ix_(own, genes)] * fold)
        adata.X = sparse.csr_matrix(X)
    sc.pp.normalize_total(adata)
    sc.pp.log1p(adata)
    sc.pp.pca(adata, n_comps=20)
    return adata, donor


def look(kind: str, seed: int, n_samples: int) -> tuple[bool, int, bool]:
    """Return whether the donor is named, how many others are, and whether learning warns of the donor."""
    adata, donor = cohort(kind, seed, n_samples)
    options = {"n_jobs": 1, "progress": False}
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        sg.tl.ggml(adata, "sample_id", "label", use_rep="X_pca", **options)
    warned = any("unlike" in str(w.message) and (kind == "clean" or repr(donor) in str(w.message)) for w in caught)
    sg.tl.influence(adata, rng=seed, **options)
    named = list(adata.uns["ggml_influence"]["named"])
    return donor in named and kind != "clean", len(named) - (donor in named and kind != "clean"), warned


def main() -> None:
    """Print and keep the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=10, help="cohorts of each kind; twice as many are clean")
    parser.add_argument("--samples", type=int, nargs="+", default=[10, 16], help="samples of each class")
    parser.add_argument("--n-jobs", type=int, default=2)
    add_csv_option(parser)
    options = parser.parse_args()
    heading("Donors that are named")
    rows: list[Row] = []
    for n_samples in options.samples:
        for kind in KINDS:
            seeds = range(options.seeds * (2 if kind == "clean" else 1))
            found = joblib.Parallel(options.n_jobs)(joblib.delayed(look)(kind, seed, n_samples) for seed in seeds)
            rows.append(
                {
                    "kind": kind,
                    "samples per class": n_samples,
                    "cohorts": len(found),
                    "donor named": sum(named for named, _, _ in found),
                    "others named in": sum(others > 0 for _, others, _ in found),
                    "warned before learning": sum(warned for _, _, warned in found),
                }
            )
    print_table(rows, "donors")
    append_csv(options.csv, rows, "donors")


if __name__ == "__main__":
    main()
