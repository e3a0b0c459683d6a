"""Measure how much of a metric hangs on single donors, and which donors are unlike the others."""

from dataclasses import dataclass

import numpy as np
from scipy.stats import spearmanr
from scipy.stats import t as student

from scggml._core.cohort import Cohort, Floats, Integers
from scggml._core.explain.patterns import strengths
from scggml._core.explain.refit import Refit
from scggml._core.explain.significance import align
from scggml._core.learn.covariates import adjust, estimate
from scggml._core.learn.pair_weights import some_pairs
from scggml._core.samples import Target
from scggml._core.transport.pairs import between_pairs, solve_distances
from scggml._core.transport.products import project

N_NEAREST = 10
"""Cells of other donors that a cell is compared with."""

MOST_POINTS, MOST_OF_SAMPLE = 10_000, 100
"""Cells that are compared in all, and of a sample."""

WHOLE = 4096
"""Cells whose products with each other are held as a whole (128 MB)."""

MOST_PAIRS = 2_000
"""Pairs of samples whose distances say how far classes are apart."""

FEWEST = 6
"""Donors among which one can stand out; also the fewest samples of a class that is centered on its own."""


@dataclass(frozen=True)
class Without:
    """The metric without a donor.

    Parameters
    ----------
    similarity
        Cosine of :math:`W^T W` with that of all donors.
    separation
        How far apart labels are among the other donors.
    fit
        How much nearer the samples of the donor are to those of their own label.
    strengths
        (n_genes,) how much genes change.
    """

    similarity: float
    separation: float
    fit: float
    strengths: Floats


def without(refit: Refit, left_out: Integers, seed: int) -> Without:
    """Learn a metric without some samples, under the setting that was decided, and look at these with it."""
    samples, target, rng = refit.samples, refit.target, np.random.default_rng(seed)
    P = samples.n_samples
    rest = np.setdiff1d(np.arange(P), left_out)
    W = refit.settled.learn(samples.take(rest), target.take(rest), rng=rng).components
    counts = np.ones(P, dtype=np.int64)
    counts[left_out] = 0
    patterns, _, importance = refit.patterns(align(W, refit.components), target, counts)
    pairs, held = rest[some_pairs(target.take(rest).codes, MOST_PAIRS, rng)], between_pairs(left_out, rest)
    D = _distances(refit, W, np.concatenate([pairs, held]))
    return Without(
        similarity(W, refit.components),
        separation(D[: len(pairs)], pairs, target),
        separation(D[len(pairs) :], held, target),
        strengths(patterns, importance),
    )


def of_all(refit: Refit, seed: int) -> tuple[float, Floats]:
    """Return how far apart labels are under the metric of all donors, and the strengths of the genes (n_genes,)."""
    W = refit.components
    patterns, _, importance = refit.patterns(W, refit.target)
    pairs = some_pairs(refit.target.codes, MOST_PAIRS, np.random.default_rng(seed))
    return separation(_distances(refit, W, pairs), pairs, refit.target), strengths(patterns, importance)


def _distances(refit: Refit, W: Floats, pairs: Integers) -> Floats:
    """Return the distances of pairs of samples under a metric, without effects of covariates."""
    samples = refit.samples
    if samples.covariates is not None:
        samples = adjust(samples, estimate(samples, refit.target))
    Z = project(samples.cohort.points, W)
    return solve_distances(samples.cohort, Z, pairs, refit.learner.cost, solver=refit.learner.engine, n_jobs=1)


def similarity(W: Floats, other: Floats) -> float:
    """Return the cosine of two metrics :math:`W^T W`, 1 for the same up to scale."""
    # ||W1 W2^T||^2 is the inner product of the two
    product = float((W @ other.T).ravel() @ (W @ other.T).ravel())
    norms = np.linalg.norm(W @ W.T) * np.linalg.norm(other @ other.T)
    return product / float(norms) if norms > 0 else 0.0


def separation(distances: Floats, pairs: Integers, target: Target) -> float:
    """Return (mean between - mean within) / (their sum) of distances, from -1 to 1; of numbers a rank correlation."""
    steps = np.abs(target.values[pairs[:, 0]] - target.values[pairs[:, 1]])
    if target.kind == "numbers":
        return float(spearmanr(distances, steps).statistic) if np.ptp(distances) * np.ptp(steps) > 0 else 0.0
    alike = steps == 0
    if alike.all() or not alike.any():
        return float("nan")
    within, between = distances[alike].mean(), distances[~alike].mean()
    total = within + between
    return float((between - within) / total) if total > 0 else 0.0


