"""Whole jobs, phase by phase: a real cohort of 634 biopsies, and a cohort of a million cells on disk.

`kidney_igan` standardizes the features and runs `sg.tl.ggml` and `sg.tl.distances` with their defaults. `disk` writes a
cohort sample by sample, opens it backed and does the same; the phase "read and embed" is what `sg.tl.ggml` does besides
learning: reading, summaries of the samples where there are any, and coordinates of the cells.
"""

import argparse
import contextlib
import os
import tempfile
import time
import warnings
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path
from typing import Any

import anndata as ad
import h5py
import numpy as np
import pandas as pd
import scanpy as sc
from _data import labels_of, mixtures, start
from _learn import arguments
from _report import Row, add_csv_option, append_csv, heading, print_table
from _worker import HERE, Gate, Memory, run
from scipy import sparse

import scggml as sg
from scggml._anndata.features import read_features
from scggml._anndata.parts import embed_cells
from scggml._anndata.reading import Reading

DOWNLOADS = HERE.parents[1] / "shared" / "data" / "downloads"
"""Where the file of the real cohort is taken from if `SCGGML_DATA` does not say."""

ASIDE = ("write", "read and embed")
"""Phases that a user's job does not have."""

PASSES = {"eigenvalues": "alternations", "loss": "passes"}
"""What the history of a metric counts."""

ARRAY = {"encoding-type": "array", "encoding-version": "0.2.0"}


class Phases:
    """Seconds and memory of the parts of a job."""

    def __init__(self, gate: Gate) -> None:
        self.rows: list[Row] = []
        gate()

    @contextlib.contextmanager
    def __call__(self, name: str) -> Iterator[Row]:
        """Measure what happens inside; the row takes notes."""
        row: Row = {"phase": name}
        memory, began = Memory(), time.perf_counter()
        yield row
        row["seconds"] = time.perf_counter() - began
        row |= {"before MB": memory.before, "peak MB": memory.peak, "extra MB": memory.extra}
        row["note"] = row.pop("note", "")
        self.rows.append(row)


