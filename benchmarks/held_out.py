"""Do held-out figures show nothing where there is nothing?

Cohorts of random cells with donors that differ by chance get random labels. Shown are the area under the curve (AUC) of
the mean coordinate of each donor on the first component, and the silhouette of the classes in the matrix of distances,
for the samples that the metric was learned on and for the same samples held out (`tl.cross_fit`), beside what scores
without any relation to the labels have. `folds` is the mean distance of samples of one fold in units of that of two
folds, which must be 1, or else multidimensional scaling would draw the folds.
"""

import argparse
import warnings

import anndata as ad
import joblib
import numpy as np
import pandas as pd
from _report import Row, add_csv_option, append_csv, heading, print_table
from sklearn.metrics import roc_auc_score, silhouette_score

import scggml as sg

CELLS = 25
"""Cells of each donor."""

DONOR = 0.5
"""Standard deviation of the mean of a donor; that of its cells is 1."""


def cohort(seed: int, n_donors: int, d: int) -> ad.AnnData:
    """Cells of donors whose labels mean nothing."""
    rng = np.random.default_rng(seed)
    means = DONOR * rng.normal(size=(n_donors, 1, d))
    X = (means + rng.normal(size=(n_donors, CELLS, d))).reshape(-1, d).astype(np.float32)
    labels = rng.permutation(np.arange(n_donors) % 2)
    obs = pd.DataFrame(
        {
            "donor": np.repeat([f"d{p}" for p in range(n_donors)], CELLS),
            "label": np.repeat(np.array(["a", "b"])[labels], CELLS),
        },
        index=[str(i) for i in range(len(X))],
    )
    return ad.AnnData(X, obs=obs)


def look(seed: int, n_donors: int, d: int) -> dict[str, float]:
    """AUC, silhouette and ratio of folds of one cohort."""
    warnings.simplefilter("ignore")
    adata = cohort(seed, n_donors, d)
    options = {"n_jobs": 1, "progress": False}
    sg.tl.ggml(adata, "donor", "label", **options)
    sg.tl.cross_fit(adata, rng=seed, **options)
    out: dict[str, float] = {}
    for name, held_out in (("training", False), ("held out", True)):
        samples = sg.tl.distances(adata, held_out=held_out, **options)
        key = "ggml_held_out" if held_out else "ggml"
        D = samples.obsp[f"{key}_distances"]
        Z = pd.Series(adata.obsm[f"X_{key}"][:, 0], index=adata.obs["donor"].to_numpy())
        scores = Z.groupby(level=0).mean()[samples.obs_names].to_numpy()
        labels = samples.obs["label"].to_numpy()
        out[f"AUC {name}"] = roc_auc_score(labels == "b", scores)
        out[f"silhouette {name}"] = silhouette_score(D, labels, metric="precomputed")
        if held_out:
            fold = samples.uns[f"{key}_distances"]["fold"]
            same = fold[:, None] == fold
            np.fill_diagonal(same, False)
            out["folds"] = D[same].mean() / D[~same & ~np.eye(len(D), dtype=bool)].mean()
            rng = np.random.default_rng(seed)
            out["silhouette permuted"] = float(
                np.mean([silhouette_score(D, rng.permutation(labels), metric="precomputed") for _ in range(20)])
            )
    return out


def main() -> None:
    """Print and keep the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cohorts", type=int, default=200, help="simulated cohorts of each size")
    parser.add_argument("--donors", type=int, nargs="+", default=[20, 40, 60])
    parser.add_argument("--features", type=int, nargs="+", default=[6, 10, 30])
    parser.add_argument("--n-jobs", type=int, default=2)
    add_csv_option(parser)
    options = parser.parse_args()
    heading(f"{options.cohorts} cohorts without signal: mean over cohorts (and standard deviation)")
    rows: list[Row] = []
    for n_donors in options.donors:
        for d in options.features:
            calls = (joblib.delayed(look)(seed, n_donors, d) for seed in range(options.cohorts))
            found = pd.DataFrame(joblib.Parallel(options.n_jobs)(calls))
            band = np.sqrt((n_donors + 1) / (3 * n_donors**2))  # of the AUC of unrelated scores, equal classes
            row: Row = {"donors": n_donors, "features": d, "AUC, sd by chance": round(float(band), 3)}
            for name in found:
                row[name] = f"{found[name].mean():.3f} ({found[name].std():.3f})"
            rows.append(row)
    print_table(rows, "nothing to see")
    append_csv(options.csv, rows, "nothing to see")


if __name__ == "__main__":
    main()
