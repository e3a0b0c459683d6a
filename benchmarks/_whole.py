"""The jobs that whole_job.py times: of each package the calls that its README or tutorial has, at their defaults.

Each runs in the environment of its package, so that is imported where it is used. A job has a part before the clock
(what its user has already: an embedding, labels of clusters, a metric) and a part that is timed.
"""

import contextlib
import os
import resource
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import anndata as ad
import numpy as np
import pandas as pd
from _data import as_anndata, mixtures
from _worker import Gate, Memory

SAMPLE, LABEL, EMBEDDING, CLUSTER = "sample_id", "label", "X_pca", "cluster"
CLUSTERS = 10
PEER_CELLS = 250
"""Cells of each sample that ggml-ot draws by default; it skips samples with fewer."""

Config = Mapping[str, Any]
Found = dict[str, Any]

# ------------------------------------------------------------------------------- metric, distances and coordinates


def nothing(adata: ad.AnnData, config: Config) -> None:
    """Leave the cells as they are."""


def scggml(adata: ad.AnnData, config: Config) -> Found:
    """Learn a metric by `sg.tl.ggml`, which stores the coordinates of the cells, and compute distances."""
    import scggml as sg  # noqa: PLC0415 - not in every environment

    sg.tl.ggml(adata, SAMPLE, LABEL, n_jobs=config["threads"])
    samples = sg.tl.distances(adata, n_jobs=config["threads"])
    return {"distances": samples.obsp["ggml_distances"], "coordinates": adata.obsm["X_ggml"]}


def ggml_ot(adata: ad.AnnData, config: Config) -> Found:
    """Do the same by ggml-ot, without its plots.

    Its `train` of all epochs is taken apart, so that fewer can be timed: what it returns is stored as it does itself.
    """
    import ggml_ot as package  # noqa: PLC0415

    package.settings.n_threads = config["threads"]
    n_cells = min(PEER_CELLS, int(adata.obs[SAMPLE].value_counts().min()))
    dataset = package.from_anndata(adata, patient_col=SAMPLE, label_col=LABEL, n_cells=n_cells)
    W, epoch = dataset.train(max_iter=config["epochs"], plot_iter=0, return_dataset=False, measure_time=True)
    dataset.map_A = W
    D = dataset.compute_OT(ground_metric=W, plot_type=False)
    return {"distances": np.asarray(D), "coordinates": adata.obsm["X_ggml"], "epoch": float(epoch)}


# ----------------------------------------------------------------------------------------------------- distances alone


def embed(adata: ad.AnnData, config: Config) -> None:
    """Have an embedding of the cells."""
    adata.obsm[EMBEDDING] = np.asarray(adata.X)


def embed_and_learn(adata: ad.AnnData, config: Config) -> None:
    """Have a learned metric."""
    import scggml as sg  # noqa: PLC0415

    embed(adata, config)
    sg.tl.ggml(adata, SAMPLE, LABEL, use_rep=EMBEDDING, n_jobs=config["threads"])


def embed_and_cluster(adata: ad.AnnData, config: Config) -> None:
    """Have an embedding with names, as PILOT wants it, and clusters of the cells (k-means)."""
    from sklearn.cluster import KMeans  # noqa: PLC0415

    names = [f"PC{i + 1}" for i in range(adata.n_vars)]
    adata.obsm[EMBEDDING] = pd.DataFrame(np.asarray(adata.X), index=adata.obs_names, columns=names)
    adata.obs[CLUSTER] = [f"k{c}" for c in KMeans(CLUSTERS, random_state=0).fit_predict(adata.X)]


def euclidean(adata: ad.AnnData, config: Config) -> Found:
    """Compute Euclidean transport between samples by scggml."""
    import scggml as sg  # noqa: PLC0415

    options = {"metric": "euclidean", "sample_key": SAMPLE, "use_rep": EMBEDDING, "n_jobs": config["threads"]}
    return {"distances": sg.tl.distances(adata, **options).obsp["euclidean_distances"]}


def learned(adata: ad.AnnData, config: Config) -> Found:
    """Compute transport under the learned metric by scggml."""
    import scggml as sg  # noqa: PLC0415

    return {"distances": sg.tl.distances(adata, n_jobs=config["threads"]).obsp["ggml_distances"]}


