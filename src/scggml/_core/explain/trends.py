"""Test how values of samples change along an order that is not made of what it is compared with."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.stats import kruskal, rankdata, spearmanr

from scggml._core.cohort import Floats, Integers, Points
from scggml._core.explain.significance import benjamini_hochberg, pooled_significance
from scggml._core.labelings import p_value

DEGREE = 2
"""Degree of the curves: straight ones and those with one turn."""

INSIDE, BACK = 0.8, 0.25
"""A curve turns if its extremum is in this middle part, and it comes back by this share of its range on either side."""

ROUNDING = 1e-6
"""Spread below this share of the values is rounding, as they come in single precision."""

FOLLOWS = 0.1
"""False discovery rate up to which a value is looked for along the label, too."""

CHUNK = 2000
"""Values whose permutations are computed together."""


@dataclass(frozen=True)
class Curves:
    """Curves of values along an order.

    Parameters
    ----------
    rho
        (n,) Spearman correlation with the order.
    r2
        (n,) share of the variance that the curve explains.
    change
        (n,) end of the curve less its start.
    shape
        (n,) "increases", "decreases", "peaks", "dips", or "constant".
    """

    rho: Floats
    r2: Floats
    change: Floats
    shape: np.ndarray


def basis(order: Floats, blocks: Sequence[Integers], degree: int = DEGREE) -> Floats:
    """Return (P, degree) orthonormal polynomials of the ranks of an order, of mean 0 in each block.

    What the blocks leave nothing of is 0.
    """
    u = _places(order)
    columns = _centered(np.stack([u ** (i + 1) for i in range(degree)], axis=1), blocks)
    out = np.zeros_like(columns)
    for i in range(degree):  # Gram and Schmidt, twice; signs stay those of the powers
        rest = columns[:, i]
        for _ in range(2):
            rest = rest - out[:, :i] @ (out[:, :i].T @ rest)
        norm = np.linalg.norm(rest)
        if norm > 1e-9 * np.sqrt(len(order)):
            out[:, i] = rest / norm
    return out


def _places(order: Floats) -> Floats:
    """Return (P,) ranks from -1 to 1."""
    out: Floats = 2 * (rankdata(order) - 1) / max(len(order) - 1, 1) - 1
    return out


def _centered(values: Points, blocks: Sequence[Integers]) -> Floats:
    out = np.array(values, dtype=np.float64)
    for block in blocks:
        out[block] -= out[block].mean(axis=0)
    return out


def curves(order: Floats, values: Points, blocks: Sequence[Integers]) -> Curves:
    """Fit curves to (P, n) values along a (P,) order; differences between blocks are taken off."""
    values = np.asarray(values, dtype=np.float64)
    B, Y = basis(order, blocks), _centered(values, blocks)
    if len(order) <= DEGREE + 1:  # so few samples carry a straight line only
        B = B[:, :1]
    coefficients = B.T @ Y
    total = (Y**2).sum(axis=0)
    varies = total > ROUNDING**2 * (values**2).sum(axis=0)
    r2 = np.divide((coefficients**2).sum(axis=0), total, out=np.zeros(len(total)), where=varies)
    places = np.argsort(rankdata(order), kind="stable")
    fitted = (B @ coefficients)[places]
    ranks, own = rankdata(np.where(varies, Y, 0.0), axis=0), rankdata(order)
    ranks, own = ranks - ranks.mean(axis=0), own - own.mean()
    scale = np.sqrt((ranks**2).sum(axis=0) * (own @ own))
    rho = np.divide(own @ ranks, scale, out=np.zeros(len(total)), where=scale > 0)
    change = np.where(varies, fitted[-1] - fitted[0], 0.0)
    return Curves(rho, np.minimum(r2, 1.0), change, _shapes(fitted, varies))


def _shapes(fitted: Floats, varies: np.ndarray) -> np.ndarray:
    """Return the shape of each (P, n) curve, its samples in their order."""
    n = len(fitted)
    edge = int(np.floor((1 - INSIDE) / 2 * n))
    middle = slice(edge, n - edge)
    span = np.ptp(fitted, axis=0)
    first, last = fitted[0], fitted[-1]
    peaks = (fitted[middle].max(axis=0) - np.maximum(first, last)) >= BACK * span
    dips = (np.minimum(first, last) - fitted[middle].min(axis=0)) >= BACK * span
    shape = np.where(last > first, "increases", "decreases").astype(object)
    shape[peaks], shape[dips], shape[~varies] = "peaks", "dips", "constant"
    return shape


def contrasts(label: Floats, blocks: Sequence[Integers], *, ordered: bool) -> Floats:
    """Return (P, m) orthonormal columns that a label spans, of mean 0 in blocks: polynomials of ranks, or classes."""
    levels = np.unique(label)
    if ordered:
        return basis(label, blocks, min(DEGREE, len(levels) - 1))
    left, size, _ = np.linalg.svd(_centered((label[:, None] == levels).astype(np.float64), blocks), full_matrices=False)
    out: Floats = left[:, size > 1e-9 * np.sqrt(len(label))]
    return out


def curves_test(
    bases: Floats,
    values: Points,
    blocks: Sequence[Integers],
    *,
    ordered: bool = True,
    n_perm: int,
    rng: np.random.Generator,
) -> tuple[Floats, Floats]:
    r"""Test whether values follow an order that comes from other cells.

    Cells of each sample are dealt into folds; the values of a fold are compared with the order of all other cells, so
    that the noise of a cell is never in both. With the orthonormal polynomials :math:`b_{if}` of the order without fold
    f and the ranks :math:`y_f` of the values in it the statistic of a value is
    :math:`\max_i (\sum_f b_{if}^T y_f)^2 / V_i` with the variance under permutations,
    :math:`V_i = \sum_{fg} (b_{if}^T b_{ig}) (y_f^T y_g) / (P - 1)`, so that all values share one null distribution.
    Without an order, of classes, it is the sum over i. Samples are permuted within their blocks, all folds together.

    Parameters
    ----------
    bases
        (n_folds, P, n_columns) orthonormal columns of mean 0 in each block: `basis` of each order.
    values
        (n_folds, P, n) values of the cells that the order of that number does *not* come from.
    blocks
        Samples that may change places.
    ordered
        Whether columns are polynomials.

    Returns
    -------
    (n,) p-values and (n,) false discovery rates.
    """
    m, P, n = values.shape
    alike = np.einsum("hpi,kpi->ihk", bases, bases) / max(P - len(blocks), 1)
    B = bases.reshape(m * P, -1)
    starts = P * np.arange(m)[:, None]
    places = [np.arange(P)] + [_permuted(P, blocks, rng) for _ in range(n_perm)]
    found, varies = np.empty((len(places), n)), np.empty(n, dtype=bool)
    for start in range(0, n, CHUNK):
        own = slice(start, start + CHUNK)
        part = np.asarray(values[..., own], dtype=np.float64)
        varies[own] = np.ptp(part, axis=1).max(axis=0) > ROUNDING * np.abs(part).max(axis=(0, 1))
        # Ranks, as genes that a few samples express would make the tail that all share heavy.
        Y = np.stack([_centered(fold, blocks) for fold in rankdata(part, axis=1)])
        variance = np.einsum("ihk,hpg,kpg->ig", alike, Y, Y, optimize=True)
        scale = np.divide(1.0, variance, out=np.zeros_like(variance), where=variance > 0)
        Y = Y.reshape(m * P, -1)
        for row, place in zip(found, places, strict=True):
            squares = scale * (B[(starts + place).reshape(-1)].T @ Y) ** 2
            row[own] = squares.max(axis=0) if ordered else squares.sum(axis=0)
    p, rates = np.ones(len(varies)), np.ones(len(varies))
    if varies.any():
        # equal numbers may differ by rounding
        p[varies], rates[varies] = pooled_significance(found[0, varies] + 1e-12, found[1:, varies])
    return p, rates


def both_rates(rates: Floats, p_label: Floats) -> Floats:
    """Return (n,) false discovery rates of values that follow an order and the label, too.

    `rates` are those of following the order. Among the values that have low ones, which are to be found again along the
    label, the rates of `p_label` (n,) are computed; the larger rate counts.
    """
    out, low = rates.copy(), rates <= FOLLOWS
    if low.any():
        out[low] = np.maximum(rates[low], benjamini_hochberg(p_label[low]))
    return out


def _permuted(n: int, blocks: Sequence[Integers], rng: np.random.Generator) -> Integers:
    """Return (n,) samples after each block was permuted."""
    place = np.arange(n)
    for block in blocks:
        place[block] = block[rng.permutation(len(block))]
    return place


def association(order: Floats, values: Floats, *, ordered: bool) -> float:
    """Return the Spearman correlation of an order with a label; of classes the share of ranks' variance (0 to 1)."""
    if np.ptp(order) == 0 or np.ptp(values) == 0:
        return 0.0
    if ordered:
        return float(spearmanr(order, values).statistic)
    H = float(kruskal(*(order[values == value] for value in np.unique(values))).statistic)
    return H / (len(order) - 1)


def association_test(
    order: Floats,
    values: Floats,
    blocks: Sequence[Integers],
    *,
    ordered: bool,
    n_perm: int,
    rng: np.random.Generator,
) -> float:
    """Return the p-value of the size of an association, labels permuted within blocks of samples."""
    observed = abs(association(order, values, ordered=ordered))
    null = [abs(association(order, values[_permuted(len(order), blocks, rng)], ordered=ordered)) for _ in range(n_perm)]
    return p_value(observed, np.array(null))
