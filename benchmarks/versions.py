"""What do a user's calls cost in this version, beside an earlier one? Both run in turn, on the same data.

    python benchmarks/versions.py COMMIT
    python benchmarks/versions.py COMMIT --jobs genes-2000 classes-100 --repeats 3 --threads 2

The commit is checked out into a temporary folder. Each version has a process of its own for each job; they take turns.
Seconds are medians, of the processor (all threads) and of the clock. `theta` is the relative difference of W'W between
the versions, where the job learns a metric. A job that one version needs more than `--cap` seconds for is not repeated.
"""

import argparse
import contextlib
import os
import statistics
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from _report import Row, add_csv_option, append_csv, heading, print_table
from _worker import HERE, Gate, Worker, alternate

ROOT = HERE.parent
COHORTS = ROOT.parent / "shared" / "data"


def dense(n_samples: int, n_cells: int, d: int, n_classes: int = 2, seed: int = 0) -> Any:
    """AnnData of cells of eight types; classes differ in ten features."""
    rng = np.random.default_rng(seed)
    sample = np.repeat(np.arange(n_samples), n_cells)
    label = sample % n_classes
    X = rng.standard_normal((len(sample), d), dtype=np.float32)
    X += 2 * rng.standard_normal((8, d), dtype=np.float32)[rng.integers(8, size=len(sample))]
    X += 0.5 * rng.standard_normal((n_samples, d), dtype=np.float32)[sample]
    X[:, :10] += rng.standard_normal((n_classes, min(10, d)), dtype=np.float32)[label]
    return _adata(X, sample, label)


