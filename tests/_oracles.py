"""Slow truths that share no code with what they judge, and random material to judge it on."""

from collections.abc import Callable, Sequence
from itertools import product
from typing import Any

import numpy as np
import pytest
from scipy.optimize import linear_sum_assignment, linprog
from scipy.stats import wasserstein_distance

from scggml._core.cohort import Cohort, Floats, Integers, from_clouds


def random_cohort(
    sizes: Sequence[int] = (4, 5, 6, 4, 5, 6),
    d: int = 4,
    labels: Sequence[int] | None = None,
    *,
    weighted: bool = False,
    shift: float = 0.5,
    seed: int = 0,
) -> Cohort:
    """Gaussian clouds in general position; classes (in turn 0, 1, 0, 1, ... by default) are `shift` apart per axis."""
    rng = np.random.default_rng(seed)
    codes = np.arange(len(sizes)) % 2 if labels is None else np.asarray(labels)
    clouds = [rng.standard_normal((n, d)) + shift * c for n, c in zip(sizes, codes, strict=True)]
    raw = [rng.uniform(0.5, 2.0, n) if weighted else np.ones(n) for n in sizes]
    return Cohort(
        points=np.concatenate(clouds),
        weights=np.concatenate([w / w.sum() for w in raw]),
        offsets=np.concatenate([[0], np.cumsum(sizes)]),
        labels=codes.astype(np.int64),
        names=np.array([f"s{p}" for p in range(len(sizes))]),
        classes=np.array([f"class{c}" for c in range(codes.max() + 1)]),
    )


def planted_cohort(
    d: int = 20, labels: Sequence[int] = (0, 1, 2) * 3, *, gap: float = 8.0, offset: float = 1.5, seed: int = 1
) -> Cohort:
    """Classes are `gap` apart along the first feature alone; along all others the samples of each class, alike for all
    classes, are `offset` apart, so that their distances say nothing about classes."""
    rng = np.random.default_rng(seed)
    clouds, seen = [], [0] * (max(labels) + 1)
    for label in labels:
        x = rng.standard_normal((12, d)) + offset * seen[label]
        x[:, 0] = gap * label + rng.standard_normal(12)
        clouds.append(x)
        seen[label] += 1
    return from_clouds(clouds, np.array(labels))


def cloud(cohort: Cohort, p: int) -> tuple[Floats, Floats]:
    """Points (n_p, d) and weights (n_p,) of sample p."""
    rows = slice(cohort.offsets[p], cohort.offsets[p + 1])
    return cohort.points[rows].astype(np.float64), cohort.weights[rows]


def cost_by_loops(x: Floats, y: Floats, W: Floats | None = None, *, squared: bool = False) -> Floats:
    """(n, m) Euclidean cost, squared or not, after projection by W."""
    W = np.eye(x.shape[1]) if W is None else W
    out = np.empty((len(x), len(y)))
    for i, j in product(range(len(x)), range(len(y))):
        u = W @ (x[i] - y[j])
        out[i, j] = u @ u if squared else np.sqrt(u @ u)
    return out


# Optimal transport


def assignment_ot(cost: Floats) -> float:
    """Uniform weights and equal sizes: the best permutation."""
    rows, columns = linear_sum_assignment(cost)
    return float(cost[rows, columns].mean())


def line_ot(x: Floats, y: Floats, a: Floats, b: Floats) -> float:
    """Points on a line, unsquared cost, any weights: the area between the distribution functions."""
    return float(wasserstein_distance(x, y, a, b))


def lp_ot(a: Floats, b: Floats, cost: Floats) -> tuple[float, Floats]:
    """Value and plan (n, m) of the linear program, by HiGHS."""
    n, m = cost.shape
    sums = np.concatenate([np.kron(np.eye(n), np.ones(m)), np.kron(np.ones(n), np.eye(m))])
    solved = linprog(cost.ravel(), A_eq=sums[:-1], b_eq=np.concatenate([a, b])[:-1], method="highs-ds")
    assert solved.status == 0
    return float(solved.fun), solved.x.reshape(n, m)


def lp_plans(cohort: Cohort, W: Floats | None = None, *, squared: bool = False) -> dict[tuple[int, int], Floats]:
    """Optimal plan of each pair p < q."""
    plans = {}
    for q in range(cohort.n_samples):
        for p in range(q):
            (x, a), (y, b) = cloud(cohort, p), cloud(cohort, q)
            plans[p, q] = lp_ot(a, b, cost_by_loops(x, y, W, squared=squared))[1]
    return plans


# The hinge


def triplets(labels: Integers, anchors: str, batch: Integers | None = None) -> list[tuple[int, int, int]]:
    """All (i, j, k) with c(i) = c(j) != c(k), where k is of the batch of j."""
    every = range(len(labels))
    return [
        (i, j, k)
        for i, j, k in product(every, every, every)
        if labels[i] == labels[j] != labels[k]
        and (anchors == "all" or i != j)
        and (batch is None or batch[j] == batch[k])
    ]


