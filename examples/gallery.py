"""Every plot at its defaults, on a synthetic cohort or on a file, and all of them on one sheet.

Each plot is written to a file of its own in the folder, as large as it would be in a notebook; `gallery.png` shows them
side by side.
"""

import argparse
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import anndata as ad
import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import scanpy as sc
from anndata import AnnData

import scggml as sg

COLUMNS, WIDTH = 4, 4.2
"""Plots in a row of the sheet, and the inches of each."""

QUIET: dict[str, Any] = {"progress": False}


def synthetic() -> AnnData:
    """Forty donors with planted genes in one of four cell types, and an age and a site that mean nothing."""
    adata = sg.datasets.synthetic_counts(n_samples=20, n_cells=40, n_genes=120, n_planted=12, rng=0)
    rng = np.random.default_rng(0)
    codes = adata.obs["sample_id"].cat.codes.to_numpy()
    adata.obs["age"] = rng.integers(20, 80, codes.max() + 1)[codes]
    adata.obs["site"] = np.array(["north", "south"])[rng.integers(2, size=codes.max() + 1)][codes]
    sc.pp.normalize_total(adata)
    sc.pp.log1p(adata)
    sc.pp.pca(adata, n_comps=15)
    return adata


def half(adata: AnnData, sample_key: str, label_key: str) -> AnnData:
    """Return the cells of every second donor of each label."""
    donors = adata.obs[[sample_key, label_key]].drop_duplicates()
    chosen = donors[donors.groupby(label_key, observed=True).cumcount() % 2 == 0][sample_key]
    return adata[adata.obs[sample_key].isin(chosen)].copy()


def prepare(
    adata: AnnData, sample_key: str, label_key: str, use_rep: str | None, cell_type_key: str | None, **design: Any
) -> dict[str, Callable[..., Any]]:
    """Do all that plots draw; return a call for each plot."""
    given: dict[str, Any] = {"sample_key": sample_key, "label_key": label_key, "use_rep": use_rep}
    sg.tl.ggml(adata, **given, **design, **QUIET)
    sg.tl.component_test(adata, **QUIET)
    sg.tl.gene_stability(adata, 50, n_perm=50, **QUIET)
    if cell_type_key is not None:
        sg.tl.rank_genes(adata, cell_type_key=cell_type_key, **QUIET)
    sg.tl.cross_fit(adata, **QUIET)
    sg.tl.attribute(adata, cell_type_key=cell_type_key, held_out=True, **QUIET)
    samples = sg.tl.distances(adata, held_out=True, **QUIET)
    sg.tl.mds(samples, key="ggml_held_out")
    sg.tl.covariates(samples, key="ggml_held_out")
    sg.tl.trajectory(samples, adata, cell_type_key=cell_type_key, **QUIET)
    sg.tl.cross_validate(adata, n_repeats=2, **QUIET)
    sg.tl.permutation_test(adata, n_permutations=20, **QUIET)
    sg.tl.power(adata, method="pseudobulk", n_draws=10, **QUIET)
    sg.tl.tune(adata, **given, space={"n_comps": [1, 2]}, n_splits=3, **QUIET)
    genes = sg.get.rank_genes_df(adata, component=1, n_genes=20)["gene"]
    rng = np.random.default_rng(0)
    sets = {f"set {i + 1}": [*genes[i::3], *rng.choice(adata.var_names, 5)] for i in range(3)}
    sg.ext.enrich_gmt(adata, sets, all_results=True)
    known = half(adata, sample_key, label_key)
    sg.tl.ggml(known, **given, **design, **QUIET)
    new = adata[~adata.obs[sample_key].isin(known.obs[sample_key].unique())].copy()
    predicted = sg.tl.predict(new, known, **QUIET)
    names = [samples.obs_names[samples.obs[label_key] == name][0] for name in samples.obs[label_key].unique()[:2]]

    def influence(**options: Any) -> Any:
        sg.tl.influence(adata, **QUIET)  # fewer than 6 donors are told here
        return sg.pl.influence(adata, **options)

    calls: dict[str, Callable[..., Any]] = {
        "scores": lambda **o: sg.pl.scores(adata, **o),
        "clustermap": lambda **o: sg.pl.clustermap(samples, key="ggml_held_out", color=label_key, **o),
        "embedding": lambda **o: sg.pl.embedding(samples, color=label_key, **o),
        "covariates": lambda **o: sg.pl.covariates(samples, key="ggml_held_out", **o),
        "trajectory": lambda **o: sg.pl.trajectory(samples, **o),
        "influence": influence,
        "loadings": lambda **o: sg.pl.loadings(adata, **o),
        "volcano": lambda **o: sg.pl.volcano(adata, **o),
        "heatmap": lambda **o: sg.pl.heatmap(samples, genes, color=label_key, **o),
        "gene_stability": lambda **o: sg.pl.gene_stability(adata, **o),
        "attribution": lambda **o: sg.pl.attribution(adata, **o),
        "enrichment": lambda **o: sg.pl.enrichment(adata, **o),
        "history": lambda **o: sg.pl.history(adata, **o),
        "cross_validation": lambda **o: sg.pl.cross_validation(adata, **o),
        "calibration": lambda **o: sg.pl.calibration(adata, **o),
        "confusion": lambda **o: sg.pl.confusion(adata, **o),
        "permutation_test": lambda **o: sg.pl.permutation_test(adata, **o),
        "power": lambda **o: sg.pl.power(adata, **o),
        "tuning": lambda **o: sg.pl.tuning(adata, **o),
        "predictions": lambda **o: sg.pl.predictions(predicted, **o),
    }
    if cell_type_key is not None:
        plan = sg.tl.plan(adata, *names)
        calls["plan"] = lambda **o: sg.pl.plan(plan, cell_type_key, **o)
    return calls


