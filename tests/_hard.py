"""Pairs of samples that are hard for a solver of optimal transport, and proofs that an answer is the optimum."""

from collections.abc import Callable, Sequence
from itertools import pairwise

import numpy as np
import ot
from scipy.spatial.distance import cdist

from scggml._core.cohort import Cohort, Floats, Integers

Generator = np.random.Generator


def _one_far(x: Floats) -> Floats:
    x[0] += 1e5
    return x


SHAPES: dict[str, Callable[[Generator, int, int], Floats]] = {
    "normal": lambda rng, n, d: rng.standard_normal((n, d)),
    "ties": lambda rng, n, d: rng.integers(0, 2, (n, d)).astype(np.float64),
    "grid": lambda rng, n, d: rng.integers(-5, 6, (n, d)).astype(np.float64),
    "collinear": lambda rng, n, d: np.outer(rng.standard_normal(n), np.arange(1, d + 1)),
    "duplicates": lambda rng, n, d: rng.standard_normal((n, d))[rng.integers(0, max(1, n // 3), n)],
    "far from the origin": lambda rng, n, d: 1e6 + rng.standard_normal((n, d)),
    "tiny": lambda rng, n, d: 1e-9 * rng.standard_normal((n, d)),
    "huge": lambda rng, n, d: 1e12 * rng.standard_normal((n, d)),
    "one far cell": lambda rng, n, d: _one_far(rng.standard_normal((n, d))),
    "far from each other": lambda rng, n, d: 1e-3 * rng.standard_normal((n, d)) + rng.integers(0, 3),
}


def _some(rng: Generator, n: int) -> Floats:
    w = rng.uniform(0.5, 1, n) * (rng.random(n) < 0.6)
    w[rng.integers(n)] = 1
    return w


WEIGHTS: dict[str, Callable[[Generator, int], Floats]] = {
    "uniform": lambda rng, n: np.ones(n),
    "from 1e-6 to 1": lambda rng, n: 10.0 ** rng.uniform(-6, 0, n),
    "some zero": _some,
    "few different": lambda rng, n: rng.integers(1, 4, n).astype(np.float64),
}


def cohort_of(clouds: Sequence[Floats], weights: Sequence[Floats] | None = None) -> Cohort:
    """Samples of one class from their cells (n, d) and weights (n,) of any sum."""
    sizes = [len(x) for x in clouds]
    raw = [np.ones(n) for n in sizes] if weights is None else weights
    return Cohort(
        points=np.concatenate(clouds).astype(np.float64),
        weights=np.concatenate([w / w.sum() for w in raw]),
        offsets=np.concatenate([[0], np.cumsum(sizes)]),
        labels=np.zeros(len(sizes), dtype=np.int64),
        names=np.array([f"s{p}" for p in range(len(sizes))]),
        classes=np.array(["all"]),
    )


def hard_cohort(shape: str, weights: str, sizes: Sequence[int], d: int, seed: int) -> Cohort:
    """Samples of one shape with one kind of weights."""
    rng = np.random.default_rng(seed)
    return cohort_of([SHAPES[shape](rng, n, d) for n in sizes], [WEIGHTS[weights](rng, n) for n in sizes])


def each(cohort: Cohort, pairs: Integers, points: Floats | None = None):
    """Weights (n,), (m,) and cells (n, d), (m, d) of each pair."""
    points = cohort.points if points is None else points
    rows = [slice(start, stop) for start, stop in pairwise(cohort.offsets)]
    for p, q in pairs:
        yield cohort.weights[rows[p]], cohort.weights[rows[q]], points[rows[p]], points[rows[q]]


def careful_cost(x: Floats, y: Floats, cost: str) -> Floats:
    """(n, m) ground cost. Where 1 - cos would cancel, cosine is half the squared distance of directions, in quadruple
    or extended precision."""
    if cost != "cosine":
        return cdist(x, y, cost)
    x, y = (z.astype(np.longdouble) for z in (x, y))
    directions = []
    for z in (x, y):
        lengths = np.sqrt((z**2).sum(axis=1, keepdims=True))
        none = lengths == 0
        directions.append(np.hstack([z / np.where(none, 1, lengths), none.astype(np.longdouble)]))
    return (((directions[0][:, None] - directions[1]) ** 2).sum(axis=2) / 2).astype(np.float64)


def pot_values(cohort: Cohort, pairs: Integers, cost: str, points: Floats | None = None) -> Floats:
    """Optimal transport cost of each pair by POT, its largest ground cost being 1."""
    out = []
    for a, b, x, y in each(cohort, pairs, points):
        C = careful_cost(x, y, cost)
        unit = C.max() or 1.0
        out.append(unit * ot.emd2(a, b, C / unit, numItermax=10**7, check_marginals=False))
    return np.array(out)


def lower_bound(a: np.ndarray, b: np.ndarray, C: np.ndarray, plan: np.ndarray):
    """A value that no coupling of `a` and `b` costs less than; the cost of `plan` itself if that is an optimum.

    Potentials by the method of Bellman and Ford: from source to sink at the cost, back along the plan. Whatever they
    are, potentials with v_j - u_i <= C_ij prove (weak duality) that b v - a u bounds the optimum from below. In whole
    numbers all of this is exact.
    """
    worst = C.max() * (len(a) + len(b) + 1)
    back = np.where(plan > 0, -C, worst)
    u = np.zeros(len(a), dtype=C.dtype)
    for _ in range(len(a) + len(b)):
        v = (u[:, None] + C).min(axis=0)
        better = np.minimum(u, (v + back).min(axis=1))
        if (better == u).all():
            break
        u = better
    v = (u[:, None] + C).min(axis=0)
    return (b * v).sum() - (a * u).sum()
