"""Transport within one cohort by the network simplex of this package: each pair goes on from its last basis."""

from contextlib import nullcontext
from copy import copy
from dataclasses import replace
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from scggml._core.cohort import Cohort, Floats, Integers, Names, Points
from scggml._core.threads import all_in_threads, n_threads, one_blas_thread, split
from scggml._core.transport import simplex
from scggml._core.transport.masses import Clouds, Scaled, clouds_of, directions, scaled
from scggml._core.transport.plans import GroundCost, Plans, check_differentiable

MODES: dict[GroundCost, int] = {
    "euclidean": simplex.EUCLIDEAN,
    "sqeuclidean": simplex.SQEUCLIDEAN,
    "cosine": simplex.SQEUCLIDEAN,  # of unit vectors
    "cityblock": simplex.CITYBLOCK,
    "chebyshev": simplex.CHEBYSHEV,
}

Entries: TypeAlias = tuple[simplex.Trees, NDArray[np.int32], NDArray[np.int32], Floats, NDArray[np.int32]]

LEAST, MOST = 1e6, 2e7
"""Costs (cells times cells) that are worth a piece of work for a thread, and that a user may have to wait for."""

WIDE = 150
"""Features from which on costs come from products of matrices, which then take less time."""

GROUP = 2.0**21
"""Costs by products that are held at a time, as far as one pair has not more."""

CLOSE = 1e-5
"""Squared distances below this share of the squared lengths are computed from differences: products lose 5 digits."""

LEAST_ENTRIES = 2**13
"""Entries of plans that are worth a buffer of their own."""

ENTRIES = 2**13
"""Entries of plans that are read at a time for gradients, as far as one plan has not more."""

BUFFER = 2**23
"""Numbers in all buffers that gradients are added up in, as far as one is not larger."""


