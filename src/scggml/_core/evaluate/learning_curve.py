"""A score as a function of the number of donors that are learned from, with what the finite cohort leaves open."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from scggml._core.cohort import Floats, Integers
from scggml._core.evaluate.subsets import Units

EXPONENTS: Floats = np.geomspace(0.25, 2.0, 13)
"""Powers of the number of donors with which a curve may approach its end."""

USUAL, SPREAD = 1.0, 0.7
"""Exponent that is expected, and the standard deviation of its logarithm."""

TINY = 1e-6
"""Least variance of a score that is reckoned with."""

TOGETHER = 0.5
"""Correlation of what donors change as those that are predicted and as those that are learned from."""

HALF = 0.5
"""Weight of a donor that is always, and of one that is never recognized, beside those that were observed."""


@dataclass(frozen=True, eq=False)
class PowerLaw:
    r"""Curves :math:`a - b\, n^{-c}`, which rise with n.

    Parameters
    ----------
    end, drop, exponent
        (B,) a, at most 1; b, at least 0; and c.
    """

    end: Floats
    drop: Floats
    exponent: Floats

    def at(self, n: Floats | Integers) -> Floats:
        """Return (B, m) values for m numbers of donors, none below 0."""
        out: Floats = self.end[:, None] - self.drop[:, None] * np.asarray(n, float)[None, :] ** -self.exponent[:, None]
        return np.maximum(out, 0.0)

    def with_others(self, others: "PowerLaw") -> "PowerLaw":
        """Return these curves, and then others."""
        pairs = ((self.end, others.end), (self.drop, others.drop), (self.exponent, others.exponent))
        return PowerLaw(*(np.concatenate(pair) for pair in pairs))


def fit_power_law(sizes: Floats, values: Floats, weights: Floats, noise: float) -> PowerLaw:
    r"""Return the curves nearest to values (B, m) at m numbers of donors, by weighted least squares.

    Minimized is :math:`\sum_i w_i (y_i - a + b\, n_i^{-c})^2 / s^2 + (\log c / 0.7)^2` under a <= 1 and b >= 0, with a
    and b in closed form and c on a grid from 1/4 to 2: a few sizes say little about the exponent, which decides what
    lies beyond them.

    Parameters
    ----------
    weights
        (m,) of mean 1.
    noise
        Variance s^2 of a value around the curve.
    """
    B = len(values)
    best, out = np.full(B, np.inf), np.zeros((3, B))
    w = weights / weights.sum()
    for c in EXPONENTS:
        # Numbers of donors are brought to the largest one, so that b is no larger than 1 for small exponents.
        x = -((sizes / sizes[-1]) ** -c)
        x_mean, y_mean = float(w @ x), values @ w
        b = (values - y_mean[:, None]) @ (w * (x - x_mean)) / float(w @ (x - x_mean) ** 2)
        b = np.maximum(b, 0.0)
        a = y_mean - b * x_mean
        over = a > 1
        through = np.maximum((values - 1.0) @ (w * x) / float(w @ x**2), 0.0)
        a, b = np.where(over, 1.0, a), np.where(over, through, b)
        misfit = ((values - a[:, None] - b[:, None] * x) ** 2) @ weights / max(noise, TINY)
        misfit += (np.log(c / USUAL) / SPREAD) ** 2
        better = misfit < best
        best = np.where(better, misfit, best)
        out = np.where(better, np.stack([a, b * sizes[-1] ** c, np.full(B, c)]), out)
    return PowerLaw(*out)


@dataclass(frozen=True, eq=False)
class Observed:
    """A score at several numbers of donors to learn from.

    Parameters
    ----------
    sizes
        (m,) donors.
    units
        Donors with their classes, and (U, m) what each scores when it is held out, as the mean over draws.
    values
        As said.
    draws
        Draws of each size.
    predicted
        (m,) held-out units of all draws.
    scale
        What the mean of one class weighs in the score: 1 / C in an accuracy, 1 in the area under the curve, where each
        pair counts in both classes.
    common
        Variance that comes with the donors to learn from, which all draws have in common.
    noise
        Variance of a value around a smooth curve, at the mean of `predicted`.
    """

    sizes: Integers
    units: Units
    values: Floats
    draws: tuple[int, ...]
    predicted: Integers
    scale: float
    common: float
    noise: float

    @property
    def score(self) -> Floats:
        """(m,) means over classes of the means over their units."""
        return self._mean(self.values)

    def _mean(self, values: Floats) -> Floats:
        C = self.units.n_classes
        out: Floats = np.mean([values[self.units.code == c].mean(axis=0) for c in range(C)], axis=0)
        return out

    def fit(self) -> PowerLaw:
        """Return the one curve through the observed scores."""
        return self.fit_all(self.score[None])

    def fit_all(self, values: Floats) -> PowerLaw:
        """Return the curves through (B, m) scores of other cohorts; what matters most is how they end."""
        weights = self.predicted * self.sizes / np.mean(self.predicted * self.sizes)
        return fit_power_law(self.sizes.astype(np.float64), values, weights, self.noise)

    def resample(self, n: int, rng: np.random.Generator) -> Floats:
        r"""Return (n, m) scores of cohorts of as many other donors.

        Donors weigh what a Dirichlet distribution gives them. In each class stand beside them one that is always and
        one that is never recognized, of weight 1/2: were donors either of the two, the mean would follow the posterior
        of Jeffreys, so a class that is recognized throughout leaves room. What other donors to learn from would change
        comes on top, the same at all sizes, in part along with that.
        """
        codes, C = self.units.code, self.units.n_classes
        weights = rng.gamma(1.0, size=(n, int(self.units.donor.max()) + 1))[:, self.units.donor]
        half = HALF / (self.scale * C)  # where a class weighs more, such a donor is less likely
        means, centers = [], []
        for c in range(C):
            own, pseudo = weights[:, codes == c], rng.gamma(half, size=(n, 2))
            total = own.sum(axis=1) + pseudo.sum(axis=1)
            means.append((own @ self.values[codes == c] + pseudo[:, :1]) / total[:, None])
            seen = self.values[codes == c]
            centers.append((seen.sum(axis=0) + half) / (len(seen) + 2 * half))
        moved = self.scale * (np.sum(means, axis=0) - np.sum(centers, axis=0))
        # What is easily recognized is also good to learn from, so the two go together.
        spread = moved[:, -1].std() or 1.0
        along = (moved[:, -1] - moved[:, -1].mean()) / spread
        shift = np.sqrt(self.common) * (TOGETHER * along + np.sqrt(1 - TOGETHER**2) * rng.standard_normal(n))
        out: Floats = np.clip(np.mean(centers, axis=0) + moved + shift[:, None], 0.0, 1.0)
        return out


def observe(tables: Sequence[Floats], sizes: Integers, units: Units, n_donors: int, scale: float) -> Observed:
    r"""Return the score at each size, from what each unit scored in each draw, with its variance over other cohorts.

    Between draws the score varies by :math:`\sigma^2_n` beyond what single donors and chance do. Training sets of n
    of N donors share donors, so :math:`\sigma^2_n \approx (1 - n / N) V_n`, with :math:`V_n` the variance of the score
    over training sets of other donors; to the first order :math:`V_n = \kappa / n`, and the mean over all training
    sets of one cohort has the variance :math:`\kappa / N` (the linear term of a U-statistic).

    Parameters
    ----------
    tables
        (R, U) for each size: score of each unit in each draw, NaN where it was not held out.
    n_donors
        N.
    """
    values = np.stack([np.nanmean(table, axis=0) for table in tables], axis=1)
    found = [_variance_of_draws(*one, units, scale) for one in zip(tables, values.T, strict=True)]
    variance, noise = (np.array(part) for part in zip(*found, strict=True))
    # Draws that hold out few donors are noisy, and so is their variance.
    w = 1 / np.sqrt(np.maximum(noise, TINY))
    kappa = max(float((w * sizes) @ variance / (w @ (1 - sizes / n_donors))), 0.0)
    return Observed(
        sizes=sizes,
        units=units,
        values=values,
        draws=tuple(len(table) for table in tables),
        predicted=np.array([np.isfinite(table).sum() for table in tables]),
        scale=scale,
        common=kappa / n_donors,
        noise=float(np.mean(noise / [len(table) for table in tables])),
    )


def _variance_of_draws(table: Floats, mean: Floats, units: Units, scale: float) -> tuple[float, float]:
    """Return the variance of draws beyond that of single units in them, and the latter in the mean of a draw.

    Parameters
    ----------
    table, mean
        (R, U) score of each unit in each draw, NaN where it was not held out; (U,) means over draws.
    """
    there, C = np.isfinite(table), units.n_classes
    times = there.sum(axis=0)
    # The mean of few draws has taken part of the variance away.
    lost = float(np.mean(np.maximum(times, 2) / np.maximum(times - 1, 1)))
    effect, noise = np.zeros(len(table)), np.zeros(len(table))
    for c in range(C):
        code = units.code == c
        n = np.maximum(there[:, code].sum(axis=1), 1)
        own, usual = np.nan_to_num(table[:, code]), np.where(there[:, code], mean[code], 0.0)
        # What is expected of a draw follows from the donors that it holds out, to the first order.
        effect += own.sum(axis=1) / n / C - scale * (usual.sum(axis=1) / n - mean[code].mean())
        effect -= mean[code].mean() / C
        noise += scale**2 * float(np.nanmean((table[:, code] - mean[code]) ** 2)) / n
    return lost * (float(np.mean(effect**2)) - float(noise.mean())), lost * float(noise.mean())
