"""Does the default find the signal in the design that the reference was made for? Held-out scores beside the reference.

    python benchmarks/reference_design.py
    python benchmarks/reference_design.py --folder cohorts --methods scggml Euclid --csv results.csv

The generator of ggml-ot draws cohorts in its own environment (see _environment.py): samples of 99 cells in three modes,
of which one lies elsewhere in each class along one dimension. The other 1, 9 or 199 dimensions carry no label, and
dominate Euclidean distances. There are 30 or 15 training samples (all ten offsets of a class, or every second); the 30
test samples are a draw of their own. Each method learns on the training samples. Scores are of the test samples under
exact optimal transport (unsquared ground cost): accuracy of their five nearest training samples, and adjusted Rand
index (ARI) of complete linkage into three clusters of the test samples. The folder keeps the scores of each cohort in
results.csv.
"""

import argparse
import contextlib
import tempfile
import warnings
from collections.abc import Callable, Iterable
from itertools import product
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from _environment import reference_python
from _report import Row, add_csv_option, append_csv, heading, print_table
from _worker import Gate, Worker
from anndata import AnnData
from sklearn.cluster import AgglomerativeClustering
from sklearn.metrics import adjusted_rand_score
from sklearn.neighbors import KNeighborsClassifier

# The environment of the reference imports this file too, and has no scggml: that is imported where it is used.

SCALES = (1, 10)
NOISE = (1, 9, 199)
TRAINING = (15, 30)
CELLS = 33
"""Cells in each of the three modes of a sample."""
OFFSETS = tuple(1.5 + 3.0 * i for i in range(10))
"""Offsets of the noise dimensions by the reference's default: one sample of each class has each of them."""
TEST_SEED = 1000
"""Added to the seed of the training samples."""

NEIGHBORS, CLASSES, COMPONENTS = 5, 3, 5
GOOD_KNN, GOOD_ARI = 0.97, 0.9


class Cohort(NamedTuple):
    """A setting of the generator and a seed."""

    scale: float
    noise: int
    training: int
    seed: int

    @property
    def name(self) -> str:
        """Stem of the files of this cohort."""
        return f"scale{self.scale:g}_noise{self.noise}_train{self.training}_seed{self.seed}"


class Samples(NamedTuple):
    """Cells (n, d), the sample of each cell (n,) and the label of each sample."""

    points: np.ndarray
    samples: np.ndarray
    labels: np.ndarray


def arrays_of(folder: str | Path, cohort: Cohort) -> Path:
    """File of the cells."""
    return Path(folder) / f"{cohort.name}.npz"


def metric_of(folder: str | Path, cohort: Cohort) -> Path:
    """File of the metric that the reference learned."""
    return Path(folder) / f"{cohort.name}_ggml-ot.npy"


def load(path: Path, part: str) -> Samples:
    """Read the training or the test samples of a cohort."""
    with np.load(path) as arrays:
        return Samples(*(arrays[f"{part}_{name}"] for name in Samples._fields))


# --------------------------------------------------------------------------------- in the environment of the reference


def draw(cohort: Cohort, offsets: Iterable[float], seed: int) -> Samples:
    """Draw samples with the reference's generator."""
    import ggml_ot  # noqa: PLC0415 - not in every environment

    ggml_ot.settings.random_seed = seed
    dataset = ggml_ot.data.from_synth(
        distribution_size=CELLS,
        offsets=list(offsets),
        noise_scale=cohort.scale,
        noise_dims=cohort.noise,
        show=False,
    )
    clouds = [np.asarray(cloud) for cloud in dataset.supports]
    samples = np.repeat(np.arange(len(clouds)), [len(cloud) for cloud in clouds])
    return Samples(np.concatenate(clouds), samples, np.array(dataset.distribution_labels))


def generate(config: dict[str, Any], gate: Gate) -> int:
    """Write the training and test samples of each cohort, with a gate before each; how many there are."""
    for cohort in (Cohort(*values) for values in config["cohorts"]):
        gate()
        step = CLASSES * len(OFFSETS) // cohort.training
        parts = {
            "train": draw(cohort, OFFSETS[::step], cohort.seed),
            "test": draw(cohort, OFFSETS, TEST_SEED + cohort.seed),
        }
        arrays = {f"{part}_{name}": array for part, drawn in parts.items() for name, array in drawn._asdict().items()}
        np.savez(arrays_of(config["folder"], cohort), **arrays)
    return len(config["cohorts"])


