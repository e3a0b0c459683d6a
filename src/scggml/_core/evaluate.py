"""One fold after the other: every method learns from the training samples and predicts the held-out ones."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from time import perf_counter

import numpy as np
from sklearn.metrics import f1_score

from scggml._core.classify import knn_votes
from scggml._core.cohort import Floats, Integers
from scggml._core.folds import Fold
from scggml._core.intervals import Interval, corrected_interval
from scggml._core.methods import Method, Prediction
from scggml._core.scores import (
    balanced_accuracy,
    decide,
    held_out_structure,
    prediction_scores,
    spearman,
    weighted_success,
)
from scggml._core.training import Samples, Target

BATCH_NEIGHBORS = 3
"""Neighbors that vote for a technical covariate, as in the benchmark of the field."""


@dataclass(frozen=True)
class HeldOut:
    """What one method said about the held-out samples of one fold, and the seconds that it took."""

    fold: Fold
    prediction: Prediction
    seconds: float


def evaluate_fold(
    samples: Samples, target: Target, fold: Fold, methods: Mapping[str, Method], seed: int
) -> dict[str, HeldOut]:
    """Fit each method to the training samples, hand it the held-out samples without labels, and note what it says."""
    training, test = samples.take(fold.train), samples.take(fold.test)
    known = target.take(fold.train)
    found = {}
    for number, (name, method) in enumerate(methods.items()):
        rng = np.random.default_rng([seed, fold.repeat, fold.fold, number])
        start = perf_counter()
        prediction = method.fit(training, known, rng=rng).predict(test)
        found[name] = HeldOut(fold, prediction, perf_counter() - start)
    return found


@dataclass(frozen=True)
class Score:
    """One number about one method; fold -1 stands for all held-out samples of the repeat."""

    method: str
    repeat: int
    fold: int
    metric: str
    value: float


def pooled(results: Sequence[HeldOut], n_samples: int) -> Floats:
    """(P, C) held-out scores of one repeat."""
    out = np.full((n_samples, results[0].prediction.scores.shape[1]), np.nan)
    for result in results:
        out[result.fold.test] = result.prediction.scores
    return out


def by_repeat(results: Sequence[HeldOut]) -> dict[int, list[HeldOut]]:
    """The folds of each repeat."""
    found: dict[int, list[HeldOut]] = {}
    for result in results:
        found.setdefault(result.fold.repeat, []).append(result)
    return found


def score_method(name: str, results: Sequence[HeldOut], target: Target) -> list[Score]:
    """Scores of a method: of its predictions in each repeat, of its distances in each fold, and its seconds."""
    found = []
    for repeat, parts in by_repeat(results).items():
        scores = pooled(parts, len(target.values))
        for metric, value in prediction_scores(target, scores, [part.fold.test for part in parts]).items():
            found.append(Score(name, repeat, -1, metric, value))
        for part in parts:
            structure = {}
            if part.prediction.distances is not None and target.kind != "numbers":
                among = part.prediction.distances[:, len(part.fold.train) :]
                structure = held_out_structure(among, target.codes[part.fold.test], target.n_classes)
            for metric, value in (structure | {"seconds": part.seconds}).items():
                found.append(Score(name, repeat, part.fold.fold, metric, value))
    return found


def fold_success(results: Sequence[HeldOut], target: Target) -> Floats:
    """(J,) mean success in each fold; over all folds of a repeat it is the balanced accuracy (or minus the error)."""
    success = []
    for parts in by_repeat(results).values():
        each = weighted_success(target, pooled(parts, len(target.values)))
        success += [float(each[part.fold.test].mean()) for part in parts]
    return np.array(success)


def compare(
    results: Mapping[str, Sequence[HeldOut]], target: Target, confidence: float
) -> list[tuple[str, str, Interval]]:
    """Paired differences of all pairs of methods on the same folds, the first one minus the second."""
    names = list(results)
    folds = [result.fold for result in results[names[0]]]
    share = float(np.mean([len(fold.test) / len(fold.train) for fold in folds]))
    success = {name: fold_success(results[name], target) for name in names}
    return [
        (a, b, corrected_interval(success[a] - success[b], test_share=share, confidence=confidence))
        for i, a in enumerate(names)
        for b in names[i + 1 :]
    ]


def mean_rows(results: Sequence[HeldOut], n_samples: int) -> Floats | None:
    """(P, P) held-out distances: row p under metrics that were learned without sample p, mean over the repeats."""
    total = np.zeros((n_samples, n_samples))
    for result in results:
        if result.prediction.distances is None:
            return None
        columns: Integers = np.concatenate([result.fold.train, result.fold.test])
        total[np.ix_(result.fold.test, columns)] += result.prediction.distances
    return total / len(by_repeat(results))


def batch_removal(results: Sequence[HeldOut], codes: Integers) -> dict[int, float]:
    """How little held-out distances know of a technical covariate, for each repeat of a method with distances.

    1 - the chance-corrected macro F1 of telling the covariate of each held-out sample from its three nearest training
    samples: 1 means not better than chance.

    Parameters
    ----------
    codes
        (P,) values of the covariate.
    """
    found = {}
    n_values = int(codes.max()) + 1
    for repeat, parts in by_repeat(results).items():
        votes = np.zeros((len(codes), n_values))
        for part in parts:
            if part.prediction.distances is None:
                return {}
            near = part.prediction.distances[:, : len(part.fold.train)]
            votes[part.fold.test] = knn_votes(near, codes[part.fold.train], n_values, BATCH_NEIGHBORS)
        macro = f1_score(codes, votes.argmax(axis=1), labels=np.arange(n_values), average="macro", zero_division=0)
        corrected = n_values / (n_values - 1) * (float(macro) - 1 / n_values)
        found[repeat] = 1.0 - max(corrected, 0.0)
    return found


def main_score(
    samples: Callable[[Fold], Samples], target: Target, folds: Sequence[Fold], method: Method, seed: int
) -> float:
    """Mean over repeats of the balanced accuracy of all held-out samples (rank correlation where there is an order)."""
    results = [evaluate_fold(samples(fold), target, fold, {"": method}, seed)[""] for fold in folds]
    values = []
    for parts in by_repeat(results).values():
        scores = pooled(parts, len(target.values))
        if target.kind == "classes":
            values.append(balanced_accuracy(target.codes, decide(target.kind, scores)))
        else:
            ranks = scores[:, 0] if target.kind == "numbers" else scores @ np.arange(target.n_classes)
            values.append(spearman(target.values, ranks))
    return float(np.mean(values))
