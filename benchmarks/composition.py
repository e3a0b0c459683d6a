"""Is a difference in state told from one in composition, and put down to the type that differs, on held-out donors?

Cohorts of counts with four cell types. In `state` the planted genes of one type differ between the classes and its
share does not; in `composition` no gene differs, but cells of one type are drawn with another weight in one class.
`type` is the part of the gap between the classes that this type is given (`tl.attribute(held_out=True)`), `right` the
part of state or composition, whichever differs, in both; each beside the same for the training samples.
"""

import argparse
import warnings

import joblib
import numpy as np
import pandas as pd
import scanpy as sc
from _report import Row, add_csv_option, append_csv, heading, print_table
from anndata import AnnData

import scggml as sg

WEIGHT = 4.0
"""Weight with which cells of the first type are drawn in one class; the others have 1."""


def cohort(kind: str, seed: int, n_samples: int) -> AnnData:
    """Cells on principal components, with a difference of one kind."""
    n_cells = 150
    if kind == "state":
        adata = sg.datasets.synthetic_counts(n_samples=n_samples, n_cells=n_cells, rng=seed)
    else:
        adata = sg.datasets.synthetic_counts(n_samples=n_samples, n_cells=3 * n_cells, n_planted=0, rng=seed)
        rng = np.random.default_rng(seed)
        differs = (adata.obs["label"] == "class1") & (adata.obs["cell_type"] == "type0")
        weight = pd.Series(np.where(differs, WEIGHT, 1.0), index=adata.obs_names)
        chosen = [
            rng.choice(cells, n_cells, replace=False, p=(weight[cells] / weight[cells].sum()).to_numpy())
            for cells in adata.obs.groupby("sample_id", observed=True).groups.values()
        ]
        adata = adata[np.concatenate(chosen)].copy()
    sc.pp.normalize_total(adata)
    sc.pp.log1p(adata)
    sc.pp.pca(adata, n_comps=30)
    return adata


def look(kind: str, seed: int, n_samples: int) -> dict[str, float]:
    """Shares of the gap in one cohort."""
    warnings.simplefilter("ignore")
    adata = cohort(kind, seed, n_samples)
    options = {"n_jobs": 1, "progress": False}
    sg.tl.ggml(adata, "sample_id", "label", use_rep="X_pca", **options)
    sg.tl.cross_fit(adata, rng=seed, **options)
    out: dict[str, float] = {}
    for name, held_out in (("held out", True), ("training", False)):
        sg.tl.attribute(adata, cell_type_key="cell_type", held_out=held_out, n_perm=199, **options)
        entry = adata.uns["ggml_attribution"]
        types = entry["types"].query("class_a != class_b").set_index("cell_type")
        parts = types[["excess_state", "excess_composition"]]
        right = parts[f"excess_{kind}"].sum()
        out[f"type, {name}"] = float(types.loc["type0", "excess"] / entry["gap"])
        out[f"right, {name}"] = float(right / parts.sum().clip(lower=0).sum())
        if held_out:
            out["p of the type"] = float(types.loc["type0", f"p_adjusted_{kind}"])
            other = {"state": "composition", "composition": "state"}[kind]
            wrong = types[f"p_adjusted_{other}"].tolist()
            out["wrong part, smallest p"] = float(min(wrong))
    return out


def main() -> None:
    """Print and keep the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=5, help="cohorts of each kind")
    parser.add_argument("--samples", type=int, default=20, help="samples of each class")
    parser.add_argument("--kinds", nargs="+", default=["state", "composition"], choices=["state", "composition"])
    parser.add_argument("--n-jobs", type=int, default=2)
    add_csv_option(parser)
    options = parser.parse_args()
    heading(f"Shares of the gap between two classes of {options.samples} samples")
    calls = [(kind, seed) for kind in options.kinds for seed in range(options.seeds)]
    found = joblib.Parallel(options.n_jobs)(joblib.delayed(look)(*call, options.samples) for call in calls)
    rows: list[Row] = [
        {"kind": kind, "seed": seed} | {name: round(value, 3) for name, value in row.items()}
        for (kind, seed), row in zip(calls, found, strict=True)
    ]
    print_table(rows, "shares")
    append_csv(options.csv, rows, "shares")


if __name__ == "__main__":
    main()