def learn_reference(config: dict[str, Any], gate: Gate) -> int:
    """Write the metric that the reference learns by default on each cohort, with a gate before each; how many."""
    import ggml_ot  # noqa: PLC0415 - not in every environment

    ggml_ot.settings.n_threads = config["threads"]
    for cohort in (Cohort(*values) for values in config["cohorts"]):
        gate()
        points, samples, labels = load(arrays_of(config["folder"], cohort), "train")
        clouds = [points[samples == sample] for sample in range(len(labels))]
        ggml_ot.settings.random_seed = cohort.seed
        dataset = ggml_ot.from_numpy(clouds, labels.tolist())
        dataset.train(plot_iter=0)  # the plot at the end changes nothing
        np.save(metric_of(config["folder"], cohort), dataset.map_A)
    return len(config["cohorts"])


def run_there(job: str, folder: Path, cohorts: list[Cohort], threads: int) -> None:
    """Run a job of this file in the environment of the reference, and say how far it is."""
    if not cohorts:
        return
    config = {"folder": str(folder), "cohorts": cohorts, "threads": threads}
    job, python = f"reference_design:{job}", reference_python()
    with contextlib.closing(Worker(job, config, threads=threads, python=python)) as worker:
        for cohort in cohorts:
            seconds = worker.step()
            print(f"{job}, {cohort.name}: {seconds:.1f} s", flush=True)


# ------------------------------------------------------------------------------------------------ in this environment


def adata_of(points: np.ndarray, samples: np.ndarray, labels: np.ndarray) -> AnnData:
    """AnnData of cells with the columns `sample_id` and `label`."""
    obs = pd.DataFrame({"sample_id": [f"sample{s}" for s in samples], "label": [f"class{labels[s]}" for s in samples]})
    obs.index = obs.index.astype(str)
    return AnnData(points, obs=obs)


def learn(train: Samples, threads: int, **options: Any) -> np.ndarray:
    """Learn W (k, d) with `sg.tl.ggml`."""
    import scggml as sg  # noqa: PLC0415 - not in every environment

    adata = adata_of(*train)
    n_comps = min(COMPONENTS, train.points.shape[1])
    sg.tl.ggml(adata, "sample_id", "label", n_comps=n_comps, n_jobs=threads, progress=False, **options)
    return np.asarray(adata.uns["ggml"]["components"])


def scores(W: np.ndarray, train: Samples, test: Samples, threads: int) -> tuple[float, float]:
    """Accuracy of nearest neighbors and ARI of the test samples under the metric W."""
    import scggml as sg  # noqa: PLC0415 - not in every environment

    n_train = len(train.labels)
    points = np.concatenate([train.points, test.points]).astype(np.float64) @ W.T
    labels = np.concatenate([train.labels, test.labels])
    adata = adata_of(points, np.concatenate([train.samples, test.samples + n_train]), labels)
    D = sg.tl.distances(
        adata,
        metric="euclidean",
        sample_key="sample_id",
        label_key="label",
        summary=None,
        n_jobs=threads,
        progress=False,
    ).obsp["euclidean_distances"]
    neighbors = KNeighborsClassifier(NEIGHBORS, metric="precomputed").fit(D[:n_train, :n_train], train.labels)
    clusters = AgglomerativeClustering(CLASSES, metric="precomputed", linkage="complete")
    return (
        float(neighbors.score(D[n_train:, :n_train], test.labels)),
        float(adjusted_rand_score(test.labels, clusters.fit_predict(D[n_train:, n_train:]))),
    )


Learner = Callable[[Path, Cohort, Samples, int], np.ndarray]

REFERENCE = "ggml-ot"
METHODS: dict[str, Learner] = {
    "scggml": lambda folder, cohort, train, threads: learn(train, threads),
    "scggml, paper": lambda folder, cohort, train, threads: learn(train, threads, method="paper"),
    REFERENCE: lambda folder, cohort, train, threads: np.load(metric_of(folder, cohort)),
    "Euclid": lambda folder, cohort, train, threads: np.eye(train.points.shape[1]),
}


