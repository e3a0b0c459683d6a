"""Contributions of cells to the gap: how much farther apart classes are than samples within them."""

from dataclasses import replace

import numpy as np

from scggml._core.cohort import Cohort, Floats, Integers
from scggml._core.transport.pairs import solve_distances
from scggml._core.transport.plans import GroundCost, Plans
from scggml._core.transport.solver import Solver


def entry_distances(points: Floats, plans: Plans, *, squared: bool) -> Floats:
    """Return (n_entries,) ground cost of each entry of the plans; `points` (n_cells, k) are the projected cells."""
    moves = points[plans.source] - points[plans.target]
    squares: Floats = np.einsum("ij,ij->i", moves, moves)
    return squares if squared else np.sqrt(squares)


def cell_contributions(points: Floats, plans: Plans, weights: Floats, *, squared: bool) -> Floats:
    r"""Return (n_cells,) what each cell adds to the weighted sum of the distances of the pairs.

    An entry of mass T_ij pays :math:`T_{ij} d_{ij}`, half of it on account of either cell, so that with the weight 1
    for one pair the cells of its two samples add up to its distance.
    """
    paid = 0.5 * plans.mass * entry_distances(points, plans, squared=squared) * weights[plans.owner]
    n = len(points)
    return np.bincount(plans.source, paid, n).astype(float) + np.bincount(plans.target, paid, n)


def excess(cohort: Cohort, contributions: Floats) -> Floats:
    """Return (n_cells,) contributions by weight: how much farther a cell is from other classes than from its own.

    Averaged over cells, samples and classes it is the gap; NaN for a cell without weight.
    """
    counts = np.bincount(cohort.labels, minlength=len(cohort.classes))
    share = cohort.weights / np.repeat(counts[cohort.labels] * (counts > 0).sum(), cohort.sizes)
    return np.divide(contributions, share, out=np.full(len(share), np.nan), where=share > 0)


def type_flows(
    cohort: Cohort,
    types: Integers,
    n_types: int,
    points: Floats,
    plans: Plans,
    *,
    squared: bool,
    share: Floats | None = None,
) -> tuple[Floats, Floats, Floats]:
    """Return mass and distance that go from cell type to cell type, summed over the pairs of samples of two classes.

    Parameters
    ----------
    types
        (n_cells,) type of each cell.
    share
        (n_pairs,) how much each pair counts; 1 by default.

    Returns
    -------
    (C, C) number of pairs; (C, C, n_types, n_types) mass that goes from a type of class a to a type of class b, a <= b;
    and distance of the same shape.
    """
    n_classes = len(cohort.classes)
    labels = cohort.labels[plans.pairs]
    kind = labels.min(axis=1) * n_classes + labels.max(axis=1)
    turned = (labels[:, 0] > labels[:, 1])[plans.owner]  # the first sample is of the later class
    source, target = types[plans.source], types[plans.target]
    start, end = np.where(turned, target, source), np.where(turned, source, target)
    cell = (kind[plans.owner] * n_types + start) * n_types + end
    shape = (n_classes, n_classes, n_types, n_types)
    size = int(np.prod(shape))
    share = np.ones(len(plans.pairs)) if share is None else share
    moved = plans.mass * share[plans.owner]
    paid = moved * entry_distances(points, plans, squared=squared)
    counts = np.bincount(kind, share, minlength=n_classes**2).astype(float).reshape(n_classes, n_classes)
    mass, distance = (np.bincount(cell, part, size).astype(float).reshape(shape) for part in (moved, paid))
    return counts, mass, distance


def mean_flows(counts: Floats, mass: Floats, distance: Floats) -> tuple[Integers, Floats, Floats]:
    """Return means of the sums of `type_flows` over pairs of samples.

    Returns
    -------
    (n_kinds, 2) classes a <= b that have pairs; (n_kinds, n_types, n_types) mass, of sum 1; and distance of the same
    shape, of sum the mean distance of the pairs. With a = b both are symmetric.
    """
    classes = np.argwhere(counts > 0)
    a, b = classes.T
    own = a == b
    out = []
    for flows in (mass, distance):
        means = flows[a, b] / counts[a, b, None, None]
        means[own] = (means[own] + means[own].transpose(0, 2, 1)) / 2
        out.append(means)
    return classes, out[0], out[1]


def type_costs(points: Floats, plans: Plans, types: Integers, n_types: int, *, squared: bool) -> Floats:
    """Return (n_pairs, n_types) what each pair pays for each type.

    Half of an entry is put down to the type at either end, so that a pair adds up to its distance.
    """
    paid = 0.5 * plans.mass * entry_distances(points, plans, squared=squared)
    shape = (len(plans.pairs), n_types)
    out = np.zeros(shape)
    for kind in (types[plans.source], types[plans.target]):
        place = plans.owner.astype(np.int64) * n_types + kind
        out += np.bincount(place, paid, int(np.prod(shape))).reshape(shape)
    return out


def within_types(
    cohort: Cohort,
    points: Floats,
    pairs: Integers,
    types: Integers,
    n_types: int,
    *,
    cost: GroundCost,
    solver: Solver,
    n_jobs: int | None,
) -> Floats:
    r"""Return (n_pairs, n_types) what each pair would pay for each type if both samples had the same composition.

    The distance between the cells of a type in the one and in the other sample, times the mean of their shares of the
    samples. A type that one of the samples lacks pays nothing.
    """
    owner = np.repeat(np.arange(cohort.n_samples), cohort.sizes)
    shares = np.bincount(owner * n_types + types, cohort.weights, cohort.n_samples * n_types)
    shares = shares.reshape(cohort.n_samples, n_types)
    out = np.zeros((len(pairs), n_types))
    for t in range(n_types):
        there = np.flatnonzero(shares[:, t] > 0)
        number = np.full(cohort.n_samples, -1, dtype=np.int64)
        number[there] = np.arange(len(there))
        own = number[pairs]
        both = np.flatnonzero((own >= 0).all(axis=1))
        if len(both) == 0:
            continue
        rows = np.flatnonzero((types == t) & (cohort.weights > 0))
        sizes = np.bincount(number[owner[rows]], minlength=len(there))
        part = replace(
            cohort,
            points=points[rows],
            weights=cohort.weights[rows] / shares[owner[rows], t],
            offsets=np.concatenate([[0], np.cumsum(sizes)]),
            labels=cohort.labels[there],
            names=cohort.names[there],
            origin=None,
        )
        values = solve_distances(part, part.points, own[both], cost, solver=solver, n_jobs=n_jobs)
        out[both, t] = values * shares[pairs[both], t].mean(axis=1)
    return out


def kind_weights(pairs: Integers, codes: Integers, kinds: Integers, batch: Integers | None = None) -> Floats:
    """Return (n_kinds, n_pairs) weights under which a pair of classes a < b is compared with the pairs within either.

    The mean over the pairs of a and b (of one batch) less the mean of the means within a and within b; 0 throughout
    where one of these has no pair.
    """
    together = np.ones(len(pairs), dtype=bool) if batch is None else batch[pairs[:, 0]] == batch[pairs[:, 1]]
    classes = np.sort(codes[pairs], axis=1)
    out = np.zeros((len(kinds), len(pairs)))
    for row, (a, b) in zip(out, kinds, strict=True):
        parts = [(classes == kind).all(axis=1) for kind in ((a, b), (a, a), (b, b))]
        parts[0] &= together
        if all(part.any() for part in parts):
            for part, share in zip(parts, (1.0, -0.5, -0.5), strict=True):
                row[part] += share / part.sum()
    return out
