"""What cells and features add to the gap: how much farther apart classes are than the samples within them."""

import numpy as np

from scggml._core.cohort import Cohort, Floats, Integers
from scggml._core.initial import pair_weights
from scggml._core.plans import Plans
from scggml._core.products import pull_back
from scggml._core.solver import plan_gradient


def gap_weights(cohort: Cohort, pairs: Integers) -> tuple[Floats, Floats]:
    """(n_pairs,) weights of the mean distance between classes and of that within, classes counting equally."""
    within, between = pair_weights(cohort, pairs)
    return between, within


def entry_distances(points: Floats, plans: Plans, *, squared: bool) -> Floats:
    """(n_entries,) ground cost that each entry of the plans pays; `points` (n_cells, k) are the projected cells."""
    moves = points[plans.source] - points[plans.target]
    squares: Floats = np.einsum("ij,ij->i", moves, moves)
    return squares if squared else np.sqrt(squares)


def cell_contributions(points: Floats, plans: Plans, weights: Floats, *, squared: bool) -> Floats:
    r"""(n_cells,) what each cell adds to the weighted sum of the distances of the pairs.

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
    r"""(n_genes,) what each gene adds to the weighted sum of the distances of the pairs.

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
    """(n_cells,) contributions by the weight of the cell: how much farther it is from other classes than from its own.

    Averaged over cells, samples and classes it is the gap; NaN for a cell without weight.
    """
    counts = np.bincount(cohort.labels, minlength=len(cohort.classes))
    share = cohort.weights / np.repeat(counts[cohort.labels] * (counts > 0).sum(), cohort.sizes)
    return np.divide(contributions, share, out=np.full(len(share), np.nan), where=share > 0)


def type_flows(
    cohort: Cohort, types: Integers, n_types: int, points: Floats, plans: Plans, *, squared: bool
) -> tuple[Integers, Floats, Floats]:
    """Mass and distance that go from cell type to cell type, as means over the pairs of samples of two classes.

    Parameters
    ----------
    types
        (n_cells,) type of each cell.

    Returns
    -------
    (n_kinds, 2) classes a <= b that have pairs; (n_kinds, n_types, n_types) mass, of sum 1, from a type of class a to
    one of class b; and distance of the same shape, of sum the mean distance of the pairs. With a = b both are
    symmetric.
    """
    n_classes = len(cohort.classes)
    labels = cohort.labels[plans.pairs]
    low, high = labels.min(axis=1), labels.max(axis=1)
    code = low * n_classes + high
    kinds, kind, counts = np.unique(code, return_inverse=True, return_counts=True)
    turned = (labels[:, 0] > labels[:, 1])[plans.owner]  # the first sample is of the later class
    source, target = types[plans.source], types[plans.target]
    start, end = np.where(turned, target, source), np.where(turned, source, target)
    cell = (kind[plans.owner] * n_types + start) * n_types + end
    share = plans.mass / counts[kind[plans.owner]]
    shape = (len(kinds), n_types, n_types)
    size = int(np.prod(shape))
    mass: Floats = np.bincount(cell, share, size).astype(float).reshape(shape)
    paid = share * entry_distances(points, plans, squared=squared)
    distance: Floats = np.bincount(cell, paid, size).astype(float).reshape(shape)
    classes = np.stack([kinds // n_classes, kinds % n_classes], axis=1)
    own = classes[:, 0] == classes[:, 1]
    for flows in (mass, distance):
        flows[own] = (flows[own] + flows[own].transpose(0, 2, 1)) / 2
    return classes, mass, distance