def pilot(adata: ad.AnnData, config: Config) -> Found:
    """Compute transport between the proportions of clusters by PILOT."""
    import pilotpy  # noqa: PLC0415

    names = {"clusters_col": CLUSTER, "sample_col": SAMPLE, "status": LABEL}
    pilotpy.tl.wasserstein_distance(adata, emb_matrix=EMBEDDING, **names)
    return {"distances": adata.uns["EMD"]}


def gloscope(adata: ad.AnnData, config: Config) -> Found:
    """Compute symmetric divergences between densities, which nearest neighbors estimate, by GloScope in patpy."""
    import patpy  # noqa: PLC0415

    method = patpy.tl.GloScope_py(SAMPLE, layer=EMBEDDING)
    method.prepare_anndata(adata)
    return {"distances": method.calculate_distance_matrix()}


JOBS: dict[str, tuple[Callable[[ad.AnnData, Config], None], Callable[[ad.AnnData, Config], Found]]] = {
    "scggml": (nothing, scggml),
    "ggml-ot": (nothing, ggml_ot),
    "scggml, Euclidean": (embed, euclidean),
    "scggml, learned": (embed_and_learn, learned),
    "PILOT": (embed_and_cluster, pilot),
    "GloScope (patpy)": (embed, gloscope),
}
"""What is done before the clock, and what is timed."""


def cells(n_samples: int, n_cells: int, d: int) -> ad.AnnData:
    """Return a cohort in memory."""
    return as_anndata(np.concatenate(list(mixtures(n_samples, n_cells, d))), n_samples)


@contextlib.contextmanager
def apart(gb: float) -> Iterator[None]:
    """Work in a folder that is deleted (PILOT writes into the current one), with at most `gb` GB of memory (Linux)."""
    if gb:
        limit = int(gb * 2**30)
        resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))
    with contextlib.suppress(OSError):  # a machine that runs short of memory ends this process first
        Path("/proc/self/oom_score_adj").write_text("1000", encoding="ascii")
    began_in = Path.cwd()
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        try:
            yield
        finally:
            os.chdir(began_in)


def checked(found: Found, config: Config) -> Found:
    """Return the numbers that were found, once the arrays are those that were asked for."""
    D = np.asarray(found.pop("distances"))
    P = config["setting"][0]
    if D.shape != (P, P) or not np.isfinite(D).all() or not np.allclose(D, D.T, rtol=1e-3, atol=1e-6):
        raise RuntimeError(f"{config['job']} gives no distances of {P} samples.")
    coordinates = found.pop("coordinates", None)
    if coordinates is not None and (len(coordinates) != P * config["setting"][1] or not np.isfinite(coordinates).all()):
        raise RuntimeError(f"{config['job']} gives no coordinates of all cells.")
    return found


def job(config: dict[str, Any], gate: Gate) -> Found:
    """Do a job some times, with a gate before each; seconds and extra MB of each, and what else the last one found."""
    warnings.simplefilter("ignore")
    prepare, function = JOBS[config["job"]]
    with apart(config["gb"]):
        small = config | {"setting": [6, 40, min(6, config["setting"][2])], "epochs": 1}
        began = time.perf_counter()
        warm_up = cells(*small["setting"])
        prepare(warm_up, small)
        checked(function(warm_up, small), small)  # imports and compiled code
        kept: Found = {"first call s": time.perf_counter() - began, "seconds": [], "MB": []}
        adata = cells(*config["setting"])
        prepare(adata, config)
        for _ in range(config["repeats"]):
            copy = adata.copy()
            gate()
            memory = Memory()
            began = time.perf_counter()
            try:
                found = function(copy, config)
            except (MemoryError, RuntimeError) as error:
                if not isinstance(error, MemoryError) and "memory" not in str(error):
                    raise
                return kept | {"note": f"needs more than {config['gb']:g} GB"}
            kept["seconds"].append(time.perf_counter() - began)
            kept["MB"].append(memory.extra)
            kept |= checked(found, config)
            if sum(kept["seconds"]) > config["cap"] / 4:
                break
    return kept
