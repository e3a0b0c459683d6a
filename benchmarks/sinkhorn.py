"""Entropic solvers at equal error: ours, POT's and geomloss', one thread, all pairs of a few samples in turn.

Each pair is solved at the same epsilon until its rows and columns miss their weights by at most `--tol` of the mass
(geomloss stops by its own schedule, so its error is printed and is not the same). Costs are part of every candidate.
`plan` is how far the value that a user gets is above the exact optimum: that of a rounded plan with ours, of the plan
as it is with POT.
"""

import argparse
import statistics
import time
import warnings
from collections.abc import Callable, Sequence
from itertools import pairwise

import numpy as np
import ot
import torch
from _data import mixtures, start
from _report import Row, add_csv_option, append_csv, heading, print_table
from scipy.spatial.distance import cdist
from threadpoolctl import threadpool_limits

from scggml._core.cohort import Cohort, from_clouds
from scggml._core.transport.exact import Exact
from scggml._core.transport.pairs import all_pairs, solve_distances
from scggml._core.transport.sinkhorn import Sinkhorn
from scggml._core.transport.typical import typical_cost

try:
    from geomloss import SamplesLoss
except ImportError:
    SamplesLoss = None

Found = tuple[np.ndarray, float]
"""Values of the pairs, and the largest error of a marginal."""

Candidate = Callable[[Cohort, np.ndarray, float, float], Found]


def ours(cohort: Cohort, pairs: np.ndarray, reg: float, tol: float) -> Found:
    """scggml's solver, all pairs in one call."""
    solver = Sinkhorn(epsilon=reg, unit=1.0, tol=tol, device="cpu", max_iter=100_000)
    transport = solver.transport(cohort, n_jobs=1)
    values = transport.solve(cohort.points, pairs, "euclidean")
    return values, float(transport.errors.max())


def pot(method: str) -> Candidate:
    """POT's solver of that name, pair by pair."""

    def solve(cohort: Cohort, pairs: np.ndarray, reg: float, tol: float) -> Found:
        values, errors = [], []
        for p, q in pairs:
            x, y = (cohort.points[cohort.offsets[s] : cohort.offsets[s + 1]] for s in (p, q))
            a, b, C = np.full(len(x), 1 / len(x)), np.full(len(y), 1 / len(y)), cdist(x, y)
            # its threshold is a Euclidean norm, which is smaller than the sum of differences by the root of n
            stop = tol / np.sqrt(len(x))
            T = ot.sinkhorn(a, b, C, reg, method=method, stopThr=stop, numItermax=100_000)
            values.append(float((T * C).sum()))
            errors.append(float(max(np.abs(T.sum(1) - a).sum(), np.abs(T.sum(0) - b).sum())))
        return np.array(values), max(errors)

    return solve


def geomloss(cohort: Cohort, pairs: np.ndarray, reg: float, tol: float) -> Found:
    """Solve with geomloss' annealed loops; potentials, of which the plan and its error follow."""
    loss = SamplesLoss("sinkhorn", p=1, blur=reg, scaling=0.9, debias=False, potentials=True, backend="tensorized")
    values, errors = [], []
    for p, q in pairs:
        x, y = (torch.tensor(cohort.points[cohort.offsets[s] : cohort.offsets[s + 1]]) for s in (p, q))
        f, g = loss(x, y)
        C = torch.cdist(x, y)
        T = ((f.view(-1, 1) + g.view(1, -1) - C) / reg).exp() / (len(x) * len(y))
        values.append(float((T * C).sum()))
        errors.append(float(max((T.sum(1) - 1 / len(x)).abs().sum(), (T.sum(0) - 1 / len(y)).abs().sum())))
    return np.array(values), max(errors)


CANDIDATES: dict[str, Candidate] = {
    "scggml Sinkhorn": ours,
    "POT sinkhorn": pot("sinkhorn"),
    "POT sinkhorn_log": pot("sinkhorn_log"),
    "POT sinkhorn_stabilized": pot("sinkhorn_stabilized"),
} | ({} if SamplesLoss is None else {"geomloss": geomloss})
OURS = "scggml Sinkhorn"


def measure(n: int, epsilon: float, options: argparse.Namespace) -> list[Row]:
    """Milliseconds per pair of each candidate, in turn; ratios to ours are medians over the rounds."""
    W = start(options.k, options.d)
    clouds = [(cloud @ W.T).astype(np.float64) for cloud in mixtures(options.samples, n, options.d, options.seed)]
    cohort = from_clouds(clouds)
    pairs = all_pairs(cohort.n_samples)
    reg = epsilon * typical_cost(cohort, cohort.points, pairs, "euclidean")
    exact = solve_distances(cohort, cohort.points, pairs, "euclidean", solver=Exact(), n_jobs=1)
    seconds: dict[str, list[float]] = {name: [] for name in CANDIDATES}
    found: dict[str, Found] = {}
    for _ in range(options.rounds + 1):  # the first warms up
        for name, solve in CANDIDATES.items():
            began = time.perf_counter()
            found[name] = solve(cohort, pairs, reg, options.tol)
            seconds[name].append(time.perf_counter() - began)
    rows: list[Row] = []
    for name, took in seconds.items():
        values, error = found[name]
        ratio = statistics.median(one / other for one, other in zip(took[1:], seconds[OURS][1:], strict=True))
        rows.append(
            {"solver": name, "n": n, "epsilon": epsilon, "ms per pair": 1e3 * statistics.median(took[1:]) / len(pairs)}
            | {"x ours": ratio, "error": error, "plan": float((values / exact - 1).max())}
        )
    return rows


def rate(rows: Sequence[Row]) -> list[Row]:
    """How fast our value falls to the exact one with epsilon."""
    mine = sorted((row for row in rows if row["solver"] == OURS), key=lambda row: (row["n"], -row["epsilon"]))
    return [
        {"n": after["n"], "epsilon": after["epsilon"], "excess": after["plan"]}
        | {"exponent": float(np.log(before["plan"] / after["plan"]) / np.log(before["epsilon"] / after["epsilon"]))}
        for before, after in pairwise(mine)
        if before["n"] == after["n"]
    ]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", nargs="+", type=int, default=[50, 250], help="cells per sample")
    parser.add_argument("--epsilons", nargs="+", type=float, default=[0.1, 0.02], help="in typical costs")
    parser.add_argument("--tol", type=float, default=1e-3, help="error of the marginals (default 1e-3)")
    parser.add_argument("--samples", type=int, default=6, help="samples, all of whose pairs are solved (default 6)")
    parser.add_argument("--rounds", type=int, default=5, help="medians over these (default 5)")
    parser.add_argument("-d", type=int, default=50, help="dimensions before projection (default 50)")
    parser.add_argument("-k", type=int, default=5, help="dimensions after it (default 5)")
    parser.add_argument("--seed", type=int, default=0)
    add_csv_option(parser)
    options = parser.parse_args()
    torch.set_num_threads(1)
    heading("Entropic solvers, one thread, at equal error of the marginals (medians; x ours: their time over ours)")
    with warnings.catch_warnings(), threadpool_limits(1):
        warnings.simplefilter("ignore")  # POT warns of kernels that underflow
        rows = [row for n in options.sizes for epsilon in options.epsilons for row in measure(n, epsilon, options)]
    print_table(rows)
    falls = rate(rows)
    print_table(falls, "our value towards the exact one")
    append_csv(options.csv, rows, "sinkhorn")
    append_csv(options.csv, falls, "sinkhorn rate")


if __name__ == "__main__":
    main()
