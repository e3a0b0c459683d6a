"""Which method predicts donors that it has not seen? All methods on the same folds of nine public cohorts.

    python benchmarks/generalisation.py FOLDER_OF_COHORTS
    python benchmarks/generalisation.py --synthetic --groups default around bags --draws 2 --repeats 1

FOLDER holds one h5ad per cohort with `.obs["sample_id"]`, `.obs["label"]` and, where donors have several samples,
`.obs["patient_id"]`. Cells and folds are drawn anew in each draw. Prints balanced accuracy, area under the ROC curve
and log loss of all held-out samples for each method and cohort (mean and standard deviation over repeats) with the
seconds per fold, then a summary over cohorts with paired differences, and keeps all scores in a table. Cohorts that are
in the table already are not run again.
"""

import argparse
import time
from pathlib import Path

import anndata as ad
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from scipy import stats

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
    "csle_ragas",
)
SYNTHETIC = {
    **{
        f"{n} dimensions of noise": lambda draw, n=n: sg.datasets.synthetic(n_noise=n, n_cells=33, rng=draw)
        for n in (1, 9, 199)
    },
    "genes of one type": lambda draw: sg.datasets.synthetic_counts(log_fold_change=1.0, rng=draw),
}
"""Cohorts of `--synthetic`, by the number of a draw: donors, cells and noise are drawn anew in each."""

SCORES = ("balanced_accuracy", "auroc", "log_loss")
LABELS = {"balanced_accuracy": "balanced accuracy", "auroc": "AUROC", "log_loss": "log loss"}
Learner, Triplets = sg.tl.Learner, sg.tl.Triplets


def usual(ridge=0.05, shrinkage=0.4, **options):
    """The default without a choice: a ridge that is a share of the mean scatter, and a fixed shrinkage."""
    return Learner(method=sg.tl.Canonical(ridge=ridge, ridge_scale="mean"), shrinkage=shrinkage, **options)


FIRST = {"first version": usual()}
"""The default of the first version: a fixed pair, 100 random cells, votes as probabilities."""

NEW = {name: name for name in ("ensemble", "canonical", "pseudobulk", "euclidean", "frequencies", "embedding")}
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
BAGS = {"canonical, 12 bags": Learner(bags=12)}
GROUPS = {
    "first": FIRST,
    "new": NEW,
    "default": DEFAULT,
    "rivals": RIVALS,
    "around": AROUND,
    "reference": REFERENCE,
    "steps": STEPS,
    "bags": BAGS,
}


def load(path, per_class=40, min_cells=10):
    """Read a cohort; of a very large one that many samples of each class are drawn."""
    adata = ad.read_h5ad(path)
    samples = adata.obs.groupby("sample_id", observed=True)["label"].agg(["first", "size"])
    if len(samples) > 3 * per_class:
        large = samples[samples["size"] >= min_cells]
        drawn = large.groupby("first", observed=True).sample(per_class, random_state=0).index
        adata = adata[adata.obs["sample_id"].isin(drawn)].copy()
    return adata


def evaluate(name, adata, methods, *, repeats, draw, jobs, **options):
    """Scores of all methods on one cohort: cohort, draw, method, repeat, metric, value."""
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
        n_repeats=repeats,
        rng=draw,
        n_jobs=jobs,
        progress=False,
        **options,
    )
    scores = sg.get.cross_validation(adata).scores
    scores = scores[scores["metric"].isin([*SCORES, "seconds"])]
    return scores.astype({"method": str, "metric": str}).assign(cohort=name, draw=draw)


