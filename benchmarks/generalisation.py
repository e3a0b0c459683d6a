"""Which method predicts donors that it has not seen? All methods on the same folds of eight public cohorts.

    python benchmarks/generalisation.py FOLDER_OF_COHORTS

FOLDER holds one h5ad per cohort with `.obs["sample_id"]`, `.obs["label"]` and, where donors have several samples,
`.obs["patient_id"]`. Prints the balanced accuracy of all held-out samples for each method and cohort (mean and standard
deviation over repeats) with the seconds per fold, then a summary over cohorts, and keeps all scores in a table.
"""

import argparse
import time
from pathlib import Path

import anndata as ad
import pandas as pd

import scggml as sg

COHORTS = (
    "bcrxl_catalyst",
    "gbm_panobinostat_lemur",
    "covid_stephenson_gloscope",
    "hiv_flowtype",
    "covid_debiasi_treekor",
    "autism_velmeshev",
    "onek1k_scdesignpop",
    "kidney_igan_pilot",
)
Learner, Triplets = sg.tl.Learner, sg.tl.Triplets


def usual(ridge=0.05, shrinkage=0.4, **options):
    """The default without a choice: a ridge that is a share of the mean scatter, and a fixed shrinkage."""
    return Learner(method=sg.tl.Canonical(ridge=ridge, ridge_scale="mean"), shrinkage=shrinkage, **options)


DEFAULT = {"canonical": "canonical", "canonical, fixed pair": usual()}
RIVALS = {name: name for name in ("euclidean", "cosine", "pseudobulk", "composition", "majority")}
AROUND = {
    "fixed pair, not shrunk": usual(shrinkage=0.0),
    "fixed pair, shrinkage 0.2": usual(shrinkage=0.2),
    "fixed pair, shrinkage 0.6": usual(shrinkage=0.6),
    "fixed pair, ridge 0.01": usual(ridge=0.01),
    "fixed pair, ridge 0.1": usual(ridge=0.1),
    "fixed pair, ridge 0.3": usual(ridge=0.3),
    "canonical, 2 components": Learner(n_comps=2),
    "canonical, 10 components": Learner(n_comps=10),
    "blend of Euclidean, cosine and canonical": "blend",
    "blend of cosine and canonical": sg.tl.Blend(["cosine", "canonical"]),
}
# the paper as published, and the reference implementation: absolute margins and random starts
REFERENCE = {"paper": "paper", "ggml-ot": Learner(method=Triplets.ggml_ot())}
STEPS = {
    "triplets, 20 gradient steps": Learner(method=Triplets(max_iter=20, tol=0.0)),
    "triplets": "triplets",
    "triplets, not shrunk": Learner(method="triplets", shrinkage=0.0),
}
GROUPS = {"default": DEFAULT, "rivals": RIVALS, "around": AROUND, "reference": REFERENCE, "steps": STEPS}


def load(path, per_class=40, min_cells=10):
    """Read a cohort; of a very large one that many samples of each class are drawn."""
    adata = ad.read_h5ad(path)
    samples = adata.obs.groupby("sample_id", observed=True)["label"].agg(["first", "size"])
    if len(samples) > 3 * per_class:
        large = samples[samples["size"] >= min_cells]
        drawn = large.groupby("first", observed=True).sample(per_class, random_state=0).index
        adata = adata[adata.obs["sample_id"].isin(drawn)].copy()
    return adata


def evaluate(name, adata, methods, *, repeats, jobs, cells, points):
    """Scores of all methods on one cohort: cohort, method, repeat, metric, value."""
    has = set(adata.obs)
    chosen = {key: value for key, value in methods.items() if key != "composition" or "cell_type" in has}
    sg.tl.cross_validate(
        adata,
        "sample_id",
        "label",
        groups_key="patient_id" if "patient_id" in has else None,
        cell_type_key="cell_type" if "composition" in chosen and "cell_type" in has else None,
        label_kind="classes",
        methods=chosen,
        n_cells=cells,
        summary=sg.tl.Coreset(points) if points else None,
        n_repeats=repeats,
        n_jobs=jobs,
        progress=False,
    )
    scores = sg.get.cross_validation(adata).scores
    scores = scores[scores["metric"].isin(["balanced_accuracy", "seconds"])]
    return scores.astype({"method": str, "metric": str}).assign(cohort=name)


def summarize(scores):
    """Methods x cohorts: mean and standard deviation over repeats, and their mean over cohorts; seconds per fold."""
    main = scores[scores["metric"] == "balanced_accuracy"].groupby(["method", "cohort"], sort=False)["value"]
    text = main.mean().map("{:.3f}".format) + " ± " + main.std().map("{:.3f}".format)
    table = text.unstack("cohort").fillna("-")
    table.insert(0, "mean", main.mean().unstack("cohort").mean(axis=1))
    seconds = scores[scores["metric"] == "seconds"].groupby("method")["value"].mean()
    table.insert(1, "seconds per fold", seconds.round(2))
    return table.sort_values("mean", ascending=False).round(3)


def main(folder, *, cohorts, groups, repeats, jobs, cells, points, out):
    """Evaluate all cohorts and print what is known after each."""
    methods = {name: method for group in groups for name, method in GROUPS[group].items()}
    found = []
    for name in cohorts:
        start = time.perf_counter()
        options = {"repeats": repeats, "jobs": jobs, "cells": cells, "points": points}
        found.append(evaluate(name, load(folder / f"{name}.h5ad"), methods, **options))
        pd.concat(found).to_csv(out, index=False)
        print(f"\n{name}: {time.perf_counter() - start:.0f} s", flush=True)
        part = found[-1][found[-1]["metric"] == "balanced_accuracy"].groupby("method", sort=False)["value"]
        print(part.agg(["mean", "std"]).round(3).to_string(), flush=True)
    table = summarize(pd.concat(found))
    print("\n" + table.to_string())
    print(f"\nmean over {len(cohorts)} cohorts, best first; all scores are in {out}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--cohorts", nargs="+", default=COHORTS)
    parser.add_argument("--groups", nargs="+", choices=GROUPS, default=list(GROUPS), help="of methods")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--jobs", type=int, default=None)
    parser.add_argument("--cells", type=int, default=100, help="drawn of each sample (default 100)")
    parser.add_argument("--points", type=int, help="of a coreset of each sample (default: all drawn cells)")
    parser.add_argument("--out", type=Path, default=Path("generalisation.csv"))
    given = parser.parse_args()
    main(
        given.folder,
        cohorts=given.cohorts,
        groups=given.groups,
        repeats=given.repeats,
        jobs=given.jobs,
        cells=given.cells,
        points=given.points,
        out=given.out,
    )
