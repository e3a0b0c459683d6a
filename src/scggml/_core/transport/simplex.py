"""Kernels of exact optimal transport: a network simplex whose state is a spanning tree, from which it can go on later.

A pair of samples with n and m cells is a transportation problem on the nodes 0..n-1 (sources) and n..n+m-1 (sinks). A
basis is a spanning tree of its n m arcs, kept as `parent`; flows and potentials follow from it. Masses are whole
numbers, so flows are exact, and trees are strongly feasible (every arc without flow points to the root; Cunningham
1976), so degenerate pivots cannot cycle. Arcs are priced in single precision, many at once; an arc enters the basis,
and optimality is declared, only by reduced costs in double precision.

Everything that is compiled here lives in one file: the cache of numba notices a change of this file only.
"""

import math
from typing import Any, TypeAlias

import numpy as np
from llvmlite import ir
from numba.extending import intrinsic
from numpy.typing import NDArray

from scggml._core.compiled import compiled

Longs: TypeAlias = NDArray[np.int64]
Nodes: TypeAlias = NDArray[np.uint32]
Singles: TypeAlias = NDArray[np.float32]
Trees: TypeAlias = tuple[Longs, Nodes, tuple[Longs, Nodes, NDArray[np.int32]]]
Costs: TypeAlias = tuple[Singles, Singles, tuple[NDArray[np.float64], Singles, Singles]]

EUCLIDEAN, SQEUCLIDEAN, CITYBLOCK, CHEBYSHEV, MATRIX = range(5)
"""Ground costs; `MATRIX` reads the cost of (i, j) as `points[i, j]`."""

UNIT, DOUBLE_UNIT = 2.0**-24, 2.0**-53
"""Relative rounding errors of single and of double precision."""

FAINT = 1e-17
"""Costs that single precision may lose: their squares leave its range. (Cells are scaled to about 1.)"""

GROUP = 4
"""Rows that are priced together: `_minima` names each of them."""

PRICED = 800
"""About this many arcs are looked at before the best of them enters, and one group of rows at least."""

LANES = 16
"""Columns that are priced together: their number is a multiple of this, so that vector instructions leave no rest."""

NODE = np.uint32
"""Type of the nodes. With an unsigned index compiled code need not test whether it counts from the end."""

NONE = NODE(2**32 - 1)
"""No node, such as the parent of the root; -1 in a signed type."""

CLOSE = 1e-10
"""Share of the optimal cost that rounding may hide before reduced costs are summed up around their cycles."""

# Above every flow (masses add up to at most 2**60), so that an arc with this room never blocks a pivot.
BIG = np.int64(2**62)
# Finite: code that is compiled with fastmath may assume that there are no infinities.
INFINITE = np.float32(1e38)

# Counting references to arrays would take longer than the work of a pivot. Numba spares it where what runs for each
# pivot takes whole arrays and indices instead of views; `NRT_incref` in the code for LLVM shows where it does not.
# Without the GIL pairs run side by side in threads. The error model of numpy spares a test before each division.
_OPTIONS: dict[str, Any] = {"nogil": True, "error_model": "numpy", "no_cfunc_wrapper": True}
_INNER = _OPTIONS | {"no_cpython_wrapper": True}  # what is not needed takes time to compile
_jit = compiled(**_INNER)
_fast = compiled(fastmath=True, **_INNER)
_small = compiled(forceinline=True, **_INNER)
_small_fast = compiled(forceinline=True, fastmath=True, **_INNER)
_within = compiled(inline="always", **_INNER)  # for what has one caller, and is long to compile twice
_entry = compiled(**_OPTIONS)


@intrinsic
def _smaller(typing_context, x, y):
    """Return the smaller of two floats, in the one form that LLVM turns into vector instructions inside a loop."""

    def generate(context, builder, signature, arguments):
        kind = arguments[0].type
        minimum = builder.module.declare_intrinsic("llvm.minnum", [kind], ir.FunctionType(kind, [kind, kind]))
        return builder.call(minimum, arguments, fastmath=("fast",))

    return x(x, y), generate


@_small
def _cost(mode, X, Y, i, j):
    """Return the ground cost between cell i of X and cell j of Y, in double precision."""
    # Computed when asked for, not stored: double precision is needed for arcs of the tree and a few candidates only.
    if mode == MATRIX:
        return X[i, j]
    out = 0.0
    for a in range(X.shape[1]):
        d = X[i, a] - Y[j, a]
        if mode == CITYBLOCK:
            out += abs(d)
        elif mode == CHEBYSHEV:
            out = max(out, abs(d))
        else:
            out += d * d
    return math.sqrt(out) if mode == EUCLIDEAN else out