def sparse_genes(n_samples: int, n_cells: int, d: int) -> Any:
    """AnnData of sparse genes, most of them 0 in most cells."""
    from scipy import sparse  # noqa: PLC0415 - after the threads are fixed

    sample = np.repeat(np.arange(n_samples), n_cells)
    X = sparse.random(len(sample), d, density=0.05, format="csr", dtype=np.float32, random_state=0)
    return _adata(X, sample, sample * 2 // n_samples)


def _adata(X: Any, sample: np.ndarray, label: np.ndarray) -> Any:
    import pandas as pd  # noqa: PLC0415
    from anndata import AnnData  # noqa: PLC0415

    obs = pd.DataFrame({"sample_id": [f"s{s}" for s in sample], "label": [f"c{c}" for c in label]})
    obs.index = [f"cell{i}" for i in range(len(obs))]
    return AnnData(X, obs=obs)


def learn(adata: Any, threads: int, **options: Any) -> Any:
    """Learn with the default of `tl.ggml`; theta, as far as it is small enough to compare."""
    import scggml as sg  # noqa: PLC0415

    sg.tl.ggml(adata, "sample_id", "label", n_jobs=threads, progress=False, **options)
    W = np.asarray(adata.uns["ggml"]["components"])
    return W.tolist() if W.size <= 50_000 else None


def take_steps(adata: Any, threads: int, steps: int) -> Any:
    """Take gradient steps from one random start, on all samples."""
    import scggml as sg  # noqa: PLC0415

    k, d = min(5, adata.n_vars), adata.n_vars
    start = np.linalg.qr(np.random.default_rng(0).standard_normal((d, k)))[0].T
    options: dict[str, Any] = {"margin": 10.0, "reg": 0.001, "lr": 0.05, "max_iter": steps, "tol": 0.0}
    options |= {"init": start, "batch_size": None}
    if hasattr(sg.tl, "Triplets"):
        return learn(adata, threads, method=sg.tl.Triplets(**options), n_comps=k, shrinkage=0.0)
    return learn(adata, threads, n_comps=k, shrinkage=0.0, **options)


def permute(adata: Any, threads: int, n: int) -> None:
    """Permute the labels, in the process itself on one thread, else in processes."""
    import scggml as sg  # noqa: PLC0415

    sg.tl.permutation_test(adata, "sample_id", "label", use_rep="X", n_permutations=n, n_jobs=threads, progress=False)


def permute_components(adata: Any, threads: int, n: int) -> None:
    """Learn with a covariate, and test the components by permuted labels, on one thread in the process itself."""
    import scggml as sg  # noqa: PLC0415

    numbers = np.unique(adata.obs["sample_id"], return_inverse=True)[1]
    adata.obs["age"] = np.random.default_rng(0).normal(size=numbers.max() + 1)[numbers]
    learn(adata, threads, covariate_keys=["age"])
    sg.tl.component_test(adata, n_perm=n, n_jobs=threads, progress=False)


FIRST = """
import scggml as sg
adata = sg.datasets.synthetic(n_samples=4, n_cells=10)
sg.tl.ggml(adata, "sample_id", "label", progress=False)
sg.tl.distances(adata, progress=False)
"""


def begin(adata: Any, threads: int, new: int) -> None:
    """Begin Python, import, learn and compare for the first time; with `new` on a machine without compiled code."""
    with tempfile.TemporaryDirectory() as folder:
        cache = {"NUMBA_CACHE_DIR": folder} if new else {}
        subprocess.run([sys.executable, "-W", "ignore", "-c", FIRST], check=True, env=os.environ | cache)


def real(name: str) -> Any:
    """Return a real cohort."""
    import anndata as ad  # noqa: PLC0415

    return ad.read_h5ad(COHORTS / f"{name}.h5ad")


JOBS: dict[str, tuple[Callable[..., Any], Callable[..., Any], dict[str, Any]]] = {
    "tiny": (lambda: dense(8, 10, 5), learn, {}),
    **{f"genes-{d}": (lambda d=d: dense(60, 200, d), learn, {}) for d in (50, 500, 1000, 2000)},
    "wide-4000": (lambda: sparse_genes(12, 60, 4000), learn, {}),
    "wide-12000": (lambda: sparse_genes(16, 100, 12_000), learn, {}),
    **{f"classes-{c}": (lambda c=c: dense(2000, 10, 10, c), learn, {}) for c in (10, 100, 1000)},
    "steps-20x100": (lambda: dense(20, 100, 50), take_steps, {"steps": 30}),
    "steps-40x200": (lambda: dense(40, 200, 50), take_steps, {"steps": 30}),
    "steps-126x250": (lambda: dense(126, 250, 50), take_steps, {"steps": 10}),
    "first-call": (lambda: None, begin, {"new": 1}),
    "later-call": (lambda: None, begin, {"new": 0}),
    "components": (lambda: dense(30, 100, 30), permute_components, {"n": 100}),
    "permutations-hiv": (lambda: real("hiv_flowtype"), permute, {"n": 1000}),
}
"""Data, what is done with them, and with which options."""


def job(config: dict[str, Any], gate: Gate) -> dict[str, Any]:
    """Do a job some times, with a gate before each; seconds of the processor and of the clock, and the last result."""
    warnings.simplefilter("ignore")
    data, function, options = JOBS[config["job"]]
    function(dense(6, 12, 6), config["threads"], **dict.fromkeys(options, 2))  # compiled code is there
    adata = data()
    found: dict[str, Any] = {"processor": [], "clock": []}
    for _ in range(config["repeats"]):
        gate()
        began = processor_time(), time.perf_counter()
        found["result"] = function(adata if adata is None else adata.copy(), config["threads"], **options)
        found["processor"].append(processor_time() - began[0])
        found["clock"].append(time.perf_counter() - began[1])
        if found["clock"][-1] > config["cap"]:
            break
    return found


def processor_time() -> float:
    """Return the processor seconds of this process and of those that it has begun and that have ended."""
    return sum(os.times()[:4])


def compare(name: str, old: Path, threads: int, repeats: int, cap: float) -> Row:
    """Measure one job in both versions."""
    config = {"job": name, "threads": threads, "repeats": repeats, "cap": cap}
    with contextlib.ExitStack() as stack:
        versions = [
            stack.enter_context(contextlib.closing(Worker("versions:job", config, threads=threads, source=source)))
            for source in (old / "src", ROOT / "src")
        ]
        alternate(versions)
        before, now = (worker.result for worker in versions)
    row: Row = {"job": name, "threads": threads}
    for kind, unit in (("clock", "s"), ("processor", "cpu s")):
        medians = [statistics.median(found[kind]) for found in (before, now)]
        row |= {f"before {unit}": medians[0], f"now {unit}": medians[1], f"x {unit}": medians[0] / medians[1]}
    known = before["result"] is not None and now["result"] is not None
    row["theta"] = difference(before["result"], now["result"]) if known else None
    return row


def difference(one: Any, other: Any) -> float:
    """Relative difference of W'W of two metrics (k, d), without a matrix of size d x d."""
    A, B = np.asarray(one), np.asarray(other)
    both = np.linalg.norm(A @ A.T) ** 2 + np.linalg.norm(B @ B.T) ** 2 - 2 * np.linalg.norm(A @ B.T) ** 2
    return float(np.sqrt(max(both, 0.0)) / np.linalg.norm(A @ A.T))


def main() -> None:
    """Compare and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("commit", help="of the earlier version")
    parser.add_argument("--jobs", nargs="+", choices=JOBS, default=[name for name in JOBS if name != "tiny"])
    parser.add_argument("--threads", nargs="+", type=int, default=[2])
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--cap", type=float, default=60.0, help="seconds after which a run is not repeated")
    add_csv_option(parser)
    options = parser.parse_args()

    heading(f"This version beside {options.commit}")
    with tempfile.TemporaryDirectory() as folder:
        old = Path(folder) / "old"
        git = ["git", "-C", str(ROOT), "worktree"]
        subprocess.run([*git, "add", "--quiet", "--detach", str(old), options.commit], check=True)
        try:
            rows = []
            for name in options.jobs:
                for threads in options.threads:
                    rows.append(compare(name, old, threads, options.repeats, options.cap))
                    print_table(rows[-1:])
        finally:
            subprocess.run([*git, "remove", "--force", str(old)], check=True)
    print_table(rows, "medians; x is before over now")
    append_csv(options.csv, rows, "versions")


if __name__ == "__main__":
    main()
