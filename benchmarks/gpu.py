"""One job for a machine with a GPU, of less than 8 minutes: warm steps, memory and error of Sinkhorn.

Where torch finds no GPU it runs small on the CPU, which shows that it works, and says which lines were not seen. The
reference, ggml-ot, is measured beside it where it is installed in this environment.
"""

import argparse
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from _data import mixtures, start
from _report import Row, add_csv_option, append_csv, heading, print_table
from solver import moved

import scggml as sg
from scggml._core.cohort import Cohort, from_clouds
from scggml._core.transport.exact import Exact
from scggml._core.transport.pairs import all_pairs
from scggml._core.transport.sinkhorn import Sinkhorn
from scggml._core.transport.solver import Solver

try:
    import ggml_ot
except ImportError:
    ggml_ot = None

STEP = 0.01
"""How far W moves from step to step, as a share of its norm."""


class Steps:
    """Values and gradients of all pairs under a metric that moves, as learning takes them."""

    def __init__(self, cohort: Cohort, k: int, solver: Solver, n_jobs: int | None) -> None:
        self.cohort, self.pairs = cohort, all_pairs(cohort.n_samples)
        self.W, self.rng = start(k, cohort.n_features), np.random.default_rng(0)
        self.transport = solver.transport(cohort, n_jobs=n_jobs)
        self.slopes = np.ones(len(self.pairs))
        self.values = np.empty(0)

    def __call__(self) -> None:
        """Take one step."""
        points = self.cohort.points @ self.W.T
        self.values = self.transport.solve(points, self.pairs, "euclidean")
        self.transport.gradient(self.slopes)
        self.W = moved(self.W, STEP, self.rng)


def seconds(function: Callable[[], Any]) -> float:
    """Time of a call, with all that the GPU has to do for it."""
    began = time.perf_counter()
    function()
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter() - began


def extra_memory(function: Callable[[], Any]) -> float | None:
    """Peak memory of the GPU during a call beyond what was in use, MB; None without one."""
    if not torch.cuda.is_available():
        function()
        return None
    torch.cuda.reset_peak_memory_stats()
    before = torch.cuda.memory_allocated()
    function()
    return (torch.cuda.max_memory_allocated() - before) / 2**20


def cohort_of(n_samples: int, n_cells: int, d: int) -> Cohort:
    """A cohort of two classes."""
    return from_clouds(list(mixtures(n_samples, n_cells, d)), np.arange(n_samples) % 2)


def step_rows(cohort: Cohort, k: int, epsilons: list[float], steps: int) -> list[Row]:
    """Seconds of a first and of warm steps of `Exact` on all cores and of `Sinkhorn`, and how far values are above."""
    solvers: dict[str, Solver] = {"Exact, all cores": Exact()}
    solvers |= {f"Sinkhorn({epsilon:g})": Sinkhorn(epsilon=epsilon) for epsilon in epsilons}
    rows: list[Row] = []
    truth = np.empty(0)
    for name, solver in solvers.items():
        Steps(cohort_of(2, 8, k), k, solver, None)()  # compiles
        step = Steps(cohort, k, solver, None)
        cold = seconds(step)
        warm = [seconds(step) for _ in range(steps - 1)]
        memory = extra_memory(step)
        truth = step.values if isinstance(solver, Exact) else truth  # all have moved by the same steps
        above = step.values / truth - 1
        rows.append(
            {"solver": name, "samples": cohort.n_samples, "cells": int(cohort.sizes[0]), "cold s": cold}
            | {"warm s": float(np.median(warm)), "GPU MB": memory, "above exact": float(np.median(above))}
            | {"most": float(above.max()), "least": float(above.min())}
        )
    return rows


def theta_row(cohort: Cohort, epsilon: float) -> Row:
    """How far canonical variates on entropic plans are from those on exact ones, as a share of theta = W'W."""
    clouds = [cohort.points[a:b] for a, b in zip(cohort.offsets[:-1], cohort.offsets[1:], strict=True)]
    method = sg.tl.Canonical(ridge=0.05, ridge_scale="mean")
    theta = []
    for solver in (Exact(), Sinkhorn(epsilon=epsilon)):
        learner = sg.tl.Learner(method=method, n_comps=3, shrinkage=0.2, solver=solver)
        W = learner.fit(clouds, cohort.labels.astype(str)).components
        theta.append(W.T @ W / np.linalg.norm(W.T @ W))
    difference = float(np.linalg.norm(theta[1] - theta[0]))
    return {"epsilon": epsilon, "samples": cohort.n_samples, "theta differs by": difference}


def reference_row(n_samples: int, n_cells: int, d: int, k: int, steps: int) -> Row:
    """Seconds of a step of the reference's Sinkhorn on the same cells, and its memory: the first step is left out."""
    ggml_ot.settings.device = "cuda"
    clouds = list(mixtures(n_samples, n_cells, d))
    dataset = ggml_ot.from_numpy(clouds, (np.arange(n_samples) % 2).tolist())

    def run(n: int) -> float:
        return seconds(lambda: ggml_ot.train_sinkhorn(dataset, n_comps=k, max_iter=n, plot_iter=0))

    run(1)
    few = run(2)
    memory = extra_memory(lambda: run(2))
    return {"solver": "ggml-ot", "warm s": (run(2 + steps) - few) / steps, "GPU MB": memory}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=5, help="steps of each solver (default 5)")
    add_csv_option(parser)
    options = parser.parse_args()
    gpu = torch.cuda.is_available()
    heading(f"Sinkhorn on {torch.cuda.get_device_name() if gpu else 'the CPU: no GPU was found, so this is small'}")
    k, d = (5, 50) if gpu else (3, 6)
    base, large, small = ((126, 250), (126, 1000), (40, 250)) if gpu else ((6, 20), (4, 40), (6, 20))
    rows = step_rows(cohort_of(*base, d), k, [0.02, 0.005], options.steps)
    rows += step_rows(cohort_of(*large, d), k, [0.02], 3)
    print_table(rows, "a step: all distances and their gradient")
    thetas = [theta_row(cohort_of(*small, d), epsilon) for epsilon in (0.02, 0.005)]
    print_table(thetas, "canonical variates beside those of exact plans")
    peers = [reference_row(*base, d, k, options.steps)] if gpu and ggml_ot is not None else []
    if peers:
        print_table(peers, "the reference on the same cells")
    unseen = [] if gpu else ["times and memory of a GPU", "the fused kernel", "n = 1000 beside Exact on all cores"]
    unseen += [] if peers else ["the reference on a GPU"]
    if unseen:
        print("Not seen here: " + "; ".join(unseen) + ".")
    for table, found in (("gpu steps", rows), ("gpu theta", thetas), ("gpu reference", peers)):
        append_csv(options.csv, found, table)


if __name__ == "__main__":
    main()
