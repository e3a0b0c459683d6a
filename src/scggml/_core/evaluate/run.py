"""One fold after the other: every method learns from the training samples and predicts the held-out ones."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from time import perf_counter

import numpy as np
from sklearn.metrics import f1_score

from scggml._core.cohort import Floats, Integers
from scggml._core.evaluate.classify import knn_votes
from scggml._core.evaluate.intervals import Interval, corrected_interval, least_error
from scggml._core.evaluate.prediction import Method, Prediction
from scggml._core.evaluate.scores import (
    balanced_accuracy,
    decide,
    held_out_structure,
    prediction_scores,
    spearman,
    weighted_success,
)
from scggml._core.folds import Fold
from scggml._core.learn.covariates import adjust, estimate
from scggml._core.samples import Samples, Target

FINER = 1e-6
"""Weight of what resolves ties of the main score: below any step of it."""

BATCH_NEIGHBORS = 3
"""Neighbors that vote for a technical covariate, as in the benchmark of the field."""


@dataclass(frozen=True)
class HeldOut:
    """Prediction of one method for the held-out samples of one fold, and the seconds that it took."""

    fold: Fold
    prediction: Prediction
    seconds: float


def evaluate_fold(
    samples: Samples, target: Target, fold: Fold, methods: Mapping[str, Method], seed: int
) -> dict[str, HeldOut]:
    """Fit each method to the training samples, and predict the held-out samples without their labels."""
    raw = samples.take(fold.train), samples.take(fold.test)
    known, adjusted = target.take(fold.train), raw
    if samples.covariates is not None:  # for all methods alike, and from training samples alone
        effects = estimate(raw[0], known)
        adjusted = adjust(raw[0], effects), adjust(raw[1], effects)
    found = {}
    for number, (name, method) in enumerate(methods.items()):
        # A stream for each fold and method: the order of folds, processes and what other methods draw change nothing.
        rng = np.random.default_rng([seed, 5, fold.repeat, fold.fold, number])
        # Those with folds of their own take the effects off in each of these.
        training, test = raw if getattr(method, "takes_covariates", False) else adjusted
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
    """Return (P, C) held-out scores of one repeat."""
    # NaN for samples that were never held out: it must not pass as a prediction.
    out = np.full((n_samples, results[0].prediction.scores.shape[1]), np.nan)
    for result in results:
        out[result.fold.test] = result.prediction.scores
    return out


def held_out_of(results: Sequence[HeldOut], target: Target) -> tuple[Floats, Target, list[Integers]]:
    """Return (n, C) scores of the samples that one repeat holds out, the truth about them, and those of each fold."""
    tests = [result.fold.test for result in results]
    samples = np.sort(np.concatenate(tests))
    scores = pooled(results, len(target.values))[samples]
    return scores, target.take(samples), [np.searchsorted(samples, test) for test in tests]


def by_repeat(results: Sequence[HeldOut]) -> dict[int, list[HeldOut]]:
    """Return the folds of each repeat."""
    found: dict[int, list[HeldOut]] = {}
    for result in results:
        found.setdefault(result.fold.repeat, []).append(result)
    return found


def score_method(name: str, results: Sequence[HeldOut], target: Target) -> list[Score]:
    """Score a method: its predictions in each repeat, its distances in each fold, and its seconds."""
    found = []
    for repeat, parts in by_repeat(results).items():
        # Predictions of single folds are few, so they are scored together. Distances of different folds come from
        # different metrics and are scored within each fold.
        scores, truth, folds = held_out_of(parts, target)
        for metric, value in prediction_scores(truth, scores, folds).items():
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
    """Return (J,) mean success in each fold; over a repeat it is the balanced accuracy (or minus the error)."""
    success = []
    for parts in by_repeat(results).values():
        # Weighted over the whole repeat: a fold may lack a class, and then has no balanced accuracy of its own.
        scores, truth, folds = held_out_of(parts, target)
        each = weighted_success(truth, scores)
        success += [float(each[fold].mean()) for fold in folds]
    return np.array(success)


def compare(
    results: Mapping[str, Sequence[HeldOut]], target: Target, groups: Integers, confidence: float
) -> list[tuple[str, str, Interval]]:
    """Return paired differences of all pairs of methods on the same folds, the first one minus the second.

    `groups` (P,) are the donors, whose number in each class bounds how sure a difference of accuracies can be.
    """
    names = list(results)
    folds = [result.fold for result in results[names[0]]]
    # Training sets of different folds overlap, which the interval corrects for by this ratio (Nadeau and Bengio 2003).
    share = float(np.mean([len(fold.test) / len(fold.train) for fold in folds]))
    success = {name: fold_success(results[name], target) for name in names}
    how = {"test_share": share, "confidence": confidence}
    if target.kind != "numbers":
        how["least"] = least_error([len(np.unique(groups[target.codes == c])) for c in np.unique(target.codes)])
    return [
        (a, b, corrected_interval(success[a] - success[b], **how)) for i, a in enumerate(names) for b in names[i + 1 :]
    ]


def mean_rows(results: Sequence[HeldOut], n_samples: int) -> Floats | None:
    """Return (P, P) held-out distances, row p under metrics learned without sample p, averaged over the repeats.

    Rows of samples that no repeat held out are NaN.
    """
    # A row belongs to the fold that held its sample out, so (p, q) and (q, p) may come from different metrics.
    total, times = np.zeros((n_samples, n_samples)), np.zeros((n_samples, 1))
    for result in results:
        if result.prediction.distances is None:
            return None
        columns: Integers = np.concatenate([result.fold.train, result.fold.test])
        total[np.ix_(result.fold.test, columns)] += result.prediction.distances
        times[result.fold.test] += 1
    return np.divide(total, times, out=np.full_like(total, np.nan), where=times > 0)


def batch_removal(results: Sequence[HeldOut], codes: Integers) -> dict[int, float]:
    """Return how little held-out distances know of a technical covariate, for each repeat of a method with distances.

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
            # To training samples only: the other columns lie among the held-out ones.
            near = part.prediction.distances[:, : len(part.fold.train)]
            votes[part.fold.test] = knn_votes(near, codes[part.fold.train], n_values, BATCH_NEIGHBORS)
        held = np.sort(np.concatenate([part.fold.test for part in parts]))
        said, labels = votes[held].argmax(axis=1), np.arange(n_values)
        macro = f1_score(codes[held], said, labels=labels, average="macro", zero_division=0)
        corrected = n_values / (n_values - 1) * (float(macro) - 1 / n_values)
        found[repeat] = 1.0 - max(corrected, 0.0)
    return found