def shuffled(adata, rng):
    """Return the cohort with the labels of its donors in random order, within donors where they vary there."""
    adata = adata.copy()
    donor = "patient_id" if "patient_id" in adata.obs else "sample_id"
    columns = dict.fromkeys(["sample_id", donor, "label"])
    samples = adata.obs[list(columns)].astype(str).drop_duplicates("sample_id").reset_index(drop=True)
    rng = np.random.default_rng(rng)
    if (samples.groupby(donor)["label"].nunique() > 1).any():
        new = samples.groupby(donor)["label"].transform(lambda labels: rng.permutation(labels.to_numpy()))
    else:
        donors = samples.drop_duplicates(donor).set_index(donor)["label"]
        new = samples[donor].map(dict(zip(donors.index, rng.permutation(donors.to_numpy()), strict=True)))
    of_sample = dict(zip(samples["sample_id"], new, strict=True))
    adata.obs["label"] = pd.Categorical(adata.obs["sample_id"].astype(str).map(of_sample))
    return adata


def summarize(scores, metric):
    """Methods x cohorts: mean and standard deviation over draws and repeats, their mean over cohorts, seconds."""
    main = scores[scores["metric"] == metric].groupby(["method", "cohort"], sort=False)["value"]
    text = main.mean().map("{:.3f}".format) + " ± " + main.std().map("{:.3f}".format)
    table = text.unstack("cohort").fillna("-")
    table.insert(0, "mean", main.mean().unstack("cohort").mean(axis=1))
    seconds = scores[scores["metric"] == "seconds"].groupby("method")["value"].mean()
    table.insert(1, "seconds per fold", seconds.round(2))
    return table.sort_values("mean", ascending=metric == "log_loss").round(3)


def differences(scores, metric, first):
    """Paired difference of one method to each other one: mean over cohorts with its 95 % interval (Student's t)."""
    by_cohort = scores[scores["metric"] == metric].groupby(["method", "cohort"])["value"].mean().unstack("method")
    rows = {}
    for other in by_cohort.columns.drop(first):
        d = (by_cohort[first] - by_cohort[other]).dropna()
        half = stats.t.ppf(0.975, len(d) - 1) * d.std(ddof=1) / np.sqrt(len(d)) if len(d) > 1 else np.nan
        rows[other] = {"difference": d.mean(), "low": d.mean() - half, "high": d.mean() + half, "cohorts": len(d)}
    return pd.DataFrame(rows).T.round(3)


def draw_differences(scores, path, first="ensemble"):
    """Draw the paired differences of one method to the others: each cohort, their mean and its interval."""
    others = [name for name in dict.fromkeys(scores["method"]) if name != first]
    fig, axes = plt.subplots(1, len(SCORES), figsize=(10, 0.42 * len(others) + 1.3), sharey=True, layout="constrained")
    for ax, metric in zip(axes, SCORES, strict=True):
        by_cohort = scores[scores["metric"] == metric].groupby(["method", "cohort"])["value"].mean().unstack("method")
        found = differences(scores, metric, first)
        for row, other in enumerate(others):
            gaps = (by_cohort[first] - by_cohort[other]).dropna()
            mean, low, high = found.loc[other, ["difference", "low", "high"]]
            ax.plot(gaps, np.full(len(gaps), row), "o", color="0.75", ms=4, zorder=1)
            ax.errorbar(mean, row, xerr=[[mean - low], [high - mean]], fmt="o", color="black", capsize=3, ms=5)
        ax.axvline(0, color="0.4", lw=0.8, ls="--", zorder=0)
        side = "below" if metric == "log_loss" else "above"
        ax.set_xlabel(f"{first} minus other\n({side} 0: {first} better)")
        ax.set_title(LABELS[metric])
        ax.spines[["top", "right"]].set_visible(False)
    axes[0].set_yticks(range(len(others)), others)
    axes[0].invert_yaxis()
    fig.suptitle(f"Held-out donors of {scores['cohort'].nunique()} cohorts; mean and its 95 % interval", fontsize=10)
    fig.savefig(path, dpi=150)
    plt.close(fig)