def strangeness(cohort: Cohort, groups: Integers, rng: np.random.Generator, *, most: int = MOST_POINTS) -> Floats:
    r"""Return (P,) how far the cells of a sample are from those of other donors, whatever its composition.

    With :math:`d_c` the mean distance of cell c to the 10 nearest cells of other donors, it is the mean over cells of
    :math:`\log d_c` less the mean of :math:`\log d` of these neighbors (a local outlier factor). Cells of a rare or
    wide type are far from all others, but so are their neighbors: a sample with more of them is not strange.
    """
    chosen, owner, weights = _some_points(cohort, most, rng)
    X = np.asarray(cohort.points[chosen], dtype=np.float64)
    # In a cohort of very many samples these few cells of each are still many: fewer stand for all others.
    known = np.sort(rng.choice(len(X), most, replace=False)) if len(X) > most else np.arange(len(X))
    Y, donor = X[known], groups[owner]
    squares, own_squares = np.einsum("ij,ij->i", Y, Y), np.einsum("ij,ij->i", X, X)
    logs, nearest = np.empty(len(X)), np.empty((len(X), N_NEAREST), dtype=np.int64)
    # numpy computes half of a matrix times its own transpose; that of many cells takes too much memory.
    products = X @ X.T if len(known) == len(X) <= WHOLE else None
    for group in np.unique(groups):
        own, same = np.flatnonzero(donor == group), donor[known] == group
        k = min(N_NEAREST, int((~same).sum()))
        with_others = X[own] @ Y.T if products is None else products[own]
        D = np.maximum(own_squares[own][:, None] + squares - 2.0 * with_others, 0.0)
        D[:, same] = np.inf
        columns = np.argpartition(D, k - 1, axis=1)[:, :k]
        logs[own] = np.sqrt(np.take_along_axis(D, columns, axis=1)).mean(axis=1)
        nearest[own] = np.resize(known[columns].T, (N_NEAREST, len(own))).T
    floor = 1e-6 * float(np.median(logs))  # copies of a cell
    logs = np.log(np.maximum(logs, floor if floor > 0 else 1.0))
    factor = logs - logs[nearest].mean(axis=1)
    return np.add.reduceat(weights * factor, np.flatnonzero(np.diff(owner, prepend=-1)))


def _some_points(cohort: Cohort, most: int, rng: np.random.Generator) -> tuple[Integers, Integers, Floats]:
    """Return some cells of each sample, the sample of each, and weights of sum 1 in each sample."""
    most = max(N_NEAREST, min(MOST_OF_SAMPLE, most // cohort.n_samples))
    parts, weights = [], []
    for start, stop in zip(cohort.offsets[:-1], cohort.offsets[1:], strict=True):
        own = cohort.weights[start:stop]
        if stop - start <= most:
            parts.append(np.arange(start, stop))
            weights.append(own / own.sum())
            continue
        few = min(most, int((own > 0).sum()))
        parts.append(start + np.sort(rng.choice(stop - start, few, replace=False, p=own / own.sum())))
        weights.append(np.full(few, 1.0 / few))
    owner = np.repeat(np.arange(cohort.n_samples), [len(part) for part in parts])
    return np.concatenate(parts), owner, np.concatenate(weights)


def centered(values: Floats, codes: Integers) -> Floats:
    """Return values less the median of their class, as far as classes have enough of them; less that of all else."""
    out = values - np.nanmedian(values)
    if min(np.bincount(codes)) >= FEWEST:
        for code in np.unique(codes):
            out[codes == code] = values[codes == code] - np.nanmedian(values[codes == code])
    return out


def outliers(values: Floats, level: float, *, side: int = 0) -> np.ndarray:
    """Return (n,) which values are too far from the others for a normal distribution (Rosner 1983).

    `side` is 1 for values that are too large only, -1 for too small ones, 0 for both. Up to a fifth can be found.
    """
    known = np.flatnonzero(np.isfinite(values))
    out = np.zeros(len(values), dtype=bool)
    left, order, last = list(known), [], 0
    for _ in range(max(1, len(known) // 5)):
        n = len(left)
        x = values[left]
        spread = x.std(ddof=1) if n > 2 else 0.0
        if n < FEWEST - 1 or len(known) < FEWEST or not spread > 0:
            break
        scores = (x - x.mean()) / spread
        scores = np.abs(scores) if side == 0 else side * scores
        quantile = student.ppf(1 - level / (n * (2 if side == 0 else 1)), n - 2)
        order.append(left.pop(int(np.argmax(scores))))
        if scores.max() > (n - 1) * quantile / np.sqrt((n - 2 + quantile**2) * n):
            last = len(order)
    out[order[:last]] = True
    return out
