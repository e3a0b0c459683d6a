"""The main job on an embedded cohort: learn a metric, judge it on samples that it has not seen, draw what it found.

Thirty samples of three classes to learn from and thirty new ones to judge by, with 200 features each. Only the first
feature tells the classes apart; in the other 199 samples differ for reasons that have nothing to do with their class.
These are ten times as large, so they dominate the Euclidean metric.
"""

import argparse
import warnings
from pathlib import Path

import anndata as ad
import matplotlib as mpl
import numpy as np
import scanpy as sc
from sklearn.neighbors import KNeighborsClassifier

import scggml as sg

N_NEIGHBORS = 5
RIDGES = {"mean": "the mean within-class variance", "feature": "the within-class variance of each feature"}


def cohort(name, seed):
    """Thirty samples with a name of their own."""
    adata = sg.datasets.synthetic(n_cells=33, n_noise=199, rng=seed)
    adata.obs["sample_id"] = [f"{name}_{sample}" for sample in adata.obs["sample_id"]]
    adata.obs["cohort"] = name
    adata.obs_names = [f"{name}_{cell}" for cell in adata.obs_names]
    return adata


def setting(choice, i):
    """A setting that was tried, in words."""
    ridge, scale, shrinkage = (choice[name][i] for name in ("ridge", "ridge_scale", "shrinkage"))
    return f"ridge {ridge:g} of {RIDGES[scale]}, shrinkage {shrinkage:g}"


def held_out_accuracy(samples, key):
    """Share of the new samples whose nearest neighbors in the learning cohort have their label."""
    D, labels = samples.obsp[f"{key}_distances"], samples.obs["label"].to_numpy().astype(str)
    seen = (samples.obs["cohort"] == "learned").to_numpy()
    classifier = KNeighborsClassifier(N_NEIGHBORS, metric="precomputed").fit(D[np.ix_(seen, seen)], labels[seen])
    return classifier.score(D[np.ix_(~seen, seen)], labels[~seen])


def main(folder):
    """Run the demo and write its results into `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    learned, new = cohort("learned", seed=0), cohort("new", seed=1)
    print(f"Cohort to learn from: 30 samples of 3 classes, {learned.n_obs} cells, {learned.n_vars} features")

    sg.tl.ggml(learned, "sample_id", "label")
    result = learned.uns["ggml"]
    choice = result["choice"]
    print(f'Method "canonical": {result["stop"]}, {len(result["components"])} components')
    print(f"  usual setting: {setting(choice, 0)}")
    print(f"  chosen:        {setting(choice, choice['chosen'])}")
    print(f"  since it {choice['reason']} (log score)")

    sg.tl.project(new, learned)
    both = ad.concat([learned, new], uns_merge="first", merge="same")
    samples = sg.tl.distances(both)
    samples.obsp["euclidean_distances"] = sg.tl.distances(both, metric="euclidean").obsp["euclidean_distances"]
    print(f"Held-out {N_NEIGHBORS}-NN accuracy, 30 samples that the metric has not seen (chance 33 %)")
    for key, name in (("euclidean", "Euclidean"), ("ggml", "learned")):
        print(f"  {name:<10}{held_out_accuracy(samples, key):6.1%}")
    importance = sg.get.metric(learned).gene_importance
    print(f"Most important feature: {importance.idxmax()!r}, {importance.max() / importance.sum():.1%} of the metric")
    sg.tl.cross_fit(learned)
    p = learned.uns["ggml_held_out"]["p_values"]
    print(f"Held-out donors of the learning cohort differ along component 1 with p = {p[0]:.1g}")

    sg.tl.mds(samples)
    sg.tl.neighbors(samples)
    with warnings.catch_warnings():  # UMAP says that a seed makes it use one thread
        warnings.simplefilter("ignore", UserWarning)
        sc.tl.umap(samples)
    held_out = samples[samples.obs["cohort"] == "new"].copy()  # the others separate whatever their labels are
    sg.tl.mds(held_out)
    sg.pl.clustermap(held_out, color="label", save=folder / "clustermap_held_out.png")
    sg.pl.embedding(held_out, color="label", save=folder / "embedding_held_out.png")
    sg.tl.rank_genes(learned)
    sg.pl.loadings(learned, components=[1], n_genes=5, save=folder / "loadings.png")
    samples.write_h5ad(folder / "samples.h5ad")
    print(f"Written to {folder}: " + ", ".join(sorted(path.name for path in folder.iterdir())))


if __name__ == "__main__":
    mpl.use("Agg")
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", nargs="?", default="demo_output", type=Path, help="where to write")
    main(parser.parse_args().folder)
