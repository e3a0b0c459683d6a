"""Points that stand for the cells of each sample, and which cells each of them stands for."""

from dataclasses import replace

import numpy as np

from scggml._core.cohort import Cohort, Floats, Integers, Points
from scggml._core.transport.coreset import Coreset
from scggml._core.transport.summary import centers_of


def points_of_cells(
    cells: Cohort, summary: Coreset, types: Integers | None, rng: np.random.Generator
) -> tuple[Cohort, Integers, Integers | None]:
    """Return few points of each sample, of one cell type each, the point of each cell (-1: none), and their types."""
    points, weights, kinds, sizes = list[Points](), list[Floats](), list[Integers](), list[int]()
    owner = np.full(len(cells.points), -1, dtype=np.int64)
    first = 0
    for span in cells.spans(np.arange(cells.n_samples)):
        own = summary.owners(cells.points[span], cells.weights[span], rng)
        kept = np.flatnonzero(own >= 0)
        marks = own[kept] if types is None else own[kept] * (int(types.max()) + 1) + types[span][kept]
        found, place = np.unique(marks, return_inverse=True)
        centers, mass = centers_of(cells.points[span][kept], cells.weights[span][kept], place.ravel())
        owner[np.arange(span.start, span.stop)[kept]] = first + place.ravel()
        points.append(centers)
        weights.append(mass)
        sizes.append(len(found))
        if types is not None:
            kinds.append(found % (int(types.max()) + 1))
        first += len(found)
    summarized = replace(
        cells,
        points=np.concatenate(points),
        weights=np.concatenate(weights),
        offsets=np.concatenate([[0], np.cumsum(sizes)]),
    )
    return summarized, owner, np.concatenate(kinds) if types is not None else None
