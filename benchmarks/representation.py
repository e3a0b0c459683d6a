"""What do distances know, in the scores of SPARE (patpy), and how much of it is a leak?

    python benchmarks/representation.py FOLDER_OF_COHORTS

FOLDER holds one h5ad per cohort, as for `generalisation.py`. Rows: cohort, true or shuffled labels, score and column.
Columns: Euclidean distances, those of the metric on the samples that it was learned on, and held-out ones.
"""

import argparse
from pathlib import Path

import numpy as np
import pandas as pd
from generalisation import COHORTS, load, shuffled

import scggml as sg

QUIET = {"progress": False}


def scores(adata, *, cells, splits, technical):
    """The table of one labeling: Euclidean, in sample and held out."""
    groups = {"groups_key": "patient_id"} if "patient_id" in adata.obs else {}
    axes = {"use_rep": "X_pca"} if "X_pca" in adata.obsm else {}
    options = {"n_cells": cells, "label_kind": "classes", **groups, **axes, **QUIET}
    sg.tl.ggml(adata, "sample_id", "label", **options)
    sg.tl.cross_fit(adata, n_splits=splits, **QUIET)
    samples = sg.tl.distances(adata, held_out=True, genes=False, **QUIET)
    for metric, key in ((None, "ggml"), ("euclidean", "euclidean")):
        found = sg.tl.distances(adata, metric=metric, genes=False, **QUIET)
        samples.obsp[f"{key}_distances"] = found.obsp[f"{key}_distances"]
    there = [name for name in technical if name in samples.obs and samples.obs[name].nunique() > 1]
    replicates = {"replicate_key": "patient_id"} if groups and samples.obs["patient_id"].duplicated().any() else {}
    table = sg.get.representation_scores(
        samples, {"label": "classification"}, technical=there, keys=["euclidean", "ggml", "ggml_held_out"], **replicates
    )
    return table.rename(columns={"ggml": "in sample", "ggml_held_out": "held out"})


def main(folder, *, cohorts, cells, splits, technical, seed):
    """Print the table of each cohort, and the mean leak at the end."""
    found = {}
    for name in cohorts:
        adata = load(folder / f"{name}.h5ad")
        for labels, given in (("true", adata), ("shuffled", shuffled(adata, np.random.default_rng(seed)))):
            found[name, labels] = scores(given, cells=cells, splits=splits, technical=technical)
        print(pd.concat(found, names=["cohort", "labels"]).round(2).to_string(), "\n", flush=True)
    every = pd.concat(found, names=["cohort", "labels"])
    print(every.groupby(["labels", "score"]).mean().round(2).to_string())


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--cohorts", nargs="+", default=COHORTS)
    parser.add_argument("--cells", type=int, default=100, help="drawn of each sample (default 100)")
    parser.add_argument("--splits", type=int, default=5, help="folds of donors (default 5)")
    parser.add_argument("--technical", nargs="+", default=["batch", "site", "sex"], help="columns not to be known")
    parser.add_argument("--seed", type=int, default=0, help="of the shuffled labels")
    options = parser.parse_args()
    main(
        options.folder,
        cohorts=options.cohorts,
        cells=options.cells,
        splits=options.splits,
        technical=options.technical,
        seed=options.seed,
    )
