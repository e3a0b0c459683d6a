"""Methods of others that compare whole samples, without a metric between cells that labels decide."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, Protocol, get_args

import numpy as np
from scipy.spatial.distance import cdist

from scggml._core.cohort import Floats
from scggml._core.evaluate.cell_labels import CELL_METRICS, LabelledCells
from scggml._core.evaluate.classify import ClassifierName
from scggml._core.evaluate.divergence import symmetric_divergences
from scggml._core.evaluate.methods import ByDistance, Majority, Profiles, classify
from scggml._core.evaluate.prediction import Fitted, Method, Need, Prediction
from scggml._core.samples import Samples, Target, type_profiles
from scggml._core.transport.exact import Exact
from scggml._core.transport.plans import ground_cost

RivalName = Literal[
    "pseudobulk", "cell_type_pseudobulk", "composition", "clr", "gloscope", "pilot", "lfda", "nca", "majority"
]
RIVALS: tuple[RivalName, ...] = get_args(RivalName)

PSEUDOCOUNT = 0.5
"""Cells that each type has beside those that were seen, so that logarithms exist."""

Between = Callable[[Samples, Samples], Floats]
"""From n and m samples to their distances (n, m)."""


class SampleDistance(Protocol):
    """A source of distances between samples."""

    @property
    def needs(self) -> frozenset[Need]:
        """Return what it needs beside the cells of samples."""
        ...

    def between(self, training: Samples) -> Between:
        """Return the distance that training samples alone give."""
        ...


@dataclass(frozen=True)
class Clr:
    r"""Euclidean distance between compositions on the scale of log-ratios (Aitchison distance).

    .. math:: z_{pt} = \log s_{pt} - \frac1T \sum_u \log s_{pu}, \qquad s_{pt} = a_{pt} + \frac{1}{2 n_p}

    with the share :math:`a_{pt}` of type t among the :math:`n_p` cells of a sample, and half a cell more of each type.

    References
    ----------
    Aitchison, *The statistical analysis of compositional data*, Journal of the Royal Statistical Society B 1982.
    """

    @property
    def needs(self) -> frozenset[Need]:
        """Return that it needs cell types."""
        return frozenset({"cell_types"})

    def between(self, training: Samples) -> Between:
        """Return the distance, which training samples have no part in."""
        return lambda first, second: cdist(centred_log_ratios(first), centred_log_ratios(second))


def centred_log_ratios(samples: Samples) -> Floats:
    """Return (P, n_types) centred log-ratios of the shares of cell types; see `Clr`."""
    logs = np.log(_shares(samples) + PSEUDOCOUNT / samples.cohort.counts[:, None])
    out: Floats = logs - logs.mean(axis=1, keepdims=True)
    return out


@dataclass(frozen=True)
class Pilot:
    """Transport between shares of cell types, whose cost is the cosine distance between the means of two types.

    Means are over all cells of the training samples, each sample counting alike. A type that only held-out samples have
    is at distance 1 from all others.

    References
    ----------
    Joodaki et al., *Detection of patient-level distances from single cell genomics and pathomics data with optimal
    transport (PILOT)*, Molecular Systems Biology 2024.
    """

    @property
    def needs(self) -> frozenset[Need]:
        """Return that it needs the type of each cell."""
        return frozenset({"cell_types", "cells"})

    def between(self, training: Samples) -> Between:
        """Return the distance under the costs between the types of the training samples."""
        shares, means = _shares(training), type_profiles(training)
        sums = (shares[:, :, None] * np.nan_to_num(means)).sum(axis=0)
        seen = shares.sum(axis=0)[:, None]
        # a type without a mean stays at the origin, which has no direction: see `ground_cost`
        centers = np.divide(sums, seen, out=np.zeros_like(sums), where=seen > 0)
        cost, solver = ground_cost(centers, centers, "cosine"), Exact()
        np.fill_diagonal(cost, 0.0)

        def between(first: Samples, second: Samples) -> Floats:
            rows = [[solver.solve(a, b, cost).cost for b in _shares(second)] for a in _shares(first)]
            return np.array(rows).reshape(first.n_samples, second.n_samples)

        return between


@dataclass(frozen=True)
class Gloscope:
    """Symmetrized Kullback-Leibler divergence between the densities of cells, estimated by nearest neighbors.

    See `symmetric_divergences`. Estimates below 0 are 0, as the divergence itself cannot be negative.

    References
    ----------
    Wang et al., *Visualizing scRNA-Seq data at population scale with GloScope*, Genome Biology 2024.
    """

    @property
    def needs(self) -> frozenset[Need]:
        """Return that it needs cells that count alike, as neighbors are counted."""
        return frozenset({"cells", "equal_weights"})

    def between(self, training: Samples) -> Between:
        """Return the divergence; training samples decide what counts as no distance between two cells."""
        spread = float(np.sqrt(training.as_cells.cohort.points.var(axis=0, dtype=np.float64).sum()))

        def between(first: Samples, second: Samples) -> Floats:
            cells = first.as_cells.cohort, second.as_cells.cohort
            return np.maximum(symmetric_divergences(*cells, spread=spread), 0.0)

        return between


def _shares(samples: Samples) -> Floats:
    if samples.composition is None:
        raise ValueError("Shares of cell types need cell types; pass cell_type_key.")
    return samples.composition


@dataclass(frozen=True)
class BySampleDistance:
    """A distance between samples, and a classifier (or regressor) on it; the options are those of `ByDistance`."""

    source: SampleDistance
    classifier: ClassifierName = "knn"
    n_neighbors: int = 3

    @property
    def needs(self) -> frozenset[Need]:
        """Return what the distance needs."""
        return self.source.needs

    def fit(self, training: Samples, target: Target, *, rng: np.random.Generator) -> Fitted:
        """Take what the distance needs from the training samples."""
        return _FittedBySampleDistance(self, self.source.between(training), training, target)


@dataclass(frozen=True)
class _FittedBySampleDistance:
    method: BySampleDistance
    between: Between
    training: Samples
    target: Target

    def predict(self, test: Samples) -> Prediction:
        among = self.between(test, test)
        among = (among + among.T) / 2  # equal up to rounding
        np.fill_diagonal(among, 0.0)
        D = np.hstack([self.between(test, self.training), among])
        by = self.method
        return Prediction(classify(D, self.target, by.classifier, by.n_neighbors, self._known), D)

    def _known(self) -> Floats:
        return self.between(self.training, self.training)


SAMPLE_DISTANCES: dict[str, SampleDistance] = {"clr": Clr(), "pilot": Pilot(), "gloscope": Gloscope()}


def rival(name: RivalName, base: ByDistance) -> Method:
    """Return the method of that name; those with distances have the classifier of `base`, and its solver."""
    if name in SAMPLE_DISTANCES:
        return BySampleDistance(SAMPLE_DISTANCES[name], base.classifier, base.n_neighbors)
    if name in CELL_METRICS:
        return ByDistance(LabelledCells(name), base.classifier, base.n_neighbors, base.solver)
    return Majority() if name == "majority" else Profiles(name)  # type: ignore[arg-type]  # mypy does not narrow by `in`