def sheet(files: list[Path], path: Path) -> None:
    """Show pictures side by side, each by its name."""
    rows = -(-len(files) // COLUMNS)
    figure, axes = plt.subplots(rows, COLUMNS, figsize=(WIDTH * COLUMNS, WIDTH * rows), layout="constrained")
    for axis in axes.ravel():
        axis.set_axis_off()
    for axis, file in zip(axes.ravel(), files, strict=False):
        axis.imshow(plt.imread(file))
        axis.set_title(f"pl.{file.stem}", loc="left", family="monospace", fontsize=11)
    figure.savefig(path, dpi=150)
    plt.close(figure)


def draw(folder: Path, calls: dict[str, Callable[..., Any]]) -> Path:
    """Write each plot and the sheet of all; return the path of the sheet."""
    folder.mkdir(parents=True, exist_ok=True)
    files = []
    for name, call in calls.items():
        path = folder / f"{name}.png"
        try:
            call(save=path)
        except ValueError as error:  # such as no gene set that is significant
            print(f"pl.{name}: {error}")
        else:
            files.append(path)
        plt.close("all")
    sheet(files, folder / "gallery.png")
    return folder / "gallery.png"


def main() -> None:
    """Draw the gallery of a cohort."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file", nargs="?", type=Path, help="an h5ad file; a synthetic cohort by default")
    parser.add_argument("--sample-key", default="sample_id")
    parser.add_argument("--label-key", default="label")
    parser.add_argument("--cell-type-key", help="column of .obs; that of the synthetic cohort is known")
    parser.add_argument("--use-rep", help="slot of .obsm, such as X_pca")
    parser.add_argument("--groups-key", help="column of .obs with the donors")
    parser.add_argument("--folder", type=Path, default=Path("gallery"))
    options = parser.parse_args()
    mpl.use("agg")
    warnings.simplefilter("ignore")
    if options.file is None:
        adata, use_rep, types = synthetic(), "X_pca", "cell_type"
    else:
        adata, use_rep, types = ad.read_h5ad(options.file), options.use_rep, options.cell_type_key
    design = {} if options.groups_key is None else {"groups_key": options.groups_key}
    calls = prepare(adata, options.sample_key, options.label_key, use_rep, types, **design)
    print("Written to", draw(options.folder, calls))


if __name__ == "__main__":
    main()
