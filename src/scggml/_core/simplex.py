"""Kernels of exact optimal transport: a network simplex whose state is a spanning tree, from which it can go on later.

A pair of samples with n and m cells is a transportation problem on the nodes 0..n-1 (sources) and n..n+m-1 (sinks). A
basis is a spanning tree of its n m arcs, kept as `parent`; flows and potentials follow from it. Masses are whole
numbers, so flows are exact, and trees are strongly feasible (every arc without flow points to the root; Cunningham
1976), so degenerate pivots cannot cycle. Arcs are priced in single precision, many at once; an arc enters the basis,
and optimality is declared, only by reduced costs in double precision.

Everything that is compiled here lives in one file: the cache of numba notices a change of this file only.
"""

import math
from typing import Any

import numpy as np
from llvmlite import ir
from numba import njit
from numba.extending import intrinsic

EUCLIDEAN, SQEUCLIDEAN, CITYBLOCK, CHEBYSHEV, MATRIX = range(5)
"""Ground costs; `MATRIX` reads the cost of (i, j) as `points[i, j]`."""

UNIT, DOUBLE_UNIT = 2.0**-24, 2.0**-53
"""Relative rounding errors of single and of double precision."""

FAINT = 1e-17
"""Costs that single precision may lose: their squares leave its range. (Cells are scaled to about 1.)"""

PRICED = 1200
"""Arcs that are looked at before the best of them enters."""

BIG = np.int64(2**62)
INFINITE = np.float32(1e38)

_OPTIONS: dict[str, Any] = {"nogil": True, "cache": True, "error_model": "numpy", "no_cfunc_wrapper": True}
_INNER = _OPTIONS | {"no_cpython_wrapper": True}  # what is not needed takes time to compile
_jit = njit(**_INNER)
_fast = njit(fastmath=True, **_INNER)
_entry = njit(**_OPTIONS)


@intrinsic
def _smaller(typing_context, x, y):
    """The smaller of two floats, in the one form that LLVM turns into vector instructions inside a loop."""

    def generate(context, builder, signature, arguments):
        kind = arguments[0].type
        minimum = builder.module.declare_intrinsic("llvm.minnum", [kind], ir.FunctionType(kind, [kind, kind]))
        return builder.call(minimum, arguments, fastmath=("fast",))

    return x(x, y), generate


@_jit
def _cost(mode, X, Y, i, j):
    """Ground cost between cell i of X and cell j of Y, in double precision."""
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
def _add_squares(x, y, row, part):
    """Add the squared distances of x (k,) to the columns of y (k, m) to row (m,).

    Sums are taken 16 features at a time, which bounds their rounding.
    """
    m = row.shape[0]
    for start in range(0, x.shape[0], 16):
        for j in range(m):
            part[j] = np.float32(0)
        for a in range(start, min(start + 16, x.shape[0])):
            for j in range(m):
                d = x[a] - y[a, j]
                part[j] += d * d
        for j in range(m):
            row[j] += part[j]


@_fast
def _take_roots(row):
    for j in range(row.shape[0]):
        row[j] = math.sqrt(row[j])


@_jit
def _fill(mode, X, Y, X32, Yt32, C, part):
    """All costs in single precision, C (n, m)."""
    n, m = C.shape
    for i in range(n):
        row = C[i]
        if mode > SQEUCLIDEAN:
            for j in range(m):
                row[j] = _cost(mode, X, Y, i, j)
            continue
        for j in range(m):
            row[j] = np.float32(0)
        _add_squares(X32[i], Yt32, row, part)
        if mode == EUCLIDEAN:
            _take_roots(row)


@_fast
def _row_minimum(row, v):
    """Least of row + v."""
    best = INFINITE
    for j in range(row.shape[0]):
        best = _smaller(best, row[j] + v[j])
    return best


