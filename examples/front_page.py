"""Draw the figure of the README: an embedded cohort, from counts to donors that the metric has not seen.

`python examples/front_page.py` writes docs/figures/front_page.png.
"""

import argparse
from pathlib import Path

import matplotlib as mpl
import matplotlib.pyplot as plt
import scanpy as sc

import scggml as sg

FIGURE = Path(__file__).parents[1] / "docs" / "figures" / "front_page.png"


def learn():
    """Return the cohort with everything that is drawn, and its samples."""
    adata = sg.datasets.synthetic_counts(n_samples=12)
    adata.obs["label"] = adata.obs["label"].cat.rename_categories(["control", "case"])
    sc.pp.normalize_total(adata)
    sc.pp.log1p(adata)
    sc.pp.pca(adata)
    sg.tl.ggml(adata, "sample_id", "label", use_rep="X_pca", reference_class="control")
    sg.tl.cross_fit(adata)
    sg.tl.rank_genes(adata, cell_type_key="cell_type")
    samples = sg.tl.distances(adata, held_out=True)
    sg.tl.mds(samples, key="ggml_held_out")
    return adata, samples


def draw(adata, samples):
    """Draw donors, their distances and genes side by side."""
    figure, axes = plt.subplots(1, 3, figsize=(11, 3.4), layout="constrained", width_ratios=(1, 1, 0.9))
    sg.pl.scores(adata, ax=axes[0], show=False)
    sg.pl.embedding(samples, color="label", legend_loc=None, ax=axes[1], show=False)
    sg.pl.loadings(adata, components=[1], n_genes=10, ax=axes[2], show=False)
    for ax, title in zip(axes, ("a  donors", "b  distances between donors", "c  genes"), strict=True):
        ax.set_title("")
        ax.set_title(title, loc="left", fontsize=12)
    return figure


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--file", type=Path, default=FIGURE)
    mpl.use("Agg")
    draw(*learn()).savefig(parser.parse_args().file, dpi=150)
