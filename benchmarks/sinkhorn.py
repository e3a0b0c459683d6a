"""Entropic solvers at equal error: ours, POT's and geomloss', one thread, all pairs of a few samples in turn.

Each pair is solved at the same epsilon until its rows and columns miss their weights by at most `--tol` of the mass
(geomloss stops by its own schedule, so its error is printed and is not the same). Costs are part of every candidate.
`plan` is how far the value that a user gets is above the exact optimum: that of a rounded plan with ours, of the plan
as it is with POT.

`--rate FIGURE.png` asks instead how our value falls towards the exact one with epsilon, and draws it.
"""

import argparse
import statistics
import time
import warnings
from collections.abc import Callable, Sequence
from itertools import pairwise
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import ot
import torch
from _data import mixtures, start
from _report import Row, add_csv_option, append_csv, exponent, heading, print_table
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

HALVED = [0.32 / 2**i for i in range(8)]
SMALL = 0.04
"""Epsilon up to which an exponent is fitted: above, the plan is more that of the weights than that of the costs."""


def solved(n: int, options: argparse.Namespace) -> tuple[Cohort, np.ndarray, float, np.ndarray]:
    """Samples of n cells, all of their pairs, the typical cost, and the exact values."""
    W = start(options.k, options.d)
    clouds = [(cloud @ W.T).astype(np.float64) for cloud in mixtures(options.samples, n, options.d, options.seed)]
    cohort = from_clouds(clouds)
    pairs = all_pairs(cohort.n_samples)
    unit = typical_cost(cohort, cohort.points, pairs, "euclidean")
    return cohort, pairs, unit, solve_distances(cohort, cohort.points, pairs, "euclidean", solver=Exact(), n_jobs=1)


def measure(n: int, epsilon: float, options: argparse.Namespace) -> list[Row]:
    """Milliseconds per pair of each candidate, in turn; ratios to ours are medians over the rounds."""
    cohort, pairs, unit, exact = solved(n, options)
    reg = epsilon * unit
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


def falls_of(n: int, options: argparse.Namespace) -> list[Row]:
    """How far our value is above the exact one at each epsilon: mean, smallest and largest of the pairs."""
    cohort, pairs, unit, exact = solved(n, options)
    rows: list[Row] = []
    for epsilon in sorted(options.epsilons, reverse=True):
        values, error = ours(cohort, pairs, epsilon * unit, options.tol)
        excess = values / exact - 1
        rows.append({"n": n, "epsilon": epsilon, "excess": float(excess.mean())})
        rows[-1] |= {"least": float(excess.min()), "most": float(excess.max()), "error": error}
    return rows


def slopes(rows: Sequence[Row]) -> list[Row]:
    """The exponent b of excess = a epsilon^b for each size, over the epsilons up to `SMALL`."""
    found: list[Row] = []
    for n in dict.fromkeys(row["n"] for row in rows):
        small = [row for row in rows if row["n"] == n and row["epsilon"] <= SMALL]
        b = exponent([row["epsilon"] for row in small], [row["excess"] for row in small])
        found.append({"n": n, "slope": b, "epsilons": len(small)})
    return found


def draw_rate(rows: Sequence[Row], fitted: Sequence[Row], path: Path) -> None:
    """Draw excess over epsilon on two logarithmic axes, with the fitted lines."""
    figure, ax = plt.subplots(figsize=(5.2, 3.8), layout="constrained")
    for i, line in enumerate(fitted):
        own = [row for row in rows if row["n"] == line["n"]]
        x, y = (np.array([row[key] for row in own]) for key in ("epsilon", "excess"))
        label = f"{line['n']} cells: slope {line['slope']:.2f}"
        spread = np.abs(np.array([[row[key] for row in own] for key in ("least", "most")]) - y)
        ax.errorbar(x, y, spread, color=f"C{i}", marker="o", ms=4, lw=0, elinewidth=1, label=label)
        small = x[x <= SMALL]
        middle = np.exp(np.log(y[x <= SMALL]).mean() - line["slope"] * np.log(small).mean())
        ax.plot(small, middle * small ** line["slope"], color=f"C{i}", lw=1)
    ax.set(xscale="log", yscale="log", xlabel="epsilon, in typical costs", ylabel="value / exact value - 1")
    ax.legend(frameon=False)
    ax.spines[["top", "right"]].set_visible(False)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=150)
    plt.close(figure)


def measure_rate(options: argparse.Namespace) -> None:
    """Measure, print and draw how our value falls."""
    heading("The rounded value towards the exact one: mean, least and most over all pairs of the samples")
    with threadpool_limits(1):
        rows = [row for n in options.sizes for row in falls_of(n, options)]
    fitted = slopes(rows)
    print_table(rows)
    print_table(fitted, f"exponent of epsilon, up to {SMALL:g}")
    draw_rate(rows, fitted, options.rate)
    append_csv(options.csv, rows, "sinkhorn falls")
    append_csv(options.csv, fitted, "sinkhorn slopes")


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", nargs="+", type=int, default=[50, 250], help="cells per sample")
    parser.add_argument(
        "--epsilons",
        nargs="+",
        type=float,
        help="in typical costs (default 0.1 0.02; with --rate 0.32 halved 7 times)",
    )
    parser.add_argument("--tol", type=float, help="error of the marginals (default 1e-3; with --rate 1e-5)")
    parser.add_argument("--rate", type=Path, metavar="FIGURE.png", help="measure how our value falls, and draw it")
    parser.add_argument("--samples", type=int, default=6, help="samples, all of whose pairs are solved (default 6)")
    parser.add_argument("--rounds", type=int, default=5, help="medians over these (default 5)")
    parser.add_argument("-d", type=int, default=50, help="dimensions before projection (default 50)")
    parser.add_argument("-k", type=int, default=5, help="dimensions after it (default 5)")
    parser.add_argument("--seed", type=int, default=0)
    add_csv_option(parser)
    options = parser.parse_args()
    torch.set_num_threads(1)
    options.tol = options.tol or (1e-5 if options.rate else 1e-3)
    options.epsilons = options.epsilons or (HALVED if options.rate else [0.1, 0.02])
    if options.rate:
        measure_rate(options)
        return
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