@_fast
def _row_argmin(row, v, least):
    """First column where row + v is as low as its minimum; positions are compared as floats, which is vectorized."""
    at = INFINITE
    for j in range(row.shape[0]):
        at = _smaller(at, np.float32(j) if row[j] + v[j] <= least else INFINITE)
    return min(np.int64(at), row.shape[0] - 1)


@_fast
def _row_count(row, v, limit):
    """Number of columns where row + v is below a limit."""
    count = np.int32(0)
    for j in range(row.shape[0]):
        count += np.int32(1) if row[j] + v[j] < limit else np.int32(0)
    return count


@_jit
def _greedy(C, a, b, parent, left, open_columns, means):
    """Strongly feasible tree: each source ships to the sinks that are cheapest for it, beside what they cost others.

    A node gets its parent when it is used up. Where source and sink are used up together the sink goes first and the
    source goes on with nothing left: so arcs without flow point to the root, which is the sink that stays last.
    """
    n, m = C.shape
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
        r, row = a[i], C[i]
        while True:
            best, at = INFINITE, 0
            for q in range(n_open):
                j = open_columns[q]
                w = row[j] - means[j]
                if w < best:
                    best, at = w, q
            j = open_columns[at]
            if r < left[j] or n_open == 1:
                left[j] -= r
                parent[i] = n + j
                break
            r -= left[j]
            parent[n + j] = i
            n_open -= 1
            open_columns[at] = open_columns[n_open]
    parent[n + open_columns[0]] = -1


@_jit
def _hang(parent, first, following, thread, back, depth):
    """Preorder of the tree as a ring (`thread`, and `back` against it), depth of each node; returns the root."""
    n_nodes = parent.shape[0]
    for x in range(n_nodes):
        first[x] = -1
    root = 0
    for x in range(n_nodes):
        p = parent[x]
        if p < 0:
            root = x
            following[x] = -1
        else:
            following[x] = first[p]
            first[p] = x
    x, last = root, root
    depth[root] = 0
    while True:
        child = first[x]
        if child < 0:
            while x != root and following[x] < 0:
                x = parent[x]
            if x == root:
                break
            child = following[x]
        x = child
        depth[x] = depth[parent[x]] + 1
        thread[last], back[x] = x, last
        last = x
    thread[last], back[root] = root, last
    return root


@_jit
def _flows(root, parent, back, a, b, flow):
    """Flow on the arc between each node and its parent, from the leaves to the root."""
    n = a.shape[0]
    for i in range(n):
        flow[i] = a[i]
    for j in range(b.shape[0]):
        flow[n + j] = -b[j]
    x = back[root]
    while x != root:
        flow[parent[x]] += flow[x]
        if x >= n:
            flow[x] = -flow[x]
        x = back[x]
    flow[root] = 0


@_jit
def _potentials(mode, X, Y, n, root, parent, thread, pot, pot32):
    """Potentials with cost(i, j) = pot[i] - pot[j] on the arcs of the tree; returns the largest magnitude."""
    pot[root], pot32[root] = 0.0, np.float32(0)
    top, x = 0.0, np.int64(thread[root])
    while x != root:
        p = np.int64(parent[x])
        step = _cost(mode, X, Y, min(x, p), max(x, p) - n)
        value = pot[p] + step if x < n else pot[p] - step
        pot[x], pot32[x] = value, np.float32(value)
        top = max(top, abs(value))
        x = np.int64(thread[x])
    return top


@_jit
def _tolerance(n_nodes, depth, top):
    """Bound for the rounding of a reduced cost in double precision, whose potentials are new.

    A potential is a sum along the tree: a rounding of DOUBLE_UNIT * top for each arc. So a reduced cost below minus
    this is truly negative, each pivot is one of the simplex method in exact arithmetic, and none can come twice.
    """
    deepest = 0
    for x in range(n_nodes):
        deepest = max(deepest, depth[x])
    return DOUBLE_UNIT * (2 * deepest + 8) * top


