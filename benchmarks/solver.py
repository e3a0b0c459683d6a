"""Exact solvers of one pair of samples: cold, and again after the metric has moved a little.

Uniform weights, n cells against n, projected to k dimensions, Euclidean cost (or its square). Every candidate gets the
projected cells, so filling the cost matrix is part of its time; what that takes alone is the first row.
"""

import argparse
import statistics
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import ot
from _data import mixtures, start
from _report import Row, add_csv_option, append_csv, exponent, heading, print_table
from _worker import Gate, run
from scipy.optimize import linear_sum_assignment
from scipy.spatial.distance import cdist

from scggml._core.cohort import from_clouds
from scggml._core.transport.exact import Exact
from scggml._core.transport.plans import GroundCost, Transport

MOVES = (0.01, 0.1)
"""How far W moves, as a share of its norm."""

LIMIT = 10_000_000
"""Pivots that POT may take: its own limit stops before the optimum from some 3000 cells on."""

TOLERANCE = 1e-4
"""Relative difference of the values beyond which a candidate has failed (single precision stays far below)."""

Solve = Callable[[np.ndarray, np.ndarray], float]


def uniform(n: int) -> np.ndarray:
    """(n,) equal weights."""
    return np.full(n, 1 / n)


def cost_alone(cost: GroundCost) -> Solve:
    """No solver: the cost matrix, whose time all others contain."""
    return lambda x, y: float(cdist(x, y, cost)[0, 0])


def pot_emd2(cost: GroundCost) -> Solve:
    """POT's value."""
    return lambda x, y: float(ot.emd2(uniform(len(x)), uniform(len(y)), cdist(x, y, cost), numItermax=LIMIT))


def pot_emd(cost: GroundCost) -> Solve:
    """POT's plan."""

    def solve(x: np.ndarray, y: np.ndarray) -> float:
        M = cdist(x, y, cost)
        return float((ot.emd(uniform(len(x)), uniform(len(y)), M, numItermax=LIMIT) * M).sum())

    return solve


def pot_warm(cost: GroundCost) -> Solve:
    """POT's value, started from the potentials of the last call."""
    potentials = None

    def solve(x: np.ndarray, y: np.ndarray) -> float:
        nonlocal potentials
        a, b, M = uniform(len(x)), uniform(len(y)), cdist(x, y, cost)
        value, log = ot.emd2(a, b, M, numItermax=LIMIT, log=True, potentials_init=potentials)
        potentials = log["u"], log["v"]
        return float(value)

    return solve


def scipy_assignment(cost: GroundCost) -> Solve:
    """The best permutation."""

    def solve(x: np.ndarray, y: np.ndarray) -> float:
        M = cdist(x, y, cost)
        return float(M[linear_sum_assignment(M)].mean())

    return solve


def own(cost: GroundCost) -> Solve:
    """scggml's default solver, from the basis of the last call; the cost matrix is its own."""
    transport: Transport | None = None

    def solve(x: np.ndarray, y: np.ndarray) -> float:
        nonlocal transport
        if transport is None:
            transport = Exact().transport(from_clouds([x, y]), n_jobs=1)
        return float(transport.solve(np.concatenate([x, y]), np.array([[0, 1]]), cost)[0])

    return solve


# A candidate makes a function that solves one pair again and again. What it keeps from one call to the next is its
# warm start; without any, the second call costs what the first one did.
CANDIDATES: dict[str, Callable[[GroundCost], Solve]] = {
    "cost matrix alone": cost_alone,
    "POT emd2": pot_emd2,
    "POT emd": pot_emd,
    "POT emd2, potentials": pot_warm,
    "scipy assignment": scipy_assignment,
    "scggml Exact": own,
}
ALONE, ORACLE = "cost matrix alone", "POT emd2"


def moved(W: np.ndarray, share: float, rng: np.random.Generator) -> np.ndarray:
    """W after a random move by that share of its norm."""
    step = rng.standard_normal(W.shape)
    return W + share * np.linalg.norm(W) / np.linalg.norm(step) * step


def timed(solve: Solve, x: np.ndarray, y: np.ndarray) -> tuple[float, float]:
    """Seconds and value."""
    began = time.perf_counter()
    value = solve(x, y)
    return time.perf_counter() - began, value