@_fast
def _add_squares(x, y, i, C, part):
    """Add the squared distances of row i of x (n, k) to the columns of y (k, m) to row i of C.

    Sums are taken 16 features at a time, which bounds their rounding.
    """
    # Differences are squared; |x|^2 + |y|^2 - 2 xy would be one matrix product, but loses the digits of near cells.
    # Columns are innermost and y is transposed, so that each loop runs over adjacent numbers.
    k, m = y.shape
    for start in range(0, k, 16):
        for j in range(m):
            part[j] = np.float32(0)
        for a in range(start, min(start + 16, k)):
            for j in range(m):
                d = x[i, a] - y[a, j]
                part[j] += d * d
        for j in range(m):
            C[i, j] += part[j]


@_fast
def _take_roots(C, i, m):
    for j in range(m):
        C[i, j] = math.sqrt(C[i, j])


@_jit
def _fill(mode, X, Y, X32, Yt32, C, part):
    """Return all costs in single precision in the first rows and columns of C; what is beyond them is never cheap."""
    n, m = X.shape[0], Yt32.shape[1]
    # The room is not initialized, and whatever it holds must not win the minimum of a row: padding is filled, too.
    for i in range(C.shape[0]):
        for j in range(C.shape[1]):
            C[i, j] = np.float32(0) if i < n and j < m else INFINITE
    for i in range(n):
        if mode > SQEUCLIDEAN:
            for j in range(m):
                C[i, j] = _cost(mode, X, Y, NODE(i), NODE(j))
            continue
        _add_squares(X32, Yt32, NODE(i), C, part)
        if mode == EUCLIDEAN:
            _take_roots(C, NODE(i), m)