@_jit
def _pivot(i, j, reduced, n, parent, thread, back, depth, flow, pot, pot32):
    """Take the arc from source i to sink j (a node) into the tree, and the arc that blocks it out.

    Of several blocking arcs the last one on the cycle leaves, seen from its apex along the entering arc: that keeps the
    tree strongly feasible.
    """
    x, y, x_depth, y_depth = i, j, depth[i], depth[j]
    least_x, least_y, out_x, out_y = BIG, BIG, i, j
    while x != y:
        if x_depth >= y_depth:
            f = flow[x] if x < n else BIG
            if f < least_x:
                least_x, out_x = f, x
            x = parent[x]
            x_depth -= 1
        if y_depth > x_depth:
            f = flow[y] if y >= n else BIG
            if f <= least_y:
                least_y, out_y = f, y
            y = parent[y]
            y_depth -= 1
    apex = x
    if least_y <= least_x:
        moved, out, inner, outer, shift = least_y, out_y, j, i, -reduced
    else:
        moved, out, inner, outer, shift = least_x, out_x, i, j, reduced
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


@_jit
def _solve(mode, X, Y, X32, Yt32, a, b, parent, warm, max_pivots, reach, C, longs, ints, floats, singles):
    """Optimal tree in `parent`, flows in `longs[0]`; returns the optimal cost times the total mass, and the pivots.

    The number of pivots is -1 if they did not suffice. No cost is above `reach`.
    """
    n, m = a.shape[0], b.shape[0]
    n_nodes = n + m
    flow, spare = longs[0], longs[1]
    first, following, thread, back, depth = ints[0], ints[1], ints[2], ints[3], ints[4]
    pot, pot32, part = floats, singles[0], singles[1]
    v = pot32[n:n_nodes]
    _fill(mode, X, Y, X32, Yt32, C, part)
    if not warm:
        _greedy(C, a, b, parent, spare, first, part)
    root = _hang(parent, first, following, thread, back, depth)
    _flows(root, parent, back, a, b, flow)
    top = _potentials(mode, X, Y, n, root, parent, thread, pot, pot32)

    # Rounding of a cost in single precision: that of the coordinates, a relative UNIT each, moves it by UNIT * reach
    # (twice that, times the distance, if squared), and its sum of d terms, 16 at a time, by UNIT * (18 + d / 16) parts.
    rounding = UNIT * (24 + X32.shape[1] / 16) * reach + FAINT
    exact = _tolerance(n_nodes, depth, top)
    doubtful = np.float32(rounding + 4 * UNIT * top)

    pivots, i, clean = 0, 0, 0
    n_rows = 1 + PRICED // m
    while clean < n and pivots < max_pivots:
        best, row, row_least = -doubtful, -1, INFINITE
        for _ in range(min(n_rows, n - clean)):
            least = _row_minimum(C[i], v)
            if least - pot32[i] < best:
                best, row, row_least = least - pot32[i], i, least
            i = i + 1 if i + 1 < n else 0
            clean += 1
        if row >= 0:
            j = _row_argmin(C[row], v, row_least)
            reduced = _cost(mode, X, Y, row, j) - pot[row] + pot[n + j]
            if reduced < -exact:
                _pivot(row, n + j, reduced, n, parent, thread, back, depth, flow, pot, pot32)
                pivots += 1
                clean = 0

    # Now in double precision. In a row without doubtful arcs beside those of the tree, none can have a negative cost.
    changed = pivots
    while pivots < max_pivots:
        if changed:
            top = _potentials(mode, X, Y, n, root, parent, thread, pot, pot32)
            exact = _tolerance(n_nodes, depth, top)
            doubtful = np.float32(rounding + 4 * UNIT * top)
        for x in range(n_nodes):
            first[x] = 1
        first[root] = 0
        for x in range(n_nodes):
            if x != root:
                first[parent[x]] += 1
        changed = 0
        for i in range(n):
            limit = pot32[i] + doubtful
            if _row_count(C[i], v, limit) > first[i]:
                best_reduced, best_j = -exact, -1
                for j in range(m):
                    if C[i, j] + v[j] < limit:
                        reduced = _cost(mode, X, Y, i, j) - pot[i] + pot[n + j]
                        if reduced < best_reduced:
                            best_reduced, best_j = reduced, j
                if best_j >= 0:
                    _pivot(i, n + best_j, best_reduced, n, parent, thread, back, depth, flow, pot, pot32)
                    pivots += 1
                    changed += 1
        if changed == 0:
            break

    value = 0.0
    for x in range(n_nodes):
        if x != root and flow[x] > 0:
            p = np.int64(parent[x])
            value += flow[x] * _cost(mode, X, Y, min(x, p), max(x, p) - n)
    return value, (pivots if pivots < max_pivots else -1)


