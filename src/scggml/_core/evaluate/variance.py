"""Shares of the squared distances between samples that covariates explain (distance-based redundancy analysis)."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import factorial, prod
from typing import Literal

import numpy as np

from scggml._core.cohort import Floats, Integers
from scggml._core.labelings import n_labelings, p_value, permutation_blocks, smallest_p

CovariateKind = Literal["categorical", "numeric"]

TOLERANCE = 1e-10
"""Squared length, relative to the longest column of a design, below which a direction is rounding."""

BLOCK = 2**21
"""Numbers that the designs of one block of permutations hold."""


@dataclass(frozen=True)
class Covariate:
    """Hold what is known of each sample.

    Parameters
    ----------
    name
        Name of the column.
    kind
        Whether values are codes of categories or numbers.
    values
        (P,) codes from 0 or numbers, NaN where missing.
    levels
        Names of the categories.
    """

    name: str
    kind: CovariateKind
    values: Floats
    levels: tuple[str, ...] = ()

    @property
    def known(self) -> np.ndarray:
        """(P,) bool, whether the sample has a value."""
        return ~np.isnan(self.values)

    def design(self, samples: Integers) -> Floats:
        """Return (n, m) indicators of the categories that occur, or the standardized number, of samples with values."""
        values = self.values[samples]
        if self.kind == "categorical":
            return (values[:, None] == np.unique(values)).astype(np.float64)
        centred = values - values.mean()
        scale = centred.std()
        return (centred / (scale if scale > 0 else 1.0))[:, None]


@dataclass(frozen=True)
class Share:
    """Hold what a covariate explains of the squared distances between n samples, beyond others if there are any.

    Parameters
    ----------
    r2, r2_adjusted
        Share, and share beyond what as many random columns would explain; beyond others, at most 1.
    null95
        95 % quantile of `r2_adjusted` under permutations.
    F
        Pseudo-F.
    p_value
        NaN if nothing can be permuted.
    """

    r2: float
    r2_adjusted: float
    null95: float
    F: float
    p_value: float


def gower(distances: Floats) -> Floats:
    r"""Return :math:`-\frac12 J D^{(2)} J`, whose trace is the sum of squares around the centre."""
    squares = distances**2
    centred = squares - squares.mean(axis=0) - squares.mean(axis=1)[:, None] + squares.mean()
    out: Floats = -0.5 * (centred + centred.T) / 2
    return out


def share_alone(
    distances: Floats, covariate: Covariate, groups: Integers, *, n_perm: int, rng: np.random.Generator
) -> Share | None:
    r"""Return what a covariate explains of the distances between the samples that have a value.

    With the hat matrix H of the design and the centred G, :math:`R^2 = tr(HG) / tr(G)`. Values are permuted among
    donors as wholes, or within donors where they vary within them. None if there is nothing to explain, or to explain
    it with.

    Parameters
    ----------
    distances
        (P, P).
    groups
        (P,) code of the donor of each sample.
    """
    rows = np.flatnonzero(covariate.known)
    if len(rows) < 3:
        return None
    values, own = covariate.values[rows], groups[rows]
    blocks = permutation_blocks(values, own, np.zeros(len(rows), dtype=np.int64))
    model = _Model.of(distances, rows, [])
    return model.permuting_design(covariate, rows, blocks, n_perm, rng)


def share_beyond(
    distances: Floats,
    covariate: Covariate,
    given: Sequence[Covariate],
    groups: Integers,
    *,
    n_perm: int,
    rng: np.random.Generator,
) -> Share | None:
    r"""Return what a covariate explains beyond others, of the distances between the samples that have all values.

    With the hat matrices of the design of all and of the given ones, :math:`R^2 = tr((H - H_0) G) / tr(G)`, the
    semipartial share. Beyond one categorical covariate, values are permuted within its categories, which is exact
    whatever the spread of each category; else residuals of the distances are permuted (Freedman and Lane). Either moves
    donors as wholes, or samples within donors where the covariate varies within them.
    """
    known = np.logical_and.reduce([covariate.known, *(other.known for other in given)])
    rows = np.flatnonzero(known)
    if len(rows) < 3:
        return None
    values, own = covariate.values[rows], groups[rows]
    model = _Model.of(distances, rows, given)
    if len(given) == 1 and given[0].kind == "categorical":
        strata = _exchangeable(values, own, given[0].values[rows])
        blocks = permutation_blocks(values, own, strata)
        return model.permuting_design(covariate, rows, blocks, n_perm, rng)
    sizes = np.bincount(own)[own]  # residuals of donors move as wholes between donors with as many samples
    blocks = permutation_blocks(values, own, sizes)
    return model.permuting_residuals(covariate, rows, blocks, n_perm, rng)


def permuted_rows(blocks: list[list[Integers]], n: int, n_perm: int, rng: np.random.Generator) -> Integers:
    """Return (n_perm, n) the sample whose row each sample gets when the units of each block are permuted.

    Between units of equal sizes samples move one by one; else all samples of a unit get the row of the first sample of
    another one.
    """
    out = np.tile(np.arange(n), (n_perm, 1))
    for units in blocks:
        order = rng.permuted(np.tile(np.arange(len(units)), (n_perm, 1)), axis=1)
        sizes = [len(unit) for unit in units]
        if len(set(sizes)) == 1:
            members = np.stack(units)
            out[:, members.ravel()] = members[order].reshape(n_perm, -1)
        else:
            first = np.array([unit[0] for unit in units])
            out[:, np.concatenate(units)] = first[order][:, np.repeat(np.arange(len(units)), sizes)]
    return out


@dataclass(frozen=True)
class _Model:
    """Centred squared distances G (n, n) and an orthonormal basis (n, q) of the constant and the given covariates."""

    G: Floats
    basis: Floats

    @classmethod
    def of(cls, distances: Floats, rows: Integers, given: Sequence[Covariate]) -> "_Model":
        columns = [np.ones((len(rows), 1)), *(other.design(rows) for other in given)]
        left, values, _ = np.linalg.svd(np.concatenate(columns, axis=1), full_matrices=False)
        return cls(gower(distances[np.ix_(rows, rows)]), left[:, values**2 > TOLERANCE * values[0] ** 2])

    def permuting_design(
        self, covariate: Covariate, rows: Integers, blocks: list[list[Integers]], n_perm: int, rng: np.random.Generator
    ) -> Share | None:
        X = covariate.design(rows)
        n, m = X.shape
        kind: Literal["classes", "numbers"] = "classes" if covariate.kind == "categorical" else "numbers"
        possible = n_labelings(covariate.values[rows], blocks, kind=kind)
        moves = np.concatenate([np.arange(n)[None], permuted_rows(blocks, n, n_perm, rng)])
        parts = [self._fit(X[part]) for part in _parts(moves, n * m)]
        explained, ranks = (np.concatenate(values) for values in zip(*parts, strict=True))
        return self._share(explained, ranks, np.full(len(moves), self._residual), possible)

    def permuting_residuals(
        self, covariate: Covariate, rows: Integers, blocks: list[list[Integers]], n_perm: int, rng: np.random.Generator
    ) -> Share | None:
        n = len(rows)
        X = self._apart(covariate.design(rows)[None])[0]
        left, values, _ = np.linalg.svd(X, full_matrices=False)
        Q = left[:, values**2 > TOLERANCE * n]
        residual = self.G - self.basis @ (self.basis.T @ self.G)
        residual = residual - (residual @ self.basis) @ self.basis.T
        both = np.concatenate([Q, self.basis], axis=1)
        moves = np.concatenate([np.arange(n)[None], permuted_rows(blocks, n, n_perm, rng)])
        # permuting residuals one way is permuting the bases the other way, and both ways are equally likely
        parts = [_sums(residual, both[part]) for part in _parts(moves, both.size)]
        sums, m = np.concatenate(parts), Q.shape[1]
        explained, given = sums[:, :m].sum(axis=1), sums[:, m:].sum(axis=1)
        possible = prod(factorial(len(units)) for units in blocks)
        return self._share(explained, np.full(len(moves), m), np.trace(residual) - given, possible)

    @property
    def _residual(self) -> float:
        """Sum of squares that the given covariates leave."""
        return float(np.trace(self.G) - (self.basis * (self.G @ self.basis)).sum())

    def _apart(self, X: Floats) -> Floats:
        """Return (B, n, m) designs without what the given covariates explain of them."""
        out: Floats = X - self.basis @ (self.basis.T @ X)
        return out

    def _fit(self, X: Floats) -> tuple[Floats, Integers]:
        """Return (B,) sums of squares that designs (B, n, m) explain beyond the given covariates, and their ranks."""
        apart = self._apart(X)
        across = apart.swapaxes(1, 2)
        values, vectors = np.linalg.eigh(across @ apart)
        kept = values > TOLERANCE * (X**2).sum(axis=1).max(axis=1, keepdims=True)
        inner = vectors.swapaxes(1, 2) @ (across @ (self.G @ apart)) @ vectors
        squares = np.diagonal(inner, axis1=1, axis2=2) / np.where(kept, values, 1.0)
        return np.where(kept, squares, 0.0).sum(axis=1), kept.sum(axis=1)

    def _share(self, explained: Floats, ranks: Integers, left: Floats, possible: int) -> Share | None:
        """Return the share of the first of all sums of squares; the others are of permutations.

        Parameters
        ----------
        explained, ranks
            (1 + B,) sums of squares of the covariate and the numbers of its columns beyond the given ones.
        left
            (1 + B,) sums of squares without it.
        possible
            Number of permutations that can differ.
        """
        n, q = self.basis.shape
        total = float(np.trace(self.G))
        if ranks[0] == 0 or n - q - ranks[0] < 1 or total <= TOLERANCE * float(np.abs(self.G).max()):
            return None
        rest = np.maximum(left - explained, 0.0) / np.maximum(n - q - ranks, 1)
        each = np.divide(explained, ranks, out=np.zeros(len(ranks)), where=ranks > 0)
        # nothing is left between samples at the same places; rounding is not told apart from that
        F = np.divide(each, rest, out=np.full(len(ranks), np.inf), where=rest > 1e-12 * total)
        # others that explain less than random columns would explain nothing, or else a share could be above 1
        adjusted = (n - 1) / total * (np.minimum(left / (n - q), total / (n - 1)) - rest)
        able = possible >= 2 and len(ranks) > 1
        least = smallest_p(possible, len(ranks) - 1) if able else np.nan
        return Share(
            r2=float(explained[0] / total),
            r2_adjusted=float(adjusted[0]),
            null95=float(np.quantile(adjusted[1:], 0.95)) if able else np.nan,
            F=float(F[0]),
            p_value=max(p_value(float(F[0]) - 1e-9 * abs(float(F[0])), F[1:]), least) if able else np.nan,
        )


def _sums(G: Floats, bases: Floats) -> Floats:
    """Return (B, m) sums of squares of G along the columns of bases (B, n, m)."""
    out: Floats = (bases * (G @ bases)).sum(axis=1)
    return out


def _parts(moves: Integers, size: int) -> list[Integers]:
    """Return the permutations in blocks of which the designs fit into memory."""
    step = max(BLOCK // size, 1)
    return [moves[start : start + step] for start in range(0, len(moves), step)]


def _exchangeable(values: Floats, groups: Integers, classes: Floats) -> Integers:
    """Return (n,) codes of samples that may exchange values where these are permuted within classes.

    A donor with one value moves as a whole, among donors whose samples have the same classes; the samples of one class
    exchange their values within a donor that has several.
    """
    out = classes.astype(np.int64)
    kinds: dict[tuple[float, ...], int] = {}
    for group in np.unique(groups):
        own = np.flatnonzero(groups == group)
        if len(np.unique(values[own])) == 1:
            out[own] = kinds.setdefault(tuple(sorted(classes[own].tolist())), len(kinds))
    return out
