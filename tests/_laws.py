"""Laws that distances between samples must hold to, whoever computes them.

A law takes a function that gives the (P, P) distances of a cohort and raises where the law is broken.
"""

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from scggml._core.cohort import Cohort, Floats, Integers

Distances = Callable[[Cohort], Floats]
Law = Callable[[Distances, Cohort], None]

RTOL = 1e-10


def _same(found: Floats, truth: Floats) -> None:
    np.testing.assert_allclose(found, truth, rtol=RTOL, atol=RTOL * np.abs(truth).max())


def rebuilt(cohort: Cohort, rows: list[Integers], share: float = 1.0) -> Cohort:
    """Cohort whose sample p owns the given rows of the old one, each with `share` of its old weight."""
    every = np.concatenate(rows)
    return replace(
        cohort,
        points=cohort.points[every],
        weights=cohort.weights[every] * share,
        offsets=np.concatenate([[0], np.cumsum([len(own) for own in rows])]),
    )


def _rows(cohort: Cohort) -> list[Integers]:
    return [np.arange(start, stop) for start, stop in zip(cohort.offsets[:-1], cohort.offsets[1:], strict=True)]


def not_negative(distances: Distances, cohort: Cohort) -> None:
    assert (distances(cohort) >= 0).all()


def positive_between_different_samples(distances: Distances, cohort: Cohort) -> None:
    D = distances(cohort)
    assert (D[~np.eye(len(D), dtype=bool)] > 0).all()


def symmetric(distances: Distances, cohort: Cohort) -> None:
    D = distances(cohort)
    np.testing.assert_array_equal(D, D.T)


def zero_to_itself(distances: Distances, cohort: Cohort) -> None:
    np.testing.assert_array_equal(np.diag(distances(cohort)), 0.0)


def zero_to_a_copy(distances: Distances, cohort: Cohort) -> None:
    twice = cohort.take(np.repeat(np.arange(cohort.n_samples), 2))
    D = distances(twice)
    np.testing.assert_allclose(D[::2, 1::2].diagonal(), 0.0, atol=RTOL * D.max())


def triangle(distances: Distances, cohort: Cohort) -> None:
    D = distances(cohort)
    detours = (D[:, :, None] + D[None, :, :]).min(axis=1)
    assert (D <= detours + RTOL * D.max()).all()


def ignores_the_order_of_cells(distances: Distances, cohort: Cohort) -> None:
    rng = np.random.default_rng(1)
    shuffled = rebuilt(cohort, [rng.permutation(own) for own in _rows(cohort)])
    _same(distances(shuffled), distances(cohort))


def ignores_the_order_of_samples(distances: Distances, cohort: Cohort) -> None:
    order = np.random.default_rng(2).permutation(cohort.n_samples)
    assert (order != np.arange(cohort.n_samples)).any()
    _same(distances(cohort.take(order)), distances(cohort)[np.ix_(order, order)])


def depends_on_two_samples_only(distances: Distances, cohort: Cohort) -> None:
    kept = np.arange(0, cohort.n_samples, 2)
    _same(distances(cohort.take(kept)), distances(cohort)[np.ix_(kept, kept)])


def ignores_duplicates_of_halved_weight(distances: Distances, cohort: Cohort) -> None:
    doubled = rebuilt(cohort, [np.concatenate([own, own[::-1]]) for own in _rows(cohort)], share=0.5)
    _same(distances(doubled), distances(cohort))


def ignores_cells_without_weight(distances: Distances, cohort: Cohort) -> None:
    """Of each sample: a far cell before the others and one after them."""
    rng = np.random.default_rng(3)
    points, weights, sizes = [], [], []
    for own in _rows(cohort):
        far = 10 * rng.standard_normal((2, cohort.n_features))
        points += [far[:1], cohort.points[own], far[1:]]
        weights += [[0.0], cohort.weights[own], [0.0]]
        sizes.append(len(own) + 2)
    padded = replace(
        cohort,
        points=np.concatenate(points),
        weights=np.concatenate(weights),
        offsets=np.concatenate([[0], np.cumsum(sizes)]),
    )
    _same(distances(padded), distances(cohort))


def of_one_cell_the_cost_itself(distances: Distances, cohort: Cohort) -> None:
    """With the first sample cut down to one cell, each distance from it is the mean cost, known in pairs of cells."""
    rows = _rows(cohort)
    one = rebuilt(cohort, [rows[0][:1], *rows[1:]])
    one.weights[0] = 1.0
    every = np.concatenate([rows[0][:1], *rows[1:]])
    cells = replace(
        cohort,
        points=cohort.points[every],
        weights=np.ones(len(every)),
        offsets=np.arange(len(every) + 1),
        labels=np.zeros(len(every), dtype=np.int64),
        names=np.arange(len(every)).astype(str),
    )
    costs = distances(cells)[0]
    means = [np.average(costs[own], weights=one.weights[own]) for own in _rows(one)]
    _same(distances(one)[0], np.array(means))


def of_degree(degree: int) -> Law:
    """Cells times 3: distances times 3^degree."""

    def homogeneous(distances: Distances, cohort: Cohort) -> None:
        scaled = replace(cohort, points=3.0 * cohort.points)
        _same(distances(scaled), 3.0**degree * distances(cohort))

    homogeneous.__name__ = f"of_degree_{degree}"
    return homogeneous


def ignores_translation(distances: Distances, cohort: Cohort) -> None:
    moved = replace(cohort, points=cohort.points + np.linspace(-5, 5, cohort.n_features))
    _same(distances(moved), distances(cohort))


def ignores_rotation(distances: Distances, cohort: Cohort) -> None:
    turn = np.linalg.qr(np.random.default_rng(4).standard_normal((cohort.n_features, cohort.n_features)))[0]
    _same(distances(replace(cohort, points=cohort.points @ turn)), distances(cohort))


OF_ALL: list[Law] = [
    not_negative,
    positive_between_different_samples,
    symmetric,
    zero_to_itself,
    zero_to_a_copy,
    ignores_the_order_of_cells,
    ignores_the_order_of_samples,
    depends_on_two_samples_only,
    ignores_duplicates_of_halved_weight,
    ignores_cells_without_weight,
    of_one_cell_the_cost_itself,
]
"""Laws of every exact distance under every ground cost."""