@_jit
def _masses(p, q, offsets, units, uniform, a, b):
    """Whole masses of the cells of samples p and q with the same sum, which is returned."""
    n, m = offsets[p + 1] - offsets[p], offsets[q + 1] - offsets[q]
    if uniform[p] and uniform[q]:
        total = n // math.gcd(n, m) * m
        for i in range(n):
            a[i] = total // n
        for j in range(m):
            b[j] = total // m
        return total
    total = np.int64(0)
    for i in range(n):
        a[i] = units[offsets[p] + i]
        total += a[i]
    for j in range(m):
        b[j] = units[offsets[q] + j]
    return total


@_entry
def solve_pairs(
    mode, points, singles, turned, reach, offsets, units, uniform, pairs, pool, starts, warm, max_pivots, values
):
    """Solve pairs one after the other; returns how many were solved, all of them unless one ran out of pivots.

    points, singles, turned
        (N, k) cells in double and in single precision, and the latter transposed, (k, N).
    reach
        (P,) a bound for each sample; no cost between two samples is above the sum of theirs.
    offsets, units, uniform
        Rows of the samples; whole masses of the cells; whether the cells of a sample weigh the same.
    pool, starts, warm
        The tree of pair e is `pool[starts[e]:]`, where to start if `warm[e]`. With `starts[e] < 0` it is not kept.
    values
        Written: optimal transport cost of each pair.
    """
    n_max, m_max = 1, 1
    for e in range(pairs.shape[0]):
        p, q = pairs[e]
        n_max, m_max = max(n_max, offsets[p + 1] - offsets[p]), max(m_max, offsets[q + 1] - offsets[q])
    n_nodes = n_max + m_max
    costs = np.empty(n_max * m_max, dtype=np.float32)
    a, b = np.empty(n_max, dtype=np.int64), np.empty(m_max, dtype=np.int64)
    longs, ints = np.empty((2, n_nodes), dtype=np.int64), np.empty((5, n_nodes), dtype=np.int32)
    floats, scratch = np.empty(n_nodes), np.empty((2, n_nodes), dtype=np.float32)
    parent = np.empty(n_nodes, dtype=np.int32)
    k = turned.shape[0]
    others = np.empty(k * m_max, dtype=np.float32)
    for e in range(pairs.shape[0]):
        p, q = pairs[e]
        rows, columns = slice(offsets[p], offsets[p + 1]), slice(offsets[q], offsets[q + 1])
        n, m = offsets[p + 1] - offsets[p], offsets[q + 1] - offsets[q]
        total = _masses(p, q, offsets, units, uniform, a, b)
        others_turned = others[: k * m].reshape(k, m)
        for axis in range(k):
            for j in range(m):
                others_turned[axis, j] = turned[axis, offsets[q] + j]
        if warm[e]:
            for x in range(n + m):
                parent[x] = pool[starts[e] + x]
        value, pivots = _solve(
            mode,
            points[rows],
            points[columns],
            singles[rows],
            others_turned,
            a[:n],
            b[:m],
            parent[: n + m],
            warm[e],
            max_pivots,
            reach[p] + reach[q],
            costs[: n * m].reshape(n, m),
            longs,
            ints,
            floats,
            scratch,
        )
        if pivots < 0:
            return e
        values[e] = value / total
        if starts[e] >= 0:
            for x in range(n + m):
                pool[starts[e] + x] = parent[x]
    return pairs.shape[0]