def main_score(
    samples: Callable[[Fold], Samples], target: Target, folds: Sequence[Fold], method: Method, seed: int
) -> tuple[float, float]:
    """Return the main score and the score that resolves its ties, both as means over repeats.

    The score is the balanced accuracy of all held-out samples (the rank correlation where there is an order). Few
    samples give few values of it. Among equal ones the finer measure is, for methods with distances, how much nearer
    the nearest training sample of the true class is than that of another class, :math:`(b - a) / (b + a)`, and else the
    probability of the true class; both as the mean over samples.
    """
    results = [evaluate_fold(samples(fold), target, fold, {"": method}, seed)[""] for fold in folds]
    values, finer = [], []
    for parts in by_repeat(results).values():
        scores, truth, _ = held_out_of(parts, target)
        if target.kind == "numbers":
            values.append(spearman(truth.values, scores[:, 0]))
            finer.append(0.0)
            continue
        finer.append(float(np.mean(np.concatenate([_nearness(part, target.codes) for part in parts]))))
        if target.kind == "classes":
            values.append(balanced_accuracy(truth.codes, decide(target.kind, scores)))
        else:
            values.append(spearman(truth.values, scores @ np.arange(target.n_classes)))
    return float(np.mean(values)), float(np.mean(finer))


def _nearness(part: HeldOut, codes: Integers) -> Floats:
    """Return (n_test,) how much the true class of each held-out sample is preferred, as a continuous number."""
    truth = codes[part.fold.test]
    if part.prediction.distances is None:
        return part.prediction.scores[np.arange(len(truth)), truth]
    D = part.prediction.distances[:, : len(part.fold.train)]
    own = codes[part.fold.train][None, :] == truth[:, None]
    a, b = np.where(own, D, np.inf).min(axis=1), np.where(own, np.inf, D).min(axis=1)
    return np.divide(b - a, b + a, out=np.zeros_like(a), where=b + a > 0)


def ranked(scores: Floats) -> Floats:
    """Return (n,) numbers in the order of main scores (n, 2), equal ones in the order of what resolves their ties."""
    out: Floats = np.round(scores[:, 0], 9) + FINER * scores[:, 1]
    return out
