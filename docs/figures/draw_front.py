"""Draw the figure of the front page: patients under two metrics, and the genes of the learned one.

A synthetic cohort of 60 patients: 12 of 300 genes differ in one of four cell types. Under the learned metric patients
are held out: each distance comes from metrics that have seen neither of the two.
"""

from pathlib import Path

import matplotlib as mpl
import matplotlib.pyplot as plt
import scanpy as sc

import scggml as sg

PALETTE = {"healthy": "#0072B2", "ill": "#D55E00"}


def main():
    """Write `docs/_static/front.png`."""
    mpl.use("agg")
    adata = sg.datasets.synthetic_counts(
        n_samples=30, n_cells=100, n_genes=300, n_planted=12, log_fold_change=1.6, rng=3
    )
    adata.obs["label"] = adata.obs["label"].cat.rename_categories(list(PALETTE))
    sc.pp.normalize_total(adata)
    sc.pp.log1p(adata)
    sc.pp.pca(adata, n_comps=20)
    sg.tl.ggml(adata, "sample_id", "label", use_rep="X_pca", reference_class="healthy")
    sg.tl.rank_genes(adata, cell_type_key="cell_type")
    sg.tl.cross_fit(adata)
    learned = sg.tl.distances(adata, held_out=True)
    sg.tl.mds(learned, key="ggml_held_out")
    euclidean = sg.tl.distances(adata, metric="euclidean", use_rep="X_pca", sample_key="sample_id", label_key="label")
    sg.tl.mds(euclidean, key=next(name for name in euclidean.obsp).removesuffix("_distances"))
    figure, axes = plt.subplots(1, 3, figsize=(13, 4.2), layout="constrained", width_ratios=(1, 1, 1.1))
    sg.pl.embedding(
        euclidean, color="label", palette=PALETTE, title="Euclidean metric", legend_loc=None, ax=axes[0], show=False
    )
    sg.pl.embedding(
        learned,
        color="label",
        palette=PALETTE,
        title="Learned metric, held out",
        ax=axes[1],
        show=False,
        legend_loc="best",
    )
    sg.pl.loadings(adata, components=[1], n_genes=12, title="Genes of the metric", ax=axes[2], show=False)
    shown = sg.get.rank_genes_df(adata, component=1, n_genes=12)["gene"]
    print(f"{adata.var.loc[shown, 'planted'].sum()} of {len(shown)} genes that are shown were planted")
    figure.savefig(Path(__file__).parents[1] / "_static" / "front.png", dpi=150, bbox_inches="tight")


if __name__ == "__main__":
    main()