class Warm:
    """Transport within one cohort; the trees of its pairs are kept from one `solve` to the next.

    Parameters
    ----------
    max_iter
        Limit of pivots per pair.
    cache_size
        Megabytes of trees that are kept.
    """

    def __init__(self, cohort: Cohort, *, max_iter: int, cache_size: float, n_jobs: int | None) -> None:
        self._clouds, self._names = clouds_of(cohort), cohort.names
        self._n_cells = len(cohort.weights)
        self._max_iter, self._n_jobs = max_iter, n_jobs
        self._sizes = np.diff(self._clouds.offsets)
        # A tree is kept as its parents alone; flows and potentials follow from it in less time than costs take.
        self._pool: NDArray[np.signedinteger] = np.empty(0, dtype=node_type(2 * self._sizes.max()))
        self._room = int(cache_size * 1e6) // self._pool.itemsize
        self._kept_until = 0
        # By ordered pair: parents name sources and sinks, so the tree of (p, q) does not serve (q, p).
        self._place = np.full((cohort.n_samples, cohort.n_samples), -1, dtype=np.int64)

    def fork(self, n_jobs: int | None) -> "Warm":
        """Return a transport of the same cohort that goes on from the trees here, and leaves these as they are."""
        other = copy(self)
        other.__dict__.pop("_last", None)  # its trees may lie beyond those that are kept
        other._n_jobs = n_jobs
        other._pool, other._place = self._pool[: self._kept_until].copy(), self._place.copy()
        return other

    def solve(self, points: Points, pairs: Integers, cost: GroundCost) -> Floats:
        """Solve different pairs and remember their trees."""
        starts, warm = self._reserve(pairs)
        wide = is_wide(points, cost)
        kernel: Any = solve_wide_group if wide else solve_piece_of
        cells: Any = wide_cells(self._clouds, points) if wide else prepared(self._clouds, points, cost)

        def solve_piece(piece: Any) -> Floats:
            solved: Floats = kernel(
                self._clouds,
                cells,
                pairs[piece],
                cost,
                pool=self._pool,
                starts=starts[piece],
                warm=warm[piece],
                max_iter=self._max_iter,
                names=self._names,
            )
            return solved

        pieces: list[Any] = wide_groups(pairs, self._sizes) if wide else self._pieces(pairs)
        values = np.empty(len(pairs))
        # Threads of BLAS would wait for those of ours, and the last digits of a product depend on their number.
        with one_blas_thread() if wide else nullcontext():
            for piece, solved in zip(pieces, all_in_threads(solve_piece, pieces, self._n_jobs), strict=True):
                values[piece] = solved
        # Noted only when all are solved: after an error some of the new places hold no tree.
        # What is beyond `_kept_until` can be read until the next `solve` writes over it.
        self._place[pairs[:, 0], pairs[:, 1]] = np.where(starts < self._kept_until, starts, -1)
        self._last = np.asarray(points, dtype=np.float64), pairs, starts, values, cost
        return values

    def _pieces(self, pairs: Integers) -> list[slice]:
        """Return runs of pairs of about the same work, a few for each thread."""
        # Eight pieces per thread even out that some pairs need many more pivots than others. Smaller pieces than LEAST
        # would cost more in calls than they gain; an interrupt waits for the pieces that have begun, hence MOST.
        if len(pairs) * float(self._sizes.max()) ** 2 <= LEAST:
            return [slice(0, len(pairs))]
        work = np.prod(self._sizes[pairs].astype(np.float64), axis=1)
        return split(work, np.clip(work.sum() / (8 * n_threads(self._n_jobs)), LEAST, MOST))

    def _reserve(self, pairs: Integers) -> tuple[Integers, NDArray[np.bool_]]:
        """Return places in the pool: known ones, then new ones, of which as many are kept as there is room for."""
        # A pair keeps its place for good, and new places follow in the order of the pairs: none is shared, whatever
        # thread solves the pair.
        starts = self._place[pairs[:, 0], pairs[:, 1]]
        warm = starts >= 0
        if warm.all():
            return starts, warm
        ends = self._kept_until + np.cumsum(np.where(warm, 0, self._sizes[pairs].sum(axis=1)))
        starts = np.where(warm, starts, ends - self._sizes[pairs].sum(axis=1))
        # Trees that will not be kept get a place, too: plans and gradients of this solve are read from them.
        needed = int(ends[-1]) if len(ends) else 0
        if needed > len(self._pool):
            pool = np.empty(needed, dtype=self._pool.dtype)
            pool[: self._kept_until] = self._pool[: self._kept_until]
            self._pool = pool
        self._kept_until = max(self._kept_until, int(ends[ends <= self._room].max(initial=0)))
        return starts, warm

    def gradient(self, slopes: Floats) -> Floats:
        """Return dL/dpoints at the remembered trees, the same to the bit for any number of threads."""
        points, pairs, starts, _, cost = self._last
        check_differentiable(cost)
        clouds, kept = self._clouds, self._clouds.kept
        # Plans count as constants (envelope theorem), so that only costs of their entries are differentiated.
        points = np.ascontiguousarray(clouds.rows(points))
        # Pairs in no active triplet have slope 0, so their plans add nothing.
        needed = np.flatnonzero(slopes)
        # Each piece adds to a buffer of its own, without locks. The pieces do not depend on the number of threads, and
        # buffers are summed in their order, so that rounding does not either.
        entries = int(self._sizes[pairs[needed]].sum())
        n_buffers = max(1, min(16, BUFFER // max(1, points.size), entries // LEAST_ENTRIES))
        pieces = [part for part in np.array_split(needed, n_buffers) if len(part)]
        # Few plans at a time, so that their entries are still in the cache when they are used.
        at_once = max(1, ENTRIES // int(2 * self._sizes.max()))

        def add_piece(piece: Integers) -> Floats:
            out, room = np.zeros_like(points), self._room_for_entries(at_once * int(2 * self._sizes.max()))
            own, places, shares, weights = pairs[piece], starts[piece], clouds.shares(pairs[piece]), slopes[piece]
            for start in range(0, len(piece), at_once):
                part = slice(start, start + at_once)
                source, target, mass, owner = self._entries(own[part], places[part], shares[part], room)
                simplex.add_gradients(cost == "sqeuclidean", points, source, target, mass * weights[part][owner], out)
            return out

        total = np.zeros_like(points)
        for part in all_in_threads(add_piece, pieces, self._n_jobs):
            total += part
        if kept is None:
            return total
        # Cells without weight are in no plan: moving them changes no distance.
        out = np.zeros((self._n_cells, points.shape[1]))
        out[kept] = total
        return out

    def plans(self, part: slice = slice(None)) -> Plans:
        """Return plans at the remembered trees."""
        _, pairs, starts, values, _ = self._last
        pairs = pairs[part]
        # A plan of n and m cells has at most n + m - 1 entries, one for each arc of the tree.
        room = self._room_for_entries(int(self._sizes[pairs].sum()))
        source, target, mass, owner = self._entries(pairs, starts[part], self._clouds.shares(pairs), room)
        # The trees count the cells with weight only; plans name rows of the cohort.
        kept = self._clouds.kept
        if kept is not None:
            source, target = kept[source].astype(np.int32), kept[target].astype(np.int32)
        return Plans(pairs, values[part], source, target, mass, owner)

    def _room_for_entries(self, most: int) -> Entries:
        """Allocate room for the largest tree; and for source, target, mass and pair of entries."""
        source, target, owner = (np.empty(most, dtype=np.int32) for _ in range(3))
        return simplex.room_for_trees(2 * self._sizes.max()), source, target, np.empty(most), owner

    def _entries(
        self, pairs: Integers, starts: Integers, shares: Integers, room: Entries
    ) -> tuple[NDArray[np.int32], NDArray[np.int32], Floats, NDArray[np.int32]]:
        """Return source, target (among the cells with weight), mass and pair of each entry of the plans, in `room`."""
        clouds = self._clouds
        count = simplex.read_plans(clouds.offsets, clouds.units, pairs, shares, self._pool, starts, *room)
        _, source, target, mass, owner = room
        return source[:count], target[:count], mass[:count], owner[:count]


def node_type(n_nodes: int) -> type[np.int16] | type[np.int32]:
    """Return the smallest type that holds the nodes of a tree."""
    # With a sign, as -1 stands for no parent. 16 bits instead of 32 let `cache_size` hold twice as many trees.
    return np.int16 if n_nodes <= np.iinfo(np.int16).max else np.int32


def prepared(clouds: Clouds, points: Points, cost: GroundCost) -> Scaled:
    """Return the cells in the space and the form that the kernels need."""
    # The reach is a bound by the triangle inequality, so it is taken in the norm of the cost. The cosine distance is
    # none, but half of the squared distance between directions.
    order = {"cityblock": 1, "chebyshev": np.inf}.get(cost, 2)
    cells = scaled(clouds, directions(points) if cost == "cosine" else points, order)
    # no squared distance is above the sum of these: (x + y)^2 <= 2 x^2 + 2 y^2
    return replace(cells, reach=2 * cells.reach**2) if MODES[cost] == simplex.SQEUCLIDEAN else cells


def solve_piece_of(
    clouds: Clouds,
    cells: Scaled,
    pairs: Integers,
    cost: GroundCost,
    *,
    pool: NDArray[np.signedinteger],
    starts: Integers,
    warm: NDArray[np.bool_],
    max_iter: int,
    names: Names,
) -> Floats:
    """Return (n_pairs,) costs of the pairs in the units of the data, in this thread."""
    # Scratch room for the largest pair of the piece; each thread has its own.
    values = np.empty(len(pairs))
    n, m = np.diff(clouds.offsets)[pairs].max(axis=0, initial=1)
    solved = simplex.solve_pairs(
        MODES[cost],
        cells.points,
        cells.singles,
        cells.turned,
        cells.reach,
        clouds.offsets,
        clouds.units,
        pairs,
        clouds.shares(pairs),
        pool,
        starts,
        warm,
        max_iter,
        simplex.room_for_trees(n + m),
        simplex.room_for_costs(n, m, cells.points.shape[1]),
        values,
    )
    if solved < len(pairs):
        p, q = pairs[solved]
        raise out_of_pivots(max_iter, f"samples {str(names[p])!r} and {str(names[q])!r}")
    # The kernel has seen cells divided by the unit. A power of two, so that no digit is lost on the way back.
    if cost in ("sqeuclidean", "cosine"):
        values *= cells.unit**2 / (2 if cost == "cosine" else 1)
    else:
        values *= cells.unit
    return values


def out_of_pivots(max_iter: int, between: str) -> RuntimeError:
    """Return what to raise when a pair was not solved."""
    return RuntimeError(
        f"Exact(max_iter={max_iter}) did not reach the optimal plan between {between} within {max_iter} pivots; raise "
        'max_iter, or pass Exact(backend="pot").'
    )


def solve_once(cohort: Cohort, points: Points, pairs: Integers, cost: GroundCost, max_iter: int) -> Floats:
    """Return (n_pairs,) costs of the pairs, in this thread, without a memory of them."""
    return Warm(cohort, max_iter=max_iter, cache_size=0.0, n_jobs=1).solve(points, pairs, cost)


def is_wide(points: Points, cost: GroundCost) -> bool:
    """Return whether products of matrices are the faster way to the costs."""
    return points.shape[1] >= WIDE and cost in ("euclidean", "sqeuclidean")


def wide_cells(clouds: Clouds, points: Points) -> tuple[Floats, Floats]:
    """Return cells (N, k) around the origin, and the squares of their lengths (N,)."""
    cells = np.asarray(clouds.rows(points), dtype=np.float64)
    mean, squares = cells.mean(axis=0), np.einsum("ij,ij->i", cells, cells)
    # Products lose the digits that an offset common to all cells takes; a small one is not worth a copy of the cells.
    if mean @ mean > 0.1 * squares.mean():
        cells = cells - mean
        squares = np.einsum("ij,ij->i", cells, cells)
    return cells, squares


def wide_groups(pairs: Integers, sizes: Integers) -> list[Integers]:
    """Return positions of pairs with one first sample, few enough for the costs of a group to be held."""
    # The groups do not depend on the number of threads: the last digit of a product depends on its shape.
    order = np.argsort(pairs[:, 0], kind="stable")
    work = np.prod(sizes[pairs[order]].astype(np.float64), axis=1)
    edges = np.flatnonzero(np.diff(pairs[order, 0])) + 1
    groups = []
    for own in np.split(np.arange(len(order)), edges):
        groups += [order[own[part]] for part in split(work[own], GROUP)]
    return groups


def solve_wide_group(
    clouds: Clouds,
    cells: tuple[Floats, Floats],
    pairs: Integers,
    cost: GroundCost,
    *,
    pool: NDArray[np.signedinteger],
    starts: Integers,
    warm: NDArray[np.bool_],
    max_iter: int,
    names: Names,
) -> Floats:
    """Return (n_pairs,) costs of pairs with one first sample, in this thread."""
    offsets = clouds.offsets
    first = slice(offsets[pairs[0, 0]], offsets[pairs[0, 0] + 1])
    others = [np.arange(offsets[q], offsets[q + 1]) for q in pairs[:, 1]]
    C = costs_by_products(cells, first, np.concatenate(others))
    if cost == "euclidean":
        np.sqrt(C, out=C)
    # A power of two, so that no digit is lost: the kernel takes costs of magnitude 1.
    largest = float(C.max(initial=0.0))
    unit = float(2.0 ** np.ceil(np.log2(largest))) if largest > 0 else 1.0
    C /= unit
    shares, values, at = clouds.shares(pairs), np.empty(len(pairs)), 0
    for e, (rows, (p, q)) in enumerate(zip(others, pairs, strict=True)):
        n, m = first.stop - first.start, len(rows)
        block = np.ascontiguousarray(C[:, at : at + m])
        at += m
        # In mode MATRIX costs take the place of cells, and there are no coordinates to transpose.
        solved = simplex.solve_pairs(
            simplex.MATRIX,
            block,
            block.astype(np.float32),
            np.empty((0, n + m), dtype=np.float32),
            np.full(2, 0.5),
            np.array([0, n, n + m]),
            np.concatenate([clouds.units[first], clouds.units[rows]]),
            np.array([[0, 1]]),
            shares[e : e + 1],
            pool,
            starts[e : e + 1],
            warm[e : e + 1],
            max_iter,
            simplex.room_for_trees(n + m),
            simplex.room_for_costs(n, m, 0),
            values[e : e + 1],
        )
        if not solved:
            raise out_of_pivots(max_iter, f"samples {str(names[p])!r} and {str(names[q])!r}")
    return values * unit


def costs_by_products(cells: tuple[Floats, Floats], rows: slice, columns: Integers) -> Floats:
    """Return (n, m) squared distances between some cells and others."""
    X, squares = cells
    # Samples that follow each other need no copy of their cells.
    run = slice(columns[0], columns[-1] + 1) if columns[-1] - columns[0] == len(columns) - 1 else columns
    own, others = X[rows], X[run]
    C: Floats = own @ others.T
    C *= -2.0
    C += squares[rows, None]
    C += squares[columns]
    # Of two cells that are close together little is left of the lengths, and rounding rules: these are computed anew.
    i, j = np.nonzero(C < CLOSE * (squares[rows, None] + squares[columns]))
    step = max(1, 2**20 // X.shape[1])
    for part in (slice(start, start + step) for start in range(0, len(i), step)):
        C[i[part], j[part]] = ((own[i[part]] - others[j[part]]) ** 2).sum(axis=1)
    return C


def solve_matrix(
    a: Floats, b: Floats, cost: Floats, max_iter: int
) -> tuple[float, NDArray[np.int32], NDArray[np.int32], Floats]:
    """Return the optimal cost of one pair under any cost (n, m) of magnitude 1, and the entries of its plan."""
    # Cells without mass would bring arcs without flow that lead away from the root.
    rows, columns = np.flatnonzero(a), np.flatnonzero(b)
    n, n_nodes = len(rows), len(rows) + len(columns)
    # A cohort of two samples without coordinates: only masses are taken from it.
    pair = Cohort(
        points=np.empty((n_nodes, 0)),
        weights=np.concatenate([a[rows], b[columns]]),
        offsets=np.array([0, n, n_nodes]),
        labels=np.zeros(2, dtype=np.int64),
        names=np.array(["a", "b"]),
        classes=np.array(["all"]),
    )
    clouds = clouds_of(pair)
    pairs, starts = np.array([[0, 1]]), np.zeros(1, dtype=np.int64)
    C = np.ascontiguousarray(cost[np.ix_(rows, columns)], dtype=np.float64)
    # In mode MATRIX costs take the place of cells, and there are no coordinates to transpose. Costs are at most 1, so
    # 0.5 for each sample is a bound for their sum.
    nothing = np.empty((0, n_nodes), dtype=np.float32)
    values, pool = np.empty(1), np.empty(n_nodes, dtype=node_type(n_nodes))
    kept = (clouds.offsets, clouds.units, pairs, clouds.shares(pairs), pool, starts)
    cells, warm = (C, C.astype(np.float32), nothing, np.full(2, 0.5)), np.zeros(1, dtype=np.bool_)
    trees, costs = simplex.room_for_trees(n_nodes), simplex.room_for_costs(n, n_nodes - n, 0)
    if not simplex.solve_pairs(simplex.MATRIX, *cells, *kept, warm, max_iter, trees, costs, values):
        raise out_of_pivots(max_iter, "the two samples")
    source, target, owner = (np.empty(n_nodes, dtype=np.int32) for _ in range(3))
    mass = np.empty(n_nodes)
    count = simplex.read_plans(*kept, trees, source, target, mass, owner)
    return (
        float(values[0]),
        rows[source[:count]].astype(np.int32),
        columns[target[:count] - n].astype(np.int32),
        mass[:count],
    )
