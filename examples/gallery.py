"""Every plot at its defaults, on a synthetic cohort or on a file, and all of them on one sheet.

Each plot is written to a file of its own in the folder, as large as it would be in a notebook; `gallery.png` shows them
side by side.
"""

import argparse
import warnings
from dataclasses import dataclass
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


@dataclass(frozen=True)
class Plot:
    """A plot with the code that draws it, which is what runs and what the page `Gallery` shows."""

    name: str
    shows: str
    call: str
    needs: tuple[str, ...] = ()
    """Calls before it. What several plots need is done once."""
    by_type: bool = False
    """Whether there is no such plot without cell types."""


LEARN = 'sg.tl.ggml(adata, "sample_id", "label", use_rep="X_pca")'
CROSS_FIT = "sg.tl.cross_fit(adata)"
HELD_OUT = "samples = sg.tl.distances(adata, held_out=True)"
GENES = 'sg.tl.rank_genes(adata, cell_type_key="cell_type")'
STABILITY = "sg.tl.gene_stability(adata, n_boot=50, n_perm=50)"
CROSS_VALIDATE = "sg.tl.cross_validate(adata, n_repeats=2)"

SECTIONS = {
    "Samples": [
        Plot("scores", "Each donor on a component that was learned without it.", "sg.pl.scores(adata)", (CROSS_FIT,)),
        Plot(
            "clustermap",
            "Distances between samples, clustered.",
            'sg.pl.clustermap(samples, key="ggml_held_out", color="label")',
            (CROSS_FIT, HELD_OUT),
        ),
        Plot(
            "embedding",
            "Samples in the plane, by multidimensional scaling or whatever scanpy computes.",
            'sg.pl.embedding(samples, color="label")',
            (CROSS_FIT, HELD_OUT, 'sg.tl.mds(samples, key="ggml_held_out")'),
        ),
        Plot(
            "covariates",
            "What distances follow: the label, and what else is known of the samples.",
            'sg.pl.covariates(samples, key="ggml_held_out")',
            (CROSS_FIT, HELD_OUT, 'sg.tl.covariates(samples, key="ggml_held_out")'),
        ),
        Plot(
            "trajectory",
            "An order of the samples, with genes and cell types along it.",
            "sg.pl.trajectory(samples)",
            (CROSS_FIT, HELD_OUT, 'sg.tl.trajectory(samples, adata, cell_type_key="cell_type")'),
        ),
        Plot(
            "influence",
            "The metric without each donor: does it hang on one of them?",
            "sg.pl.influence(adata)",
            ("sg.tl.influence(adata)",),
        ),
    ],
    "Genes": [
        Plot(
            "loadings", "Genes that change along each component, and in which class.", "sg.pl.loadings(adata)", (GENES,)
        ),
        Plot("volcano", "Size and false discovery rate of each gene.", "sg.pl.volcano(adata)", (GENES, STABILITY)),
        Plot(
            "heatmap",
            "Mean expression of genes in each sample.",
            'sg.pl.heatmap(samples, genes, color="label")',
            (CROSS_FIT, HELD_OUT, GENES, 'genes = sg.get.rank_genes_df(adata, component=1, n_genes=20)["gene"]'),
        ),
        Plot(
            "gene_stability",
            "Genes with their intervals over bootstraps of donors.",
            "sg.pl.gene_stability(adata)",
            (STABILITY,),
        ),
        Plot(
            "enrichment",
            "Gene sets of the components.",
            "sg.pl.enrichment(adata)",
            (GENES, "sg.ext.enrich_gmt(adata, gene_sets, all_results=True)"),
        ),
    ],
    "Cells": [
        Plot(
            "attribution",
            "Cell types that tell classes apart, by changed state or changed composition.",
            "sg.pl.attribution(adata)",
            (CROSS_FIT, 'sg.tl.attribute(adata, cell_type_key="cell_type", held_out=True)'),
        ),
        Plot(
            "plan",
            "Which cells of one sample go to which of another.",
            'sg.pl.plan(plan, "cell_type")',
            ("plan = sg.tl.plan(adata, first, second)",),
            by_type=True,
        ),
    ],
    "Is it real?": [
        Plot(
            "cross_validation",
            "Scores on donors that were not seen, beside simple methods.",
            "sg.pl.cross_validation(adata)",
            (CROSS_VALIDATE,),
        ),
        Plot(
            "calibration",
            "How often predictions are right at each confidence.",
            "sg.pl.calibration(adata)",
            (CROSS_VALIDATE,),
        ),
        Plot("confusion", "Which class is taken for which.", "sg.pl.confusion(adata)", (CROSS_VALIDATE,)),
        Plot(
            "permutation_test",
            "The score under the true labels beside those under permuted ones.",
            "sg.pl.permutation_test(adata)",
            ("sg.tl.permutation_test(adata, n_permutations=20)",),
        ),
        Plot(
            "power",
            "A learning curve: how many donors are needed?",
            "sg.pl.power(adata)",
            ('sg.tl.power(adata, method="pseudobulk", n_draws=10)',),
        ),
        Plot("history", "What was chosen while the metric was learned, and why.", "sg.pl.history(adata)"),
        Plot(
            "tuning",
            "Scores of options that were tried in inner folds.",
            "sg.pl.tuning(adata)",
            ('sg.tl.tune(adata, space={"n_comps": [1, 2]}, n_splits=3)',),
        ),
    ],
    "New patients": [
        Plot(
            "predictions",
            "What is predicted for each new sample, and how sure that is.",
            "sg.pl.predictions(predicted)",
            ("predicted = sg.tl.predict(new, known)",),
        ),
    ],
}
"""What is drawn. `known` and `new` are two halves of the donors, `first` and `second` samples of two classes."""


