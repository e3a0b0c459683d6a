"""Other packages that learn how to compare samples, each in its own environment: training samples in, a metric out.

A job reads the cells of the training samples of one fold and their labels, as scggml has prepared them. It returns
either `W` (k, d), so that two cells are ||W(x - y)|| apart, or `centers` (K, d) of clusters and `cost` (K, K) between
them. What follows from it (distances to held-out samples by exact transport, neighbors that vote) is done in one place
for all, `_compared.py`. Packages are imported where they are used, since none has the environment of another.
"""

import time
import warnings
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from _worker import Gate, Memory

Found = dict[str, np.ndarray]

ITML_CELLS = 1000
"""Cells that ITML learns from, as many as LFDA and NCA do in scggml."""

WDA_CELLS = 500
"""Cells that Wasserstein discriminant analysis learns from: it solves all pairs of classes at every step."""

WDA_COMPONENTS = 2
"""Components of Wasserstein discriminant analysis, its default; one less than there are classes if that is more."""

CLUSTERS = 25
"""Clusters of cells between which Wasserstein singular vectors learn a cost: it solves transport for each pair of them
and for each pair of samples, again and again."""

POWER_STEPS = 15
"""Power iterations of Wasserstein singular vectors."""


class Training(NamedTuple):
    """Cells (n, d) of training samples, the sample of each (n,), and the class of each sample (P,)."""

    cells: np.ndarray
    owner: np.ndarray
    labels: np.ndarray


def drawn(data: Training, most: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray, float]:
    """Return up to `most` cells, as many of each sample, the label of each, and what their features were divided by.

    Each cell has the label of its sample, since these methods know of no samples. Features are centred and divided by
    one number, the root of their mean variance, on which the defaults of these methods are made.
    """
    each = max(1, most // len(data.labels))
    rows = [np.flatnonzero(data.owner == p) for p in range(len(data.labels))]
    kept = np.concatenate([np.sort(rng.permutation(own)[:each]) for own in rows])
    X = data.cells[kept].astype(np.float64)
    unit = float(np.sqrt(X.var(axis=0).mean())) or 1.0
    return (X - X.mean(axis=0)) / unit, data.labels[data.owner[kept]], unit


def itml(data: Training, seed: int) -> Found:
    """Information-theoretic metric learning (Davis et al. 2007) on labelled cells, at the defaults of metric-learn."""
    from metric_learn import ITML_Supervised  # noqa: PLC0415 - see above

    X, y, unit = drawn(data, ITML_CELLS, np.random.default_rng(seed))
    return {"W": ITML_Supervised(random_state=seed).fit(X, y).components_ / unit}


def wda(data: Training, seed: int) -> Found:
    """Wasserstein discriminant analysis (Flamary et al. 2018) of labelled cells, at the defaults of POT."""
    from ot.dr import wda as discriminant  # noqa: PLC0415

    X, y, unit = drawn(data, WDA_CELLS, np.random.default_rng(seed))
    k = min(max(WDA_COMPONENTS, int(y.max())), X.shape[1])
    np.random.seed(seed)  # noqa: NPY002 - its solver draws the start from there
    axes, _ = discriminant(X, y, p=k)
    return {"W": np.asarray(axes).T / unit}


def wsingular(data: Training, seed: int) -> Found:
    """Wasserstein singular vectors (Huizing et al. 2022) of the shares of clusters (k-means) in samples; no labels."""
    import torch  # noqa: PLC0415
    from sklearn.cluster import KMeans  # noqa: PLC0415
    from wsingular import wasserstein_singular_vectors  # noqa: PLC0415

    K = min(CLUSTERS, len(data.cells) // 2)
    clusters = KMeans(K, random_state=seed, n_init=1).fit(data.cells.astype(np.float64))
    counts = np.zeros((len(data.labels), K))
    np.add.at(counts, (data.owner, clusters.labels_), 1.0)
    shares = torch.tensor(counts / counts.sum(axis=1, keepdims=True))
    options = {"dtype": torch.double, "device": "cpu", "n_iter": POWER_STEPS}
    cost, _ = wasserstein_singular_vectors(shares, **options)
    return {"centers": clusters.cluster_centers_, "cost": cost.numpy()}


def ggml_ot(data: Training, seed: int) -> Found:
    """Global ground metric learning by the reference, `train` at its defaults, without its plot.

    It wants samples of one size: those with fewer cells are filled up by cells of their own that are drawn again.
    """
    import ggml_ot as package  # noqa: PLC0415
    import torch  # noqa: PLC0415

    rng = np.random.default_rng(seed)
    torch.manual_seed(seed)
    own = [np.flatnonzero(data.owner == p) for p in range(len(data.labels))]
    largest = max(map(len, own))
    filled = [np.concatenate([rows, rng.choice(rows, largest - len(rows))]) for rows in own]
    supports = data.cells[np.array(filled)].astype(np.float32)
    dataset = package.from_numpy(list(supports), data.labels.tolist())
    return {"W": np.asarray(dataset.train(plot_iter=0, return_dataset=False), dtype=np.float64)}


RIVALS: dict[str, Callable[[Training, int], Found]] = {
    "itml": itml,
    "wda": wda,
    "wsingular": wsingular,
    "ggml-ot": ggml_ot,
}


def small(d: int = 5) -> Training:
    """Return two classes of three samples of ten cells, for imports and compiled code."""
    owner = np.repeat(np.arange(6), 10)
    cells = np.random.default_rng(0).standard_normal((60, d)) + (owner % 2)[:, None]
    return Training(cells, owner, np.arange(6) % 2)


def serve(config: dict[str, Any], gate: Gate) -> None:
    """Learn from what stands in the file `config["data"]` after each gate; what was found goes to another one.

    With it go what it cost: seconds of the processor, and extra MB.
    The first call is apart: imports and compiled code are there before the first gate.
    """
    warnings.simplefilter("ignore")
    rival = RIVALS[config["rival"]]
    rival(small(), config["seed"])
    while True:
        gate()
        with np.load(config["data"]) as file:
            data = Training(file["cells"], file["owner"], file["labels"])
        memory, began = Memory(), time.process_time()
        found = rival(data, config["seed"])
        cost = {"cpu": time.process_time() - began, "MB": memory.extra}
        if not all(np.isfinite(array).all() for array in found.values()):
            raise ValueError(f"{config['rival']} found values that are not finite.")
        np.savez(config["found"], **cost, **found)