@_entry
def add_gradients(squared, points, offsets, units, uniform, pairs, pool, starts, slopes, out):
    """Add dL/dz of each cell at the kept trees of the pairs to `out` (N, k); `slopes` are dL/dD of the pairs."""
    k = points.shape[1]
    n_nodes = np.int64(0)
    for p in range(offsets.shape[0] - 1):
        n_nodes = max(n_nodes, 2 * (offsets[p + 1] - offsets[p]))
    a, b = np.empty(n_nodes, dtype=np.int64), np.empty(n_nodes, dtype=np.int64)
    flow, ints = np.empty(n_nodes, dtype=np.int64), np.empty((5, n_nodes), dtype=np.int32)
    parent = np.empty(n_nodes, dtype=np.int32)
    move = np.empty(k)
    for e in range(pairs.shape[0]):
        if slopes[e] == 0:
            continue
        p, q = pairs[e]
        n, m = offsets[p + 1] - offsets[p], offsets[q + 1] - offsets[q]
        total = _masses(p, q, offsets, units, uniform, a, b)
        for x in range(n + m):
            parent[x] = pool[starts[e] + x]
        root = _hang(parent[: n + m], ints[0], ints[1], ints[2], ints[3], ints[4])
        _flows(root, parent, ints[3], a[:n], b[:m], flow)
        for x in range(n + m):
            if x == root or flow[x] == 0:
                continue
            i, j = (x, parent[x] - n) if x < n else (parent[x], x - n)
            i, j = offsets[p] + i, offsets[q] + j
            length = 0.0
            for axis in range(k):
                move[axis] = points[i, axis] - points[j, axis]
                length += move[axis] * move[axis]
            if length == 0:
                continue
            scale = slopes[e] * flow[x] / total * (2.0 if squared else 1 / math.sqrt(length))
            for axis in range(k):
                out[i, axis] += scale * move[axis]
                out[j, axis] -= scale * move[axis]


@_entry
def read_plans(offsets, units, uniform, pairs, pool, starts, source, target, mass, owner):
    """Write the entries of the plans, pair by pair, with rows of the cohort as source and target; returns the count."""
    n_nodes = np.int64(0)
    for p in range(offsets.shape[0] - 1):
        n_nodes = max(n_nodes, 2 * (offsets[p + 1] - offsets[p]))
    a, b = np.empty(n_nodes, dtype=np.int64), np.empty(n_nodes, dtype=np.int64)
    flow, ints = np.empty(n_nodes, dtype=np.int64), np.empty((5, n_nodes), dtype=np.int32)
    parent = np.empty(n_nodes, dtype=np.int32)
    count = 0
    for e in range(pairs.shape[0]):
        p, q = pairs[e]
        n, m = offsets[p + 1] - offsets[p], offsets[q + 1] - offsets[q]
        total = _masses(p, q, offsets, units, uniform, a, b)
        for x in range(n + m):
            parent[x] = pool[starts[e] + x]
        root = _hang(parent[: n + m], ints[0], ints[1], ints[2], ints[3], ints[4])
        _flows(root, parent, ints[3], a[:n], b[:m], flow)
        for x in range(n + m):
            if x != root and flow[x] > 0:
                i, j = (x, parent[x] - n) if x < n else (parent[x], x - n)
                source[count], target[count] = offsets[p] + i, offsets[q] + j
                mass[count], owner[count] = flow[x] / total, e
                count += 1
    return count
