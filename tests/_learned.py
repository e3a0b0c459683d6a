"""A small synthetic cohort with all results, made through the command line."""

from pathlib import Path

from _command_line import good

KEYS = ["--sample-key", "sample_id", "--label-key", "label"]
ONE = ["--n-jobs", "1"]
METHODS = ["--methods", "ggml", "--methods", "pseudobulk", "--methods", "majority"]
SIZE = ["--n-samples", "6", "--n-cells", "16", "--n-genes", "60", "--n-planted", "8"]


def prepare(folder: Path) -> Path:
    """Write cohort.h5ad, sets.gmt, learned.h5ad and evaluated.h5ad."""
    good("demo-cohort", folder / "cohort.h5ad", "--gene-sets", folder / "sets.gmt", *SIZE)
    good(
        "learn",
        folder / "cohort.h5ad",
        "-o",
        folder / "learned.h5ad",
        *KEYS,
        "--use-rep",
        "X_pca",
        "--n-comps",
        2,
        *ONE,
    )
    folds = ["--n-splits", "3", "--n-repeats", "2", "--n-perm", "39", "--cell-type-key", "cell_type"]
    good(
        "evaluate", folder / "learned.h5ad", "-o", folder / "evaluated.h5ad", "-o", folder / "evaluation.json",
        *folds, *METHODS, *ONE,
    )  # fmt: skip
    return folder
