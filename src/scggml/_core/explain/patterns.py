r"""Find what moves along a component: patterns of genes, and which way they shift, from optimal plans.

A plan matches each cell with its counterparts in another sample, so what all cells of a type have in common cancels
along its entries. All that is found here is a sum over entries, and so splits by the type of the cells that are moved.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.optimize import brentq
from scipy.special import digamma, polygamma
from scipy.stats import t as student

from scggml._core.cohort import Floats, Integers
from scggml._core.learn.pair_weights import PairWeights
from scggml._core.samples import Target
from scggml._core.transport.plans import Plans

ROUNDING = 1e-12
"""Share of the movement along the strongest component, or of what donors add, below which others are rounding."""

FEW = 10
"""Genes from which on their variances tell what is common to them."""

MOST_FREE = 1e4
"""Degrees of freedom that are as good as infinitely many."""

RANK, TINY = 1e-10, 1e-300
"""Share of the largest singular value from which on a direction counts, and a number in place of 0."""


@dataclass(frozen=True)
class Contrast:
    """Two ends, and the pairs of samples that have one sample at either.

    Parameters
    ----------
    high, low
        Names of the ends.
    weights
        (n_pairs,) positive where the first sample of a pair is at the high end, negative where the second is; the sum
        of their sizes is 1.
    """

    high: str
    low: str
    weights: Floats


def contrasts_of(
    target: Target,
    weights: PairWeights,
    oriented_to: tuple[str, ...],
    chosen: tuple[str, str] | None = None,
    *,
    label: str = "value",
) -> tuple[list[Contrast], Integers]:
    """Return the contrasts that give components their direction, and (k,) which one is that of each component.

    Classes without an order: the class at the positive end of a component against the reference class. Ordered ones and
    numbers: the higher sample of each pair against the lower one; `label` is what the numbers are. A pair of classes
    that was `chosen` is that of all components.
    """
    p, q = weights.pairs.T
    if target.kind != "classes" and chosen is None:
        named = target.classes[[-1, 0]] if target.n_classes else (f"high {label}", f"low {label}")
        ends = str(named[0]), str(named[1])
        signed = np.sign(target.values[p] - target.values[q]) * weights.between
        return [Contrast(*ends, _of_sum_1(signed))], np.zeros(len(oriented_to), dtype=np.int64)
    names = [str(name) for name in target.classes]
    reference = names[target.reference]
    first_other = next(name for name in names if name != reference)
    # a metric of zeros, or labels that are others by now, point to no class of their own
    known = [high if high in names and high != reference else first_other for high in oriented_to]
    pairs = [(high, reference) for high in known]
    pairs = [chosen] * len(oriented_to) if chosen is not None else pairs
    different = list(dict.fromkeys(pairs))
    found = []
    for high, low in different:
        a, b = names.index(high), names.index(low)
        codes = target.codes
        up, down = (codes[p] == a) & (codes[q] == b), (codes[p] == b) & (codes[q] == a)
        found.append(Contrast(high, low, _of_sum_1(np.where(up, 1.0, np.where(down, -1.0, 0.0)) * weights.between)))
    return found, np.array([different.index(pair) for pair in pairs], dtype=np.int64)


def _of_sum_1(signed: Floats) -> Floats:
    total = np.abs(signed).sum()
    return signed / total if total > 0 else signed


@dataclass(frozen=True)
class Moves:
    """Sums over the entries of plans, as numbers of the points between which mass moves.

    Times the expression of the points they are the patterns and shifts of genes.

    Parameters
    ----------
    along
        (n_points, n_types, k) mass times move along each component, of pairs of different labels: what arrives less
        what leaves.
    shifted
        (n_points, n_types, n_contrasts) mass that goes to the high end (negative: comes from the low end).
    between, within
        (k,) mean squared move along each component, over pairs of different and of like labels.
    """

    along: Floats
    shifted: Floats
    between: Floats
    within: Floats

    def __add__(self, other: "Moves") -> "Moves":
        """Return the sums over the entries of both."""
        mine, its = vars(self), vars(other)
        return Moves(**{name: mine[name] + its[name] for name in mine})

    @property
    def importance(self) -> Floats:
        """(k,) share of each component in what moves more between labels than within them, of sum 1."""
        more = np.maximum(self.between - self.within, 0.0)
        more = more if more.any() else self.between
        total = more.sum()
        return more / total if total > 0 else more


def moves(
    Z: Floats,
    plans: Plans,
    weights: PairWeights,
    contrasts: Sequence[Contrast] = (),
    *,
    types: Integers | None = None,
    n_types: int = 1,
) -> Moves:
    """Sum over the entries of some plans.

    Parameters
    ----------
    Z
        (n_points, k) where the points are in the learned space.
    plans
        Plans of `weights.pairs`.
    types
        (n_points,) type of each; an entry counts half for the type at either end. None for a single type.
    """
    n, k = Z.shape
    source, target = plans.source, plans.target
    steps = Z[source] - Z[target]
    flow = (plans.mass * weights.between[plans.owner])[:, None]
    ends = np.array([contrast.weights for contrast in contrasts]).reshape(len(contrasts), len(plans.pairs))
    signed = plans.mass[:, None] * ends.T[plans.owner]
    along, shifted = np.zeros((n * n_types, k)), np.zeros((n * n_types, len(contrasts)))
    for share, kind in _types_of(plans, types):
        for values, out in ((flow * steps, along), (signed, shifted)):
            for column in range(values.shape[1]):
                part = share * values[:, column]
                out[:, column] += np.bincount(source * n_types + kind, part, n * n_types)
                out[:, column] -= np.bincount(target * n_types + kind, part, n * n_types)
    squares = steps**2
    like = plans.mass * weights.within[plans.owner]
    return Moves(
        along=along.reshape(n, n_types, k),
        shifted=shifted.reshape(n, n_types, len(contrasts)),
        between=(flow * squares).sum(axis=0),
        within=like @ squares,
    )


def _types_of(plans: Plans, types: Integers | None) -> Iterator[tuple[float, Integers]]:
    """Yield a share and a type for each entry: half for the type at either end."""
    if types is None:
        yield 1.0, np.zeros(len(plans.mass), dtype=np.int64)
        return
    yield 0.5, types[plans.source]
    yield 0.5, types[plans.target]


@dataclass(frozen=True)
class Changes:
    """Hold how genes change between labels, in the cells of each type.

    Parameters
    ----------
    patterns
        (n_types, k, n_genes) change of a gene, in standard deviations, for a cell that moves along a component by the
        root mean square; types add up.
    shifts
        (n_types, n_contrasts, n_genes) mean difference between the ends, in units of the expression; types add up.
    t, p_values
        The same shape: the shift in units of its standard error over donors, and its two-sided p-value.
    """

    patterns: Floats
    shifts: Floats
    t: Floats
    p_values: Floats


def changes(
    products: Floats, parts: Floats, masses: Floats, *, design: Floats, found: Moves, deviations: Floats
) -> Changes:
    """Return the changes of genes from sums over the cells of donors.

    Parameters
    ----------
    products
        (n_types, k, n_genes) sums of expression times `Moves.along`.
    parts, masses
        (P, n_types, n_contrasts, n_genes) sums of expression times `Moves.shifted` of each donor, and the sums of
        `shifted` alone.
    design
        (P, q) label and batch of the donors.
    deviations
        (n_genes,) standard deviations.
    """
    t, p_values = np.empty(parts.shape[1:]), np.empty(parts.shape[1:])
    for own in np.ndindex(parts.shape[1:3]):
        t[own], p_values[own] = t_values(parts[:, *own], masses[:, *own], design)
    return Changes(standardized(products, found, deviations), parts.sum(axis=0), t, p_values)


def strengths(patterns: Floats, importance: Floats) -> Floats:
    """Return (n_genes,) how much genes change with all components (k, n_genes), each by its importance."""
    out: Floats = np.sqrt(importance @ patterns**2)
    return out


def excess_patterns(patterns: Floats, within: Floats, importance: Floats) -> Floats:
    """Return (n_genes,) how much genes change with the components between labels beyond what they do within them.

    A gene changes along a component of permuted labels, too; but among pairs of like labels it then changes as much.
    `within` are their patterns (k, n_genes) on the scale of the others.
    """
    out: Floats = np.sqrt(importance @ np.maximum(patterns * (patterns - within), 0.0))
    return out


def standardized(products: Floats, found: Moves, deviations: Floats) -> Floats:
    """Return patterns (n_types, k, n_genes) in standard deviations, from sums of expression times move.

    A component along which nothing moves, and a gene that never varies, have patterns of 0.
    """
    lengths = np.sqrt(np.where(found.between > ROUNDING * max(found.between.max(), TINY), found.between, np.inf))
    out: Floats = products / lengths[:, None] / np.where(deviations > 0, deviations, np.inf)
    return out


def t_values(parts: Floats, masses: Floats, design: Floats) -> tuple[Floats, Floats]:
    r"""Return moderated t-values and two-sided p-values (n_genes,) of sums over donors.

    A donor adds :math:`A_p = m_p y_p`, its mass times the mean expression of the cells that move. What donors of one
    label have in common, :math:`m_p (X \beta)_p` with the design X, is no error; what is left is, so that

    .. math:: \operatorname{var}\Big(\sum_p A_p\Big) \approx \sum_p \frac{r_p^2}{1 - h_p}, \qquad r = A - m X \hat\beta

    with the leverages h (MacKinnon and White 1985). For two classes of equal masses this is Welch's t-test of the
    donors' means, for pairs of samples in batches the paired one. Few donors give unsteady variances, so those of all
    genes are drawn towards each other, see `moderated`; a p-value is the larger one with and without that.

    Parameters
    ----------
    parts
        (P, n_genes) what each donor adds.
    masses
        (P,) m.
    design
        (P, q) label and batch of the donors.
    """
    left, scales, _ = np.linalg.svd(masses[:, None] * design, full_matrices=False)
    basis = left[:, scales > RANK * max(scales.max(initial=0.0), TINY)]
    free = int((masses != 0).sum()) - basis.shape[1]
    if free < 1:
        unknown = np.full(parts.shape[1], np.nan)
        return unknown, unknown
    rest = 1 - (basis**2).sum(axis=1)
    # A donor that is alone with its label in its batch fits exactly, and says nothing about the error.
    scale = np.divide(1.0, rest, out=np.zeros(len(rest)), where=rest > RANK)
    squares = scale @ (parts - basis @ (basis.T @ parts)) ** 2
    squares[squares <= ROUNDING * (parts**2).sum(axis=0)] = 0.0  # of parts that are equal nothing but rounding is left
    # If the means of donors vary alike, var A_p = m_p^2: of that the estimate has this expectation and these degrees of
    # freedom (Satterthwaite 1946). Donors of unlike masses count for less than their number.
    half = np.sqrt(scale)[:, None] * (np.eye(len(masses)) - basis @ basis.T) * np.abs(masses)
    expected = float((half**2).sum())
    free = expected**2 / max(float(((half @ half.T) ** 2).sum()), TINY)
    squares *= float(masses @ masses) / max(expected, TINY)
    variances, free_in_all = moderated(squares, free)
    total = parts.sum(axis=0)
    t, plain = (
        np.divide(total, np.sqrt(found), out=np.zeros(len(total)), where=found > 0) for found in (variances, squares)
    )
    # A gene of larger variance than others is drawn towards them: its own must not speak against it.
    p = np.maximum(student.sf(np.abs(t), free_in_all), student.sf(np.abs(plain), free))
    return t, 2 * p


def moderated(variances: Floats, free: float) -> tuple[Floats, float]:
    r"""Return variances (n,) drawn towards their common value, and the degrees of freedom that they then have.

    If true variances are inverse chi-squared with :math:`d_0` degrees of freedom around :math:`s_0^2`, their mean given
    the observed :math:`s^2` on d degrees is :math:`(d_0 s_0^2 + d s^2) / (d_0 + d)`; mean and variance of
    :math:`\log s^2` over the genes tell :math:`s_0` and :math:`d_0` (Smyth, *Linear models and empirical Bayes
    methods*, 2004).
    """
    seen = variances[variances > 0]
    if len(seen) < FEW:
        return variances, float(free)
    logs = np.log(seen) - digamma(free / 2) + np.log(free / 2)
    spread = float(np.var(logs, ddof=1) - polygamma(1, free / 2))
    if spread <= polygamma(1, MOST_FREE / 2):  # no more than chance
        return np.where(variances > 0, np.exp(logs.mean()), 0.0), float(free + MOST_FREE)
    # trigamma falls from infinity to 0; 1e-3 is far below any spread that genes have
    half = float(brentq(lambda x: polygamma(1, x) - spread, 1e-3, MOST_FREE / 2)) if spread < 1e5 else 1e-3
    common = np.exp(logs.mean() + digamma(half) - np.log(half))
    return np.where(variances > 0, (2 * half * common + free * variances) / (2 * half + free), 0.0), free + 2 * half