def weighted_list_hinge(
    distances: Floats, found: Sequence[tuple[int, int, int]], weights: Sequence[float], margin: float
) -> tuple[float, Floats, float]:
    """Value, slopes by unordered pairs and active share of the weighted mean hinge over a list of triplets."""
    value, active, slopes = 0.0, 0.0, np.zeros_like(distances)
    for (i, j, k), weight in zip(found, weights, strict=True):
        hinge = distances[i, j] - distances[j, k] + margin
        if hinge > 0:
            value += weight * hinge
            active += weight
            for p, q, sign in ((i, j, 1.0), (j, k, -1.0)):
                if p != q:
                    slopes[p, q] += sign * weight
                    slopes[q, p] += sign * weight
    total = sum(weights) or 1.0
    return value / total, slopes / total, active / total


def list_hinge(
    distances: Floats, labels: Integers, margin: float, anchors: str, batch: Integers | None = None
) -> tuple[float, Floats, float]:
    """Value, slopes by unordered pairs and active share of the mean hinge over the list of triplets of classes."""
    found = triplets(labels, anchors, batch)
    return weighted_list_hinge(distances, found, [1.0] * len(found), margin)


def ordered_list_hinge(
    distances: Floats, values: Floats, margin: float, anchors: str, batch: Integers | None = None
) -> tuple[float, Floats, float]:
    """The same over the triplets in which i is nearer to j in value than k is, by as much as each weighs."""
    found, weights = [], []
    for i, j, k in product(range(len(values)), repeat=3):
        nearer = abs(values[k] - values[j]) - abs(values[i] - values[j])
        if nearer > 0 and (anchors == "all" or i != j) and (batch is None or batch[j] == batch[k]):
            found.append((i, j, k))
            weights.append(nearer)
    return weighted_list_hinge(distances, found, weights, margin)


# Gradients


def finite_differences(function: Callable[[Floats], float], at: Floats, step: float = 1e-6) -> Floats:
    """Central differences by each entry."""
    out = np.empty_like(at)
    for index in np.ndindex(at.shape):
        move = np.zeros_like(at)
        move[index] = step
        out[index] = (function(at + move) - function(at - move)) / (2 * step)
    return out


def relative_error(found: Floats, truth: Floats) -> float:
    """Norm of the difference as a share of the norm of the truth."""
    return float(np.linalg.norm(found - truth) / np.linalg.norm(truth))


def torch_penalty(W: Any, penalty: str) -> Any:
    """Norm of a torch tensor."""
    torch = pytest.importorskip("torch")
    match penalty:
        case "fro":
            return torch.linalg.matrix_norm(W)
        case "l1":
            return W.abs().sum()
        case "l21":
            return torch.linalg.vector_norm(W, dim=0).sum()
        case "nuc":
            return torch.linalg.matrix_norm(W, ord="nuc")
    raise ValueError(penalty)


def torch_objective(
    cohort: Cohort, W: Floats, *, margin: float, penalty: str, reg: float, squared: bool, anchors: str
) -> tuple[float, Floats]:
    """Objective and its gradient by autograd, with the plans of the linear program held fixed."""
    torch = pytest.importorskip("torch")
    components = torch.tensor(W, requires_grad=True)
    values = {}
    for (p, q), plan in lp_plans(cohort, W, squared=squared).items():
        x, y = (torch.tensor(cloud(cohort, s)[0]) for s in (p, q))
        squares = (((x[:, None, :] - y[None, :, :]) @ components.T) ** 2).sum(dim=2)
        values[p, q] = values[q, p] = (torch.tensor(plan) * (squares if squared else squares.sqrt())).sum()
    zero = torch.zeros((), dtype=torch.float64)
    hinges = [
        torch.relu(values.get((i, j), zero) - values[j, k] + margin) for i, j, k in triplets(cohort.labels, anchors)
    ]
    loss = torch.stack(hinges).mean() + reg * torch_penalty(components, penalty)
    loss.backward()
    return loss.item(), components.grad.numpy()


# Canonical variates


def scatter_by_loops(cohort: Cohort, plans: dict[tuple[int, int], Floats], weights: Sequence[float]) -> Floats:
    """Sum over pairs and cells of weight T_ij (x_i - y_j)(x_i - y_j)^T; weights in the order of the plans."""
    out = np.zeros((cohort.n_features, cohort.n_features))
    for ((p, q), plan), weight in zip(plans.items(), weights, strict=True):
        x, y = cloud(cohort, p)[0], cloud(cohort, q)[0]
        for i, j in np.ndindex(plan.shape):
            out += weight * plan[i, j] * np.outer(x[i] - y[j], x[i] - y[j])
    return out


def dense_variates(between: Floats, regular: Floats, n_comps: int, faint: float) -> Floats:
    """(k, d) top solutions of between v = lambda regular v, of length one under `regular`, times sqrt(lambda - 1).

    Under the root stands at least the share `faint` of the largest lambda.
    """
    values, vectors = np.linalg.eig(np.linalg.solve(regular, between))
    order = np.argsort(values.real)[::-1][:n_comps]
    rows = []
    for value, v in zip(values.real[order], vectors.real.T[order], strict=True):
        rows.append(v * np.sqrt(max(value - 1, faint * values.real.max()) / (v @ regular @ v)))
    return np.array(rows)


def theta(W: Floats) -> Floats:
    """(d, d) what a metric is, whatever its rotation."""
    return W.T @ W