def learn(adata: ad.AnnData, sample_key: str, label_key: str, **options: Any) -> str:
    """Learn, and say how it ended."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Learning reached max_iter")  # the note says so
        sg.tl.ggml(adata, sample_key, label_key, **({"progress": False} | options))
    entry = adata.uns[options.get("key_added", "ggml")]
    taken = {unit: entry["history"][name] for name, unit in PASSES.items() if name in entry["history"]}
    return ", ".join([str(entry["stop"]), *(f"{len(values)} {unit}" for unit, values in taken.items())])


def read_and_embed(adata: ad.AnnData, k: int, **options: Any) -> None:
    """Read the samples as `sg.tl.ggml` does, and take all cells through some metric."""
    known = {field.name for field in fields(Reading)}
    given = {name: value for name, value in options.items() if name in known}
    reading = Reading(**({"sample_key": "sample_id", "label_key": "label", "summary": "auto"} | given))
    features = read_features(adata, use_rep=reading.use_rep, layer=reading.layer)
    selection = reading.select(adata)
    reading.settled(selection, len(features.names)).samples(selection, features)
    embed_cells(features, start(k, len(features.names)))


def kidney_igan(config: dict[str, Any], gate: Gate) -> list[Row]:
    """The real cohort, or the first samples of each of its three classes."""
    phase = Phases(gate)
    with phase("read and scale") as row:
        adata = sg.datasets.kidney_igan()
        if config["samples"] is not None:
            biopsies = adata.obs[["sampleID", "status"]].drop_duplicates("sampleID")
            kept = biopsies.groupby("status", observed=True).head(max(2, config["samples"] // 3))["sampleID"]
            adata = adata[adata.obs["sampleID"].isin(kept)].copy()
        sc.pp.scale(adata)
        row["note"] = f"{adata.obs['sampleID'].nunique()} samples, {adata.n_obs} observations, {adata.n_vars} features"
    with phase("learn") as row:
        row["note"] = learn(adata, "sampleID", "status", n_jobs=config["threads"], **arguments(config["learn"]))
    with phase("distances") as row:
        samples = sg.tl.distances(adata, n_jobs=config["threads"], progress=False, **arguments(config["distances"]))
        row["note"] = f"{samples.n_obs * (samples.n_obs - 1) // 2} pairs"
    return phase.rows


def write_cohort(path: Path, n_samples: int, n_cells: int, d: int, density: float | None = None) -> None:
    """Write a cohort with its cells in `.X`, one sample in memory at a time, as h5ad or zarr by the name's ending.

    With a density the features are sparse genes, of which that share is not 0.
    """
    samples = np.repeat(np.arange(n_samples), n_cells)
    obs = pd.DataFrame(
        {
            "sample_id": pd.Categorical.from_codes(samples, [f"s{p}" for p in range(n_samples)]),
            "label": pd.Categorical.from_codes(labels_of(n_samples)[samples], ["c0", "c1"]),
        },
        index=[f"cell{i}" for i in range(len(samples))],
    )
    frame = ad.AnnData(obs=obs, var=pd.DataFrame(index=[f"feature{j}" for j in range(d)]))
    shape, chunks = (len(samples), d), (n_cells, d)
    if density is not None:
        write_sparse(path, frame, sparse_samples(n_samples, n_cells, d, density))
    elif path.suffix == ".h5ad":
        frame.write_h5ad(path)
        with h5py.File(path, "r+") as file:
            if "X" in file:
                del file["X"]
            X = file.create_dataset("X", shape, dtype=np.float32, chunks=chunks)
            X.attrs.update(ARRAY)
            fill(X, n_samples, n_cells, d)
    else:
        import zarr  # noqa: PLC0415 - only for this format

        frame.write_zarr(path)
        group = zarr.open_group(path, mode="r+", use_consolidated=False)
        X = group.create_array("X", shape=shape, dtype=np.float32, chunks=chunks, overwrite=True)
        X.attrs.update(ARRAY)
        fill(X, n_samples, n_cells, d)
        zarr.consolidate_metadata(group.store)


def fill(X: Any, n_samples: int, n_cells: int, d: int) -> None:
    """Draw the samples into their rows."""
    for p, cloud in enumerate(mixtures(n_samples, n_cells, d)):
        X[p * n_cells : (p + 1) * n_cells] = cloud


def sparse_samples(n_samples: int, n_cells: int, d: int, density: float) -> Iterator[sparse.csr_matrix]:
    """Sparse genes (n_cells, d), sample by sample: eight cell types; classes differ in the first genes."""
    rng = np.random.default_rng(0)
    types = rng.gamma(0.3, size=(8, d)).astype(np.float32)
    for label in labels_of(n_samples):
        part = sparse.random(n_cells, d, density, "csr", np.float32, rng, data_rvs=rng.standard_exponential)
        of_type = types[rng.integers(8, size=n_cells)]
        scaled = part.multiply(0.3 + of_type + label * (np.arange(d) < 20))
        yield sparse.csr_matrix(scaled, dtype=np.float32)


def write_sparse(path: Path, frame: ad.AnnData, parts: Iterator[sparse.csr_matrix]) -> None:
    """Write a cohort with sparse genes as h5ad or zarr, sample by sample."""
    shape = frame.shape
    if path.suffix == ".zarr":
        import zarr  # noqa: PLC0415 - only for this format

        frame.write_zarr(path)
        group = zarr.open_group(path, mode="r+", use_consolidated=False)
        ad.io.write_elem(group, "X", next(parts))
        stored = ad.io.sparse_dataset(group["X"])
        for part in parts:
            stored.append(part)
        zarr.consolidate_metadata(group.store)
        return
    frame.X = sparse.csr_array(shape, dtype=np.float32)
    frame.write_h5ad(path)
    with h5py.File(path, "r+") as file:
        del file["X"]
        X = file.create_group("X")
        X.attrs.update({"encoding-type": "csr_matrix", "encoding-version": "0.1.0", "shape": shape})
        for name, kind in (("data", np.float32), ("indices", np.int32), ("indptr", np.int64)):
            X.create_dataset(name, (0,), maxshape=(None,), chunks=(2**18,), dtype=kind)
        append(X["indptr"], np.zeros(1))
        for part in parts:
            append(X["indptr"], len(X["data"]) + part.indptr[1:])
            append(X["data"], part.data)
            append(X["indices"], part.indices)


def append(dataset: Any, values: np.ndarray) -> None:
    """Make a dataset longer."""
    dataset.resize((len(dataset) + len(values),))
    dataset[-len(values) :] = values


def open_cohort(path: Path) -> ad.AnnData:
    """The cohort with its cells left on disk."""
    if path.suffix == ".h5ad":
        return ad.read_h5ad(path, backed="r")
    import dask.array as da  # noqa: PLC0415 - only for this format
    import zarr  # noqa: PLC0415

    group = zarr.open_group(path, mode="r")
    obs, var = ad.io.read_elem(group["obs"]), ad.io.read_elem(group["var"])
    dense = isinstance(group["X"], zarr.Array)
    X = da.from_zarr(group["X"]) if dense else ad.experimental.read_elem_lazy(group["X"])
    return ad.AnnData(X, obs=obs, var=var)


def disk(config: dict[str, Any], gate: Gate) -> list[Row]:
    """The cohort on disk."""
    P, n, d = config["samples"], config["cells"], config["dimensions"]
    path, options = Path(config["path"]), arguments(config["learn"])
    phase = Phases(gate)
    with phase("write") as row:
        write_cohort(path, P, n, d, config["density"])
        what = "dimensions" if config["density"] is None else "sparse genes"
        row["note"] = f"{P} samples x {n} cells x {d} {what}, {path.suffix[1:]}"
    with phase("open"):
        adata = open_cohort(path)
    with phase("read and embed"):
        read_and_embed(adata, options.get("n_comps") or 5, **options)
    with phase("learn") as row:
        row["note"] = learn(adata, "sample_id", "label", n_jobs=config["threads"], **options)
    with phase("distances") as row:
        samples = sg.tl.distances(adata, n_jobs=config["threads"], progress=False, **arguments(config["distances"]))
        row["note"] = f"{samples.n_obs * (samples.n_obs - 1) // 2} pairs"
    return phase.rows


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("cohort", choices=["kidney_igan", "disk"])
    parser.add_argument("--samples", type=int, help="samples (default: all 634; 1000 on disk)")
    parser.add_argument("--cells", type=int, default=1000, help="cells per sample on disk (default 1000)")
    parser.add_argument("--dimensions", type=int, default=50, help="dimensions on disk (default 50)")
    parser.add_argument("--density", type=float, help="share of entries that are not 0, for sparse genes")
    parser.add_argument("--format", choices=["h5ad", "zarr"], default="h5ad", help="on disk (zarr is read with dask)")
    parser.add_argument("--folder", type=Path, help="where it is written for the time of the run (default: temporary)")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--learn", nargs="*", default=[], metavar="NAME=VALUE", help="arguments of sg.tl.ggml")
    parser.add_argument("--distances", nargs="*", default=[], metavar="NAME=VALUE", help="arguments of sg.tl.distances")
    add_csv_option(parser)
    options = parser.parse_args()

    heading(f"The whole job on {options.cohort}, {options.threads} threads: seconds and memory of this process")
    config = {name: getattr(options, name) for name in ("samples", "threads", "learn", "distances")}
    if DOWNLOADS.is_dir():
        os.environ.setdefault("SCGGML_DATA", str(DOWNLOADS))
    if options.cohort == "disk":
        config |= {"cells": options.cells, "dimensions": options.dimensions, "samples": options.samples or 1000}
        config |= {"density": options.density}
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        config["path"] = str(Path(folder) / f"cohort.{options.format}")
        rows = run(f"cohorts:{options.cohort}", config, threads=options.threads)
    job = [row for row in rows if row["phase"] not in ASIDE]
    total = {"phase": "the job", "seconds": sum(row["seconds"] for row in job), "before MB": rows[0]["before MB"]}
    total |= {"peak MB": max(row["peak MB"] for row in job)}
    total |= {"extra MB": total["peak MB"] - total["before MB"], "note": ", ".join(row["phase"] for row in job)}
    print_table([*rows, total])
    append_csv(options.csv, [*rows, total], options.cohort)


if __name__ == "__main__":
    main()