def report(scores, folder):
    """Write scores by method and cohort, differences of the ensemble and their figure into a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    table = scores[scores["metric"].isin(SCORES)].groupby(["metric", "method", "cohort"], sort=False)["value"]
    table.mean().unstack("cohort").round(4).to_csv(folder / "generalisation_scores.csv")
    gaps = pd.concat({metric: differences(scores, metric, "ensemble") for metric in SCORES}, names=["metric", "other"])
    gaps.to_csv(folder / "generalisation_differences.csv")
    draw_differences(scores, folder / "generalisation.png")


def main(folder, *, cohorts, groups, repeats, draws, jobs, cells, points, permuted, per_class, unscaled, out, into):
    """Evaluate all cohorts and print what is known after each."""
    methods = {name: method for group in groups if group != "first" for name, method in GROUPS[group].items()}
    preprocess = {"preprocess": sg.tl.Preprocess(scale=False)} if unscaled else {}
    options = dict(preprocess)
    if cells is not None:
        options |= {"n_cells": cells, "summary": sg.tl.Coreset(points) if points else None}
    found = [pd.read_csv(out)] if out.exists() else []
    for name in cohorts:
        for draw in range(draws):
            if found and ((found[0]["cohort"] == name) & (found[0]["draw"] == draw)).any():
                continue
            start = time.perf_counter()
            adata = SYNTHETIC[name](draw) if name in SYNTHETIC else load(folder / f"{name}.h5ad", per_class)
            adata = shuffled(adata, draw) if permuted else adata
            usual_options = {"repeats": repeats, "draw": draw, "jobs": jobs}
            parts = [evaluate(name, adata, methods, **usual_options, **options)] if methods else []
            if "first" in groups:
                as_first = {"n_cells": 100, "summary": None, "calibrate": False} | preprocess
                parts.append(evaluate(name, adata, FIRST, **usual_options, **as_first))
            found = [pd.concat([*found, *parts])]
            found[0].to_csv(out, index=False)
            print(f"\n{name}, draw {draw}: {time.perf_counter() - start:.0f} s", flush=True)
            now = pd.concat(parts)
            now = now[now["metric"].isin(SCORES)].pivot_table(index="method", columns="metric", values="value")
            print(now.round(3).to_string(), flush=True)
    scores = found[0]
    for metric in SCORES:
        print(f"\n{metric}\n{summarize(scores, metric).to_string()}")
        if "ensemble" in set(scores["method"]):
            print(f"\nensemble minus other, {metric}\n{differences(scores, metric, 'ensemble').to_string()}")
    if into is not None:
        report(scores, into)
    print(f"\nmeans over cohorts, best first; all scores are in {out}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, nargs="?", help="of the cohorts")
    parser.add_argument("--cohorts", nargs="+", help="names of some")
    parser.add_argument(
        "--synthetic", action="store_true", help="cohorts drawn by `datasets.synthetic` and such instead"
    )
    parser.add_argument("--groups", nargs="+", choices=GROUPS, default=["first", "new"], help="of methods")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--draws", type=int, default=1, help="of cells and folds (default 1)")
    parser.add_argument("--permuted", action="store_true", help="shuffle the labels of donors")
    parser.add_argument("--per-class", type=int, default=40, help="samples of each class of very large cohorts")
    parser.add_argument("--jobs", type=int, default=None)
    parser.add_argument("--cells", type=int, help="drawn of each sample (default: as `cross_validate` does)")
    parser.add_argument("--points", type=int, help="of a coreset of each sample, with --cells (default: all drawn)")
    parser.add_argument("--unscaled", action="store_true", help="do not bring features to unit variance")
    parser.add_argument("--report", type=Path, help="folder for the tables and the figure of the documentation")
    parser.add_argument("--out", type=Path, default=Path("generalisation.csv"))
    given = parser.parse_args()
    if given.folder is None and not (given.synthetic and set(given.cohorts or ()) <= set(SYNTHETIC)):
        parser.error(f"pass the folder of the cohorts, or --synthetic for {', '.join(map(repr, SYNTHETIC))}")
    main(
        given.folder,
        cohorts=given.cohorts or (SYNTHETIC if given.synthetic else COHORTS),
        groups=given.groups,
        repeats=given.repeats,
        draws=given.draws,
        permuted=given.permuted,
        per_class=given.per_class,
        jobs=given.jobs,
        cells=given.cells,
        points=given.points,
        unscaled=given.unscaled,
        out=given.out,
        into=given.report,
    )