@_small_fast
def _minima(C, i, v):
    """Return the least of row + v for each row of the group that begins with row i."""
    # Four rows share each load of v, and one minimum need not wait for another. They have names of their own, since an
    # array would be written to memory.
    i_1, i_2, i_3 = NODE(i + 1), NODE(i + 2), NODE(i + 3)
    least_0 = least_1 = least_2 = least_3 = INFINITE
    for j in range(v.shape[0] // LANES * LANES):
        least_0, least_1, least_2, least_3 = (
            _smaller(least_0, C[i, j] + v[j]),
            _smaller(least_1, C[i_1, j] + v[j]),
            _smaller(least_2, C[i_2, j] + v[j]),
            _smaller(least_3, C[i_3, j] + v[j]),
        )
    return least_0, least_1, least_2, least_3


@_small_fast
def _row_argmin(C, i, v, least):
    """Return the first column where row i + v is as low as its minimum."""
    # No early exit, which keeps LLVM from using vector instructions. If a sum is rounded otherwise than in `_minima`
    # and no column is found, any will do: an arc is priced in double precision before it enters.
    beyond = np.int32(v.shape[0])
    at = beyond
    for j in range(v.shape[0] // LANES * LANES):
        at = min(at, np.int32(j) if C[i, j] + v[j] <= least else beyond)
    return NODE(at) if at < beyond else NODE(0)


@_fast
def _row_count(C, i, v, limit):
    """Return the number of columns where row i + v is below a limit."""
    count = np.int32(0)
    for j in range(v.shape[0] // LANES * LANES):
        count += np.int32(1) if C[i, j] + v[j] < limit else np.int32(0)
    return count


@_jit
def _greedy(C, a, b, parent, left, open_columns, means):
    """Build a strongly feasible tree: each source ships to the sinks that are cheapest for it relative to others.

    A node gets its parent when it is used up. Where source and sink are used up together the sink goes first and the
    source goes on with nothing left: so arcs without flow point to the root, which is the sink that stays last.
    """
    n, m = a.shape[0], b.shape[0]
    # Costs count relative to the mean of their sink. By plain costs the sinks that are far from most sources would be
    # left over, and the last sources would have to serve them whatever it costs.
    for j in range(m):
        means[j] = np.float32(0)
    for i in range(n):
        for j in range(m):
            means[j] += C[i, j]
    for j in range(m):
        means[j] /= n
        left[j] = b[j]
        open_columns[j] = j
    n_open = m
    for i in range(n):
        r = a[i]
        # Each turn uses up a source or a sink: n + m - 1 turns over the open sinks, O((n + m) m) in all.
        while True:
            best, at = INFINITE, 0
            for q in range(n_open):
                j = open_columns[q]
                w = C[i, j] - means[j]
                if w < best:
                    best, at = w, q
            j = open_columns[at]
            # Not <=: the sink would stay open with nothing left, and an arc without flow would later lead from its
            # parent down to it, away from the root.
            if r < left[j] or n_open == 1:
                left[j] -= r
                parent[i] = n + j
                break
            r -= left[j]
            parent[n + j] = i
            n_open -= 1
            open_columns[at] = open_columns[n_open]
    # Both sides have the same mass, so the last sink is filled exactly when the last source is empty.
    parent[n + open_columns[0]] = NONE


@_jit
def _hang(parent, first, following, thread, back, depth):
    """Find the preorder of the tree as a ring (`thread`, and `back` against it), and depths; return the root."""
    # Lists of children: the first one of each node, and the next one of the same parent.
    root = NODE(0)
    for x in range(parent.shape[0]):
        first[x] = NONE
    for x in range(parent.shape[0]):
        p = parent[x]
        if p == NONE:
            root = NODE(x)
            following[x] = NONE
        else:
            following[x] = first[p]
            first[p] = x
    # In preorder each subtree is one run of the ring, which a pivot can move by linking its ends. Without recursion,
    # since a tree may be nearly as deep as it has nodes. O(n + m).
    last = root
    depth[root] = 0
    while True:
        child = first[last]
        if child == NONE:
            up = last
            while up != root and following[up] == NONE:
                up = parent[up]
            if up == root:
                break
            child = following[up]
        depth[child] = depth[parent[child]] + 1
        thread[last], back[child] = child, last
        last = child
    thread[last], back[root] = root, last
    return root


@_jit
def _flows(root, parent, back, a, b, flow):
    """Compute the flow on the arc between each node and its parent, from the leaves to the root."""
    # Flows follow from masses and the tree; costs are not used. So a tree stays feasible when the cells move, and the
    # last one is a valid start under the next metric: that is why trees are kept. The same holds for strong
    # feasibility.
    n = a.shape[0]
    for i in range(n):
        flow[i] = a[i]
    for j in range(b.shape[0]):
        flow[n + j] = -b[j]
    # Against preorder, a node comes after all that is below it, so that its sum is complete. Up to here a sum is what a
    # subtree has to give; what the subtree of a sink lacks comes down from the parent, hence the sign.
    x = back[root]
    while x != root:
        flow[parent[x]] += flow[x]
        if x >= n:
            flow[x] = -flow[x]
        x = back[x]
    flow[root] = 0


@_jit
def _potentials(mode, X, Y, root, parent, thread, depth, flow, pot, pot32):
    """Compute potentials with cost(i, j) = pot[i] - pot[j] on the arcs of the tree.

    Returns the largest magnitude among them, a bound for the rounding of a reduced cost that they give while they are
    new, and what the flows cost. A potential is a sum along the tree: a rounding of DOUBLE_UNIT * top for each arc. So
    a reduced cost below minus the bound is truly negative, and a pivot there is one of the simplex method in exact
    arithmetic, of which none can come twice. (Each pivot since adds a rounding. The last round starts again, and if
    rounding ever led astray, the limit of pivots would raise.)
    """
    # In preorder a parent comes before its children. O((n + m) k), costs included.
    n = NODE(X.shape[0])
    pot[root], pot32[root] = 0.0, np.float32(0)
    top, deepest, total, x = 0.0, 0, 0.0, thread[root]
    while x != root:
        p = parent[x]
        if x < n:
            cost = _cost(mode, X, Y, x, NODE(p - n))
            value = pot[p] + cost
        else:
            cost = _cost(mode, X, Y, p, NODE(x - n))
            value = pot[p] - cost
        pot[x], pot32[x] = value, np.float32(value)
        top = abs(value) if abs(value) > top else top
        deepest = depth[x] if depth[x] > deepest else deepest
        total += cost * flow[x]
        x = thread[x]
    return top, DOUBLE_UNIT * (2 * deepest + 8) * top, total


@_jit
def _pivot(i, j, reduced, n, parent, thread, back, depth, flow, pot, pot32):
    """Take the arc from source i to sink j (a node) into the tree, and the arc that blocks it out.

    Of several blocking arcs the last one on the cycle leaves, seen from its apex along the entering arc: that keeps the
    tree strongly feasible.
    """
    # The entering arc sends flow from i to j. It returns up the tree from j to the apex, and down to i. So it runs
    # against the arcs of sources on the side of i, and of sinks on the side of j: these lose flow and may block, all
    # others gain.
    # The deeper end climbs, so that the two meet at the apex after as many steps as the cycle is long.
    x, y, x_depth, y_depth = i, j, depth[i], depth[j]
    least_x, least_y, out_x, out_y = BIG, BIG, i, j
    while x != y:
        if x_depth >= y_depth:
            f = flow[x] if x < n else BIG
            # Strict: among equal arcs the lowest one, which the cycle passes last on its way down.
            if f < least_x:
                least_x, out_x = f, x
            x = parent[x]
            x_depth -= 1
        if y_depth > x_depth:
            f = flow[y] if y >= n else BIG
            # Not strict: among equal arcs the highest one, which the cycle passes last on its way up.
            if f <= least_y:
                least_y, out_y = f, y
            y = parent[y]
            y_depth -= 1
    apex = x
    # On a tie between the sides the one of j, which comes after the entering arc. The part that is cut off holds the
    # end of the entering arc on that side. All of its potentials move by the reduced cost, which makes that of the arc
    # 0.
    if least_y <= least_x:
        moved, out, inner, outer, shift = least_y, out_y, j, i, -reduced
    else:
        moved, out, inner, outer, shift = least_x, out_x, i, j, reduced
    # Most pivots are degenerate: they change the tree and the potentials, but no flow.
    if moved > 0:
        x = i
        while x != apex:
            flow[x] += -moved if x < n else moved
            x = parent[x]
        y = j
        while y != apex:
            flow[y] += moved if y < n else -moved
            y = parent[y]

    # What hangs below `out` is turned round and hung up again, from `inner` to `out`, piece by piece of the ring.
    x, new_parent, new_flow, tail, new_depth = inner, outer, moved, outer, depth[outer] + 1
    # A piece is a node on the way from `inner` to `out` with what is below it and was not moved yet: a run of the ring,
    # as long as nodes are deeper than the first one. The arc to the old parent stays and is seen from its other end, so
    # that its flow goes to the old parent. The time is that of the part that moves, not of the tree.
    while True:
        old_parent, old_flow, old_depth, before = parent[x], flow[x], depth[x], back[x]
        z, last, change = x, x, new_depth - old_depth
        while True:
            depth[z] += change
            value = pot[z] + shift
            pot[z], pot32[z] = value, np.float32(value)
            last, z = z, thread[z]
            if depth[z] <= old_depth:
                break
        thread[before], back[z] = z, before
        after = thread[tail]
        thread[tail], back[x] = x, tail
        thread[last], back[after] = after, last
        parent[x], flow[x] = new_parent, new_flow
        if x == out:
            break
        tail, new_parent, new_flow, new_depth, x = last, x, old_flow, new_depth + 1, old_parent


@_small
def _likely_arc(C, u, v, group, n_looked, doubtful):
    """Find row and column of the lowest reduced cost in some groups; NONE if rounding may have made it negative."""
    # Above -doubtful the sign may be wrong, and arcs would be priced again in vain; the rounds in double precision see
    # to them.
    row, best, row_least = NONE, -doubtful, INFINITE
    for _ in range(n_looked):
        i = NODE(GROUP * group)
        minima = _minima(C, i, v)
        for r in range(GROUP):
            # Rows of padding read u beyond its end, which is v: still numbers, and INFINITE minus one of them is never
            # best.
            if minima[r] - u[NODE(i + r)] < best:
                row, row_least = NODE(i + r), minima[r]
                best = row_least - u[row]
        group = group + 1 if GROUP * (group + 1) < C.shape[0] else 0
    # Minima are found without their columns, which is quicker; that of the best row is looked up at the end.
    return row, _row_argmin(C, NODE(0) if row == NONE else row, v, row_least)


@_small
def _around(mode, X, Y, i, j, parent, depth):
    """Sum the reduced cost of the arc from cell i to cell j around its cycle; return it with a bound for its rounding.

    Potentials carry the rounding of the largest of them; here a cell far away costs only cycles through itself digits.
    """
    n = NODE(X.shape[0])
    total = _cost(mode, X, Y, i, j)
    largest, steps, x, y = abs(total), 2, i, NODE(n + j)
    # The cost of an arc that the cycle runs against is subtracted (see `_pivot`).
    while x != y:
        left = depth[x] >= depth[y]
        z = x if left else y
        p = parent[z]
        cost = _cost(mode, X, Y, z if z < n else p, NODE((p if z < n else z) - n))
        total += cost if (z < n) != left else -cost
        largest, steps = max(largest, abs(total)), steps + 1
        if left:
            x = p
        else:
            y = p
    return total, DOUBLE_UNIT * 2 * steps * largest


@_jit
def _certain_arc(mode, X, Y, C, u, v, pot, group, degrees, doubtful, exact, careful, parent, depth):
    """Find row, column and value of the lowest reduced cost in one group in double precision; NONE if none is negative.

    In a row without doubtful arcs beside those of the tree, none can have a negative cost.
    """
    n, m = X.shape[0], pot.shape[0] - X.shape[0]
    row, column, best = NONE, NONE, 0.0
    for i in range(GROUP * group, min(GROUP * (group + 1), n)):
        limit = u[i] + doubtful
        # Reduced costs of arcs of the tree are 0 and below the limit, so they are all counted: more than these are in
        # doubt. (Degrees are those at the start of the round. After a pivot they may hide an arc until the next round,
        # and there is a next round after each pivot.)
        if _row_count(C, NODE(i), v, limit) > degrees[i]:
            for j in range(m):
                if C[i, j] + v[j] < limit:
                    reduced, bound = _cost(mode, X, Y, NODE(i), NODE(j)) - pot[i] + pot[n + j], exact
                    if careful and abs(reduced) <= exact:
                        reduced, bound = _around(mode, X, Y, NODE(i), NODE(j), parent, depth)
                    if reduced < -bound and reduced < best:
                        row, column, best = NODE(i), NODE(j), reduced
    return row, column, best


@_jit
def _count_arcs(parent, degrees):
    """Count the arcs of the tree at each node."""
    for x in range(parent.shape[0]):
        degrees[x] = 0 if parent[x] == NONE else 1
    for x in range(parent.shape[0]):
        if parent[x] != NONE:
            degrees[parent[x]] += 1


@_within
def _solve(mode, X, Y, X32, Yt32, a, b, mass, parent, warm, max_pivots, reach, C, trees, costs):
    """Find the optimal tree (in `parent`, flows in `trees`); return its cost times the mass, and the number of pivots.

    The number of pivots is -1 if they did not suffice. No cost is above `reach`.
    """
    n, n_nodes = a.shape[0], parent.shape[0]
    # Room is shared: `first` is free before `_hang` and after it, `part` after `_fill`, the second row of flows always.
    flows, nodes, depth = trees
    flow, first, following, thread, back = flows[0], nodes[0], nodes[1], nodes[2], nodes[3]
    pots, pots32, part = costs
    pot, pot32 = pots[:n_nodes], pots32[-n % LANES :]  # those of the sinks begin where vector registers like it
    v = pot32[n : n + C.shape[1]]
    # Padding must be numbers, too: a NaN in one lane would spoil a minimum.
    for j in range(v.shape[0]):
        v[j] = np.float32(0)
    _fill(mode, X, Y, X32, Yt32, C, part)
    if not warm:
        _greedy(C, a, b, parent, flows[1], first, part)
    # Only parents come from the last solution. The rest is found again in O(n + m), which is little beside the costs.
    root = _hang(parent, first, following, thread, back, depth)
    _flows(root, parent, back, a, b, flow)

    # Rounding of a cost in single precision: that of the coordinates, a relative UNIT each, moves it by UNIT * reach
    # (twice that, times the distance, if squared), and its sum of d terms, 16 at a time, by UNIT * (18 + d / 16) parts.
    rounding = UNIT * (24 + X32.shape[1] / 16) * reach + FAINT
    # Block search, the usual pivot rule of LEMON: the best arc of a block enters, and the next block begins where this
    # one ended. The best of all arcs would take n m steps for each pivot, and the first good one more pivots.
    n_groups = C.shape[0] // GROUP
    at_once = 1 + PRICED // (GROUP * C.shape[1])
    pivots, group, rough, going, reduced = 0, np.int64(0), True, True, 0.0
    while going and pivots < max_pivots:
        # A round in single precision goes on until nothing is found; then one in double precision follows the other.
        # Single precision reads half as much memory and prices twice as many arcs per instruction, but cannot prove
        # that none is left; double precision then looks only where single precision is in doubt.
        # Potentials are computed again in each round, since each pivot added a rounding to them.
        top, exact, value = _potentials(mode, X, Y, root, parent, thread, depth, flow, pot, pot32)
        # The two potentials are rounded to single precision, and so are the two sums that they enter.
        doubtful = np.float32(rounding + 4 * UNIT * top)
        # Without an arc below -exact, the flows cost at most exact * mass more than the optimum.
        careful = value != 0 and exact * mass > CLOSE * abs(value)
        if not rough:
            _count_arcs(parent, first)
        # The last round finds nothing anywhere. So no pivot has touched the potentials by which optimality is declared.
        going, seen = rough, 0
        while seen < n_groups and pivots < max_pivots:
            n_looked = min(at_once, n_groups - seen) if rough else 1
            if rough:
                row, column = _likely_arc(C, pot32, v, group, n_looked, doubtful)
                if row != NONE:
                    reduced = _cost(mode, X, Y, row, column) - pot[row] + pot[NODE(n + column)]
                    row = row if reduced < -exact else NONE
            else:
                row, column, reduced = _certain_arc(
                    mode, X, Y, C, pot32, v, pot, group, first, doubtful, exact, careful, parent, depth
                )
            # A rough round ends after a full turn without a pivot. One in double precision is a single turn: its bounds
            # hold for new potentials.
            group, seen = (group + n_looked) % n_groups, seen + n_looked
            if row != NONE:
                _pivot(row, NODE(n + column), reduced, n, parent, thread, back, depth, flow, pot, pot32)
                pivots, going, seen = pivots + 1, True, 0 if rough else seen
        rough = False
    # At the limit it is unknown whether the tree is optimal; an error is better than a distance that is too large.
    return value, (pivots if pivots < max_pivots else -1)


@_jit
def _load(e, offsets, units, pairs, shares, pool, start, a, b, parent):
    """Load whole masses of the cells of a pair and the tree that is kept; return the sum of masses of either side."""
    p, q = offsets[pairs[e, 0]], offsets[pairs[e, 1]]
    total = np.int64(0)
    # Where all cells of both samples weigh the same, small whole masses are exact (n against m cells: m / gcd and n /
    # gcd), while n equal parts of 2**60 are not whole. Then ties are true ties.
    for i in range(a.shape[0]):
        a[i] = shares[e, 0] if shares[e, 0] > 0 else units[p + i]
        total += a[i]
    for j in range(b.shape[0]):
        b[j] = shares[e, 1] if shares[e, 1] > 0 else units[q + j]
    if start >= 0:
        for x in range(parent.shape[0]):
            parent[x] = pool[start + x]
    return total


def room_for_trees(n_nodes: int) -> Trees:
    """Allocate room for the largest tree: masses of both sides; parents; flows, what `_hang` finds, and depths."""
    # Made in Python, once for many pairs: kernels that make arrays themselves take longer to compile.
    return (
        np.empty((2, n_nodes), dtype=np.int64),
        np.empty(n_nodes, dtype=NODE),
        (
            np.empty((2, n_nodes), dtype=np.int64),
            np.empty((4, n_nodes), dtype=NODE),
            np.empty(n_nodes, dtype=np.int32),
        ),
    )


def room_for_costs(n: int, m: int, k: int) -> Costs:
    """Allocate room for pairs of n and m cells in k dimensions: costs; cells turned; potentials, twice, and a row."""
    # A multiple of GROUP and of LANES is less than GROUP and LANES away, so that smaller pairs fit with their padding.
    return (
        _aligned((n + GROUP) * (m + LANES)),
        np.empty(k * m, dtype=np.float32),
        (np.empty(n + m), _aligned(n + m + 2 * LANES), np.empty(m, dtype=np.float32)),
    )


def _aligned(size: int) -> Singles:
    """Allocate room that is aligned for vector registers."""
    # LANES numbers are 64 bytes, a line of the cache; numpy promises less.
    room = np.empty(size + LANES, dtype=np.float32)
    return room[-(room.ctypes.data // room.itemsize) % LANES :]


@_entry
def solve_pairs(
    mode,
    points,
    singles,
    turned,
    reach,
    offsets,
    units,
    pairs,
    shares,
    pool,
    starts,
    warm,
    max_pivots,
    trees,
    costs,
    values,
):
    """Solve pairs one after the other; return how many were solved, all of them unless one ran out of pivots.

    points, singles, turned
        (N, k) cells in double and in single precision, and the latter transposed, (k, N).
    reach
        (P,) a bound for each sample; no cost between two samples is above the sum of theirs.
    offsets, units, shares
        Rows of the samples; whole masses of the cells, and of every cell of either side of a pair (`Clouds.shares`).
    pool, starts, warm
        The tree of pair e is `pool[starts[e]:]`, where to start if `warm[e]`. With `starts[e] < 0` it is not kept.
    trees, costs
        Room for the largest pair.
    values
        Written: optimal transport cost of each pair.
    """
    masses, parents, hung = trees
    matrix, cells, rest = costs
    k = turned.shape[0]
    for e in range(pairs.shape[0]):
        p, q = pairs[e]
        rows, columns = slice(offsets[p], offsets[p + 1]), slice(offsets[q], offsets[q + 1])
        n, m = offsets[p + 1] - offsets[p], offsets[q + 1] - offsets[q]
        height, width = -(-n // GROUP) * GROUP, -(-m // LANES) * LANES
        a, b, parent = masses[0, :n], masses[1, :m], parents[: n + m]
        total = _load(e, offsets, units, pairs, shares, pool, starts[e], a, b, parent)
        # A copy, since compiled code does not know that the rows of a slice are contiguous.
        others = cells[: k * m].reshape(k, m)
        for axis in range(k):
            for j in range(m):
                others[axis, j] = turned[axis, offsets[q] + j]
        value, pivots = _solve(
            mode,
            points[rows],
            points[columns],
            singles[rows],
            others,
            a,
            b,
            total,
            parent,
            warm[e],
            max_pivots,
            reach[p] + reach[q],
            matrix[: height * width].reshape(height, width),
            hung,
            rest,
        )
        # The tree that was kept stays as it is: it is still a valid start.
        if pivots < 0:
            return e
        values[e] = value / total
        # Each pair has a place of its own, so that threads write to one pool without locks.
        if starts[e] >= 0:
            for x in range(n + m):
                pool[starts[e] + x] = parent[x]
    return pairs.shape[0]


@_entry
def read_plans(offsets, units, pairs, shares, pool, starts, trees, source, target, mass, owner):
    """Write the entries of the plans, pair by pair, with rows of the cohort as source and target; return the count."""
    masses, parents, (flows, nodes, depth) = trees
    flow = flows[0]
    # A tree takes one number per node, a list of entries several; flows are found again in O(n + m) per pair.
    count = 0
    for e in range(pairs.shape[0]):
        p, q = pairs[e]
        n, m = offsets[p + 1] - offsets[p], offsets[q + 1] - offsets[q]
        a, b, parent = masses[0, :n], masses[1, :m], parents[: n + m]
        total = _load(e, offsets, units, pairs, shares, pool, starts[e], a, b, parent)
        root = _hang(parent, nodes[0], nodes[1], nodes[2], nodes[3], depth)
        _flows(root, parent, nodes[3], a, b, flow)
        for x in range(n + m):
            # Arcs without flow belong to the basis, not to the plan.
            if x != root and flow[x] > 0:
                i, j = (x, parent[x] - n) if x < n else (np.int64(parent[x]), x - n)
                source[count], target[count] = offsets[p] + i, offsets[q] + j
                mass[count], owner[count] = flow[x] / total, e
                count += 1
    return count


@_entry
def add_gradients(squared, points, source, target, slopes, out):
    """Add dL/dz of each cell to `out` (N, k), from entries of plans and dL/d(cost of the entry) of each."""
    for t in range(source.shape[0]):
        i, j = source[t], target[t]
        length = 0.0
        for axis in range(points.shape[1]):
            move = points[i, axis] - points[j, axis]
            length += move * move
        # At distance 0 the norm has no gradient; 0 is a subgradient.
        if length > 0:
            scale = slopes[t] * (2.0 if squared else 1 / math.sqrt(length))
            for axis in range(points.shape[1]):
                move = points[i, axis] - points[j, axis]
                out[i, axis] += scale * move
                out[j, axis] -= scale * move
