"""Contributions of cells and features to the gap: how much farther apart classes are than samples within them."""

import numpy as np

from scggml._core.cohort import Cohort, Floats, Integers
from scggml._core.transport.plans import Plans
from scggml._core.transport.products import pull_back
from scggml._core.transport.solver import plan_gradient


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


def feature_contributions(
    cohort: Cohort,
    points: Floats,
    components: Floats,
    plans: Plans,
    weights: Floats,
    *,
    squared: bool,
    axes: Floats | None,
) -> Floats:
    r"""Return (n_genes,) what each gene adds to the weighted sum of the distances of the pairs.

    D is homogeneous in W (of degree 1, or 2 if squared), so by Euler's theorem :math:`D = \sum_{ig} W_{ig}\,\partial D
    / \partial W_{ig}` (halved if squared), and the sum over i is the part of gene g.

    Parameters
    ----------
    points, components
        (n_cells, k) projected cells and (k, d) W.
    weights
        (n_pairs,) weight of each distance.
    axes
        (n_genes, d) orthonormal columns that carry features back to genes; None if features are to be kept.
    """
    slopes = pull_back(plan_gradient(points, plans, weights, squared=squared), cohort.points)
    if axes is not None:
        components, slopes = components @ axes.T, slopes @ axes.T
    parts = components * slopes
    out: Floats = parts.sum(axis=0) / (2 if squared else 1)
    return out


def excess(cohort: Cohort, contributions: Floats) -> Floats:
    """Return (n_cells,) contributions by weight: how much farther a cell is from other classes than from its own.

    Averaged over cells, samples and classes it is the gap; NaN for a cell without weight.
    """
    counts = np.bincount(cohort.labels, minlength=len(cohort.classes))
    share = cohort.weights / np.repeat(counts[cohort.labels] * (counts > 0).sum(), cohort.sizes)
    return np.divide(contributions, share, out=np.full(len(share), np.nan), where=share > 0)


def type_flows(
    cohort: Cohort, types: Integers, n_types: int, points: Floats, plans: Plans, *, squared: bool
) -> tuple[Floats, Floats, Floats]:
    """Return mass and distance that go from cell type to cell type, summed over the pairs of samples of two classes.

    Parameters
    ----------
    types
        (n_cells,) type of each cell.

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
    paid = plans.mass * entry_distances(points, plans, squared=squared)
    counts = np.bincount(kind, minlength=n_classes**2).astype(float).reshape(n_classes, n_classes)
    mass, distance = (np.bincount(cell, part, size).astype(float).reshape(shape) for part in (plans.mass, paid))
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