def evaluate(folder: Path, cohorts: list[Cohort], methods: list[str], threads: int) -> list[Row]:
    """One row for each cohort and method."""
    rows: list[Row] = []
    for cohort in cohorts:
        train, test = (load(arrays_of(folder, cohort), part) for part in ("train", "test"))
        for method in methods:
            W = METHODS[method](folder, cohort, train, threads)
            knn, ari = scores(W, train, test, threads)
            rows.append(cohort._asdict() | {"method": method, "knn": knn, "ari": ari})
            print(f"{cohort.name}, {method}: 5-NN {knn:.3f}, ARI {ari:.3f}", flush=True)
    return rows


def by_setting(rows: list[Row]) -> list[Row]:
    """Mean scores over seeds: one row for each setting, two columns for each method."""
    setting = ["scale", "noise", "training"]
    means = pd.DataFrame(rows).groupby([*setting, "method"], sort=False)[["knn", "ari"]].mean()
    table: dict[Any, Row] = {}
    for (*values, method), mean in zip(means.index, means.to_numpy().tolist(), strict=True):
        row = table.setdefault(tuple(values), dict(zip(setting, values, strict=True)))
        row |= {f"{method}: kNN": mean[0], f"{method}: ARI": mean[1]}
    return list(table.values())


def by_method(rows: list[Row]) -> list[Row]:
    """Mean scores over all cohorts, and the number of cohorts with good ones."""
    summary = []
    for method, part in pd.DataFrame(rows).groupby("method", sort=False):
        good_knn, good_ari = part["knn"] >= GOOD_KNN, part["ari"] >= GOOD_ARI
        summary.append(
            {
                "method": str(method),
                "cohorts": len(part),
                "kNN": float(part["knn"].mean()),
                "ARI": float(part["ari"].mean()),
                f"kNN >= {GOOD_KNN:g}": int(good_knn.sum()),
                f"ARI >= {GOOD_ARI:g}": int(good_ari.sum()),
                "both": int((good_knn & good_ari).sum()),
            }
        )
    return summary


def compare(folder: Path, cohorts: list[Cohort], methods: list[str], threads: int) -> tuple[list[Row], list[Row]]:
    """Make what is not in the folder yet, evaluate, print and return the tables."""
    run_there("generate", folder, [c for c in cohorts if not arrays_of(folder, c).exists()], threads)
    if REFERENCE in methods:
        run_there("learn_reference", folder, [c for c in cohorts if not metric_of(folder, c).exists()], threads)
    rows = evaluate(folder, cohorts, methods, threads)
    pd.DataFrame(rows).to_csv(folder / "results.csv", index=False)
    settings, summary = by_setting(rows), by_method(rows)
    print_table(settings, "held-out 5-NN accuracy and ARI, means over seeds")
    print_table(summary, "all cohorts: means, and the number of cohorts that reach the score")
    return settings, summary


def main() -> None:
    """Compare and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=list(METHODS))
    parser.add_argument("--seeds", type=int, default=3, help="cohorts of each setting (default 3)")
    parser.add_argument("--scales", nargs="+", type=float, default=list(SCALES), help="of the noise dimensions")
    parser.add_argument("--noise", nargs="+", type=int, default=list(NOISE), help="noise dimensions")
    parser.add_argument("--training", nargs="+", type=int, choices=TRAINING, default=list(TRAINING), help="samples")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--folder", type=Path, help="keep cohorts and metrics here, and use those that are there")
    add_csv_option(parser)
    options = parser.parse_args()
    warnings.simplefilter("ignore")

    heading("The design of the reference: held-out samples")
    settings = product(options.scales, options.noise, options.training, range(options.seeds))
    cohorts = [Cohort(*setting) for setting in settings]
    with contextlib.ExitStack() as stack:
        folder = options.folder or Path(stack.enter_context(tempfile.TemporaryDirectory()))
        folder.mkdir(parents=True, exist_ok=True)
        tables = compare(folder, cohorts, options.methods, options.threads)
    for rows, name in zip(tables, ("reference_design settings", "reference_design methods"), strict=True):
        append_csv(options.csv, rows, name)


if __name__ == "__main__":
    main()