def measure(config: dict[str, Any], gate: Gate) -> dict[str, Any]:
    """Seconds of every candidate, pair by pair in turn: cold and after each move; largest difference of its values."""
    n, d, k, cost = config["n"], config["d"], config["k"], config["cost"]
    names, rng = config["candidates"], np.random.default_rng(config["seed"])
    W = start(k, d)
    for name in names:  # what happens once in a process: imports, compiled code
        CANDIDATES[name](cost)(np.eye(4, k), np.ones((4, k)))
    seconds: dict[str, dict[str, list[float]]] = {name: {} for name in names}
    difference = dict.fromkeys(names, 0.0)
    gate()
    clouds = mixtures(2 * config["pairs"], n, d, config["seed"])
    for x, y in zip(clouds, clouds, strict=True):
        for share in MOVES:
            W_moved = moved(W, share, rng)
            points = [(x @ V.T, y @ V.T) for V in (W, W_moved)]
            truth = [CANDIDATES[ORACLE](cost)(*pair) for pair in points]
            for name in names:
                solve = CANDIDATES[name](cost)
                for label, pair, true in zip(("cold", f"W {share:.0%}"), points, truth, strict=True):
                    took, value = timed(solve, *pair)
                    seconds[name].setdefault(label, []).append(took)
                    if name != ALONE:
                        difference[name] = max(difference[name], abs(value - true) / true)
    medians = {name: {label: statistics.median(s) for label, s in found.items()} for name, found in seconds.items()}
    return {"seconds": medians, "difference": difference}


def table(n: int, found: dict[str, Any]) -> list[Row]:
    """Milliseconds of each candidate, and how many times faster it is than POT's value from a cold start."""
    base = found["seconds"][ORACLE]["cold"] if ORACLE in found["seconds"] else None
    rows = []
    for name, seconds in found["seconds"].items():
        row: Row = {"solver": name, "n": n} | {f"{label} ms": 1e3 * s for label, s in seconds.items()}
        solver = name != ALONE and base is not None
        row |= {f"x {label}": base / s if solver else None for label, s in seconds.items()}
        rows.append(row | {"diff": None if name == ALONE else found["difference"][name]})
    return rows


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", nargs="+", type=int, default=[100, 200, 500, 1000, 2000], help="cells per sample")
    parser.add_argument("--pairs", type=int, default=5, help="pairs of samples; medians over them (default 5)")
    parser.add_argument("-d", type=int, default=50, help="dimensions before projection (default 50)")
    parser.add_argument("-k", type=int, default=5, help="dimensions after it (default 5)")
    parser.add_argument("--squared", action="store_true", help="squared cost")
    parser.add_argument("--candidates", nargs="+", choices=CANDIDATES, default=list(CANDIDATES))
    parser.add_argument("--cap", type=float, default=30.0, help="leave out who would need more s per pair (default 30)")
    parser.add_argument("--seed", type=int, default=0)
    add_csv_option(parser)
    options = parser.parse_args()

    heading("Exact solvers, one thread: milliseconds per pair (medians), times faster than POT emd2 from a cold start")
    config = {"d": options.d, "k": options.k, "pairs": options.pairs, "seed": options.seed}
    config["cost"] = "sqeuclidean" if options.squared else "euclidean"
    names, rows, last = options.candidates, list[Row](), 0
    for n in sorted(options.sizes):
        if last:  # exact solvers grow with about n^2.5
            slow = {
                row["solver"] for row in rows if row["n"] == last and row["cold ms"] > slow_at(options.cap, last, n)
            }
            names = [name for name in names if name not in slow]
        found = table(n, run("solver:measure", config | {"n": n, "candidates": names}, threads=1))
        print_table(found)
        rows += found
        last = n
    growth = []
    for name in options.candidates:
        own_rows = [row for row in rows if row["solver"] == name]
        if len(own_rows) > 1:
            labels = [key.removesuffix(" ms") for key in own_rows[0] if key.endswith(" ms")]
            sizes = [row["n"] for row in own_rows]
            slopes = {label: exponent(sizes, [row[f"{label} ms"] for row in own_rows]) for label in labels}
            growth.append({"solver": name, "sizes": len(sizes)} | slopes)
    print_table(growth, "growth: exponent of n")
    append_csv(options.csv, rows, "solver")
    append_csv(options.csv, growth, "solver growth")
    wrong = [row for row in rows if row["diff"] is not None and row["diff"] > TOLERANCE]
    if wrong:
        sys.exit("Not the optimum: " + ", ".join(f"{row['solver']} at n={row['n']}" for row in wrong))


def slow_at(cap: float, last: int, n: int) -> float:
    """Milliseconds at size `last` that foretell more than `cap` seconds at size n."""
    return 1e3 * cap * (last / n) ** 2.5


if __name__ == "__main__":
    main()