def for_columns(code: str, columns: dict[str, str | None]) -> str:
    """Return code with the names that a cohort has in place of those of the synthetic one."""
    for name, given in columns.items():
        code = code.replace(f'"{name}"', repr(given))
    return code


def prepare(adata: AnnData, columns: dict[str, str | None], **design: Any) -> dict[str, Any]:
    """Learn the metric; return what the code of the plots refers to."""
    sample_key, label_key = str(columns["sample_id"]), str(columns["label"])
    given = {"sample_key": sample_key, "label_key": label_key, "use_rep": columns["X_pca"], **design}
    sg.tl.ggml(adata, **given)
    known = half(adata, sample_key, label_key)
    sg.tl.ggml(known, **given)
    new = adata[~adata.obs[sample_key].isin(known.obs[sample_key].unique())].copy()
    firsts = adata.obs.drop_duplicates(label_key)[sample_key].astype(str)
    rng = np.random.default_rng(0)
    sg.tl.rank_genes(adata, cell_type_key=columns["cell_type"])
    strong = sg.get.rank_genes_df(adata, component=1, n_genes=20)["gene"]
    sets = {f"set {i + 1}": [*strong[i::3], *rng.choice(adata.var_names, 5)] for i in range(3)}
    return {
        "sg": sg,
        "adata": adata,
        "known": known,
        "new": new,
        "first": firsts.iloc[0],
        "second": firsts.iloc[1],
        "gene_sets": sets,
    }


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


def draw(folder: Path, names: dict[str, Any], columns: dict[str, str | None]) -> Path:
    """Run the code of each plot and write what it draws, and the sheet of all; return the path of the sheet."""
    folder.mkdir(parents=True, exist_ok=True)
    files, done = [], set()
    for plot in (plot for plots in SECTIONS.values() for plot in plots):
        if plot.by_type and columns["cell_type"] is None:
            continue
        path = folder / f"{plot.name}.png"
        try:
            for code in (for_columns(code, columns) for code in plot.needs):
                if code not in done:
                    exec(code, names)
                    done.add(code)
            drawn = for_columns(plot.call, columns)
            exec(f"{drawn.removesuffix(')')}, save=path, show=False)", {**names, "path": path})
        except ValueError as error:  # such as no gene set that is significant, or fewer than 6 donors
            print(f"pl.{plot.name}: {error}")
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
    columns = {"sample_id": options.sample_key, "label": options.label_key, "cell_type": types, "X_pca": use_rep}
    design = {} if options.groups_key is None else {"groups_key": options.groups_key}
    print("Written to", draw(options.folder, prepare(adata, columns, **design), columns))


if __name__ == "__main__":
    main()
