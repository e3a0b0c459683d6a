"""Scores of held-out predictions and of held-out distances."""

from collections.abc import Sequence

import numpy as np
from scipy.stats import entropy, rankdata
from sklearn.cluster import AgglomerativeClustering
from sklearn.metrics import (
    adjusted_rand_score,
    cohen_kappa_score,
    f1_score,
    mutual_info_score,
    normalized_mutual_info_score,
    silhouette_score,
)

from scggml._core.cohort import Floats, Integers
from scggml._core.samples import LabelKind, Target

CLIP = 0.025
"""Probabilities are brought into [CLIP, 1 - CLIP] before their logarithm, which one of 0 would make infinite."""


def decide(target_kind: LabelKind, scores: Floats) -> Floats:
    """Return (n,) predicted class codes, or numbers, out of (n, C) probabilities or (n, 1) numbers."""
    if target_kind == "numbers":
        return scores[:, 0]
    return scores.argmax(axis=1).astype(np.float64)


def prediction_scores(target: Target, scores: Floats, parts: Sequence[Integers]) -> dict[str, float]:
    """Score all held-out predictions of one repeat.

    Classes: `balanced_accuracy`, `macro_f1`, `corrected_f1` = C / (C - 1) (macro F1 - 1 / C), which is 0 by chance,
    `auroc` where there are two, and `log_loss` and `brier` of the probabilities, classes counting equally. Ordered
    classes also: `spearman` of the expected class, and `kappa` with quadratic weights. Numbers: `spearman`, and
    `mean_absolute_error` in units of the label.

    Parameters
    ----------
    target
        The truth about the P samples.
    scores
        (P, C) class probabilities, or (P, 1) numbers, each from the fold that held the sample out.
    parts
        Samples of each fold.
    """
    predicted = decide(target.kind, scores)
    if target.kind == "numbers":
        return {
            "spearman": spearman(target.values, predicted),
            "mean_absolute_error": float(np.abs(target.values - predicted).mean()),
        }
    codes, C = target.codes, target.n_classes
    macro = float(f1_score(codes, predicted.astype(np.int64), labels=np.arange(C), average="macro", zero_division=0))
    found = {
        "balanced_accuracy": balanced_accuracy(codes, predicted),
        "macro_f1": macro,
        "corrected_f1": C / (C - 1) * (macro - 1 / C),
    }
    found |= {"log_loss": log_loss(codes, scores), "brier": brier(codes, scores)}
    if C == 2:
        found["auroc"] = concordance(codes, scores[:, 1], parts)
    if target.kind == "ordered":
        found["spearman"] = spearman(target.values, scores @ np.arange(C))
        found["kappa"] = float(
            cohen_kappa_score(codes, predicted.astype(np.int64), labels=np.arange(C), weights="quadratic")
        )
    return {name: value for name, value in found.items() if np.isfinite(value)}


def balanced_accuracy(codes: Integers, predicted: Floats) -> float:
    """Return the mean over classes of the share of their samples that are recognized; chance is 1 / C."""
    # Permutation tests call this hundreds of times, so without the checks that scikit-learn makes each time.
    counts, right = np.bincount(codes), np.bincount(codes, codes == predicted)
    return float(np.mean(right[counts > 0] / counts[counts > 0]))


def log_loss(codes: Integers, probabilities: Floats) -> float:
    r"""Return the mean over classes of the mean of :math:`-\log p_c` over their samples, in nats.

    Probabilities are clipped to [0.025, 0.975] and divided by their sum. Equal probabilities, or chance, give log C.
    """
    clipped = np.clip(probabilities, CLIP, 1 - CLIP)
    own = clipped[np.arange(len(codes)), codes] / clipped.sum(axis=1)
    return float(class_weights(codes) @ -np.log(own))


def brier(codes: Integers, probabilities: Floats) -> float:
    r"""Return the mean over classes of the mean of :math:`\sum_c (p_c - [c])^2` over their samples.

    0 is best and 2 worst; equal probabilities give 1 - 1 / C.
    """
    squares = ((probabilities - np.eye(probabilities.shape[1])[codes]) ** 2).sum(axis=1)
    return float(class_weights(codes) @ squares)


def class_weights(codes: Integers) -> Floats:
    """Return (P,) weights of samples, of sum 1, under which the classes that occur count equally."""
    counts = np.bincount(codes)
    out: Floats = 1.0 / ((counts > 0).sum() * counts[codes])
    return out


def spearman(truth: Floats, predicted: Floats) -> float:
    """Return the rank correlation with its sign: a prediction has a direction. A constant prediction has none: 0."""
    first, second = rankdata(truth), rankdata(predicted)
    if np.ptp(first) == 0 or np.ptp(second) == 0:
        return 0.0
    return float(np.corrcoef(first, second)[0, 1])


def concordance(codes: Integers, scores: Floats, parts: Sequence[Integers]) -> float:
    """Return the area under the ROC curve within folds: the share of pairs (classes 1 and 0) in the right order.

    Pairs are formed within folds only: scores of different folds come from different models, and a model without skill
    that follows the class shares of its training samples ranks samples of different folds below chance. NaN where no
    fold holds both classes.
    """
    right, total = 0.0, 0
    for part in parts:
        high, low = scores[part][codes[part] == 1], scores[part][codes[part] == 0]
        gaps = high[:, None] - low[None, :]
        right += float((gaps > 0).sum() + 0.5 * (gaps == 0).sum())
        total += gaps.size
    return right / total if total else float("nan")


def held_out_structure(distances: Floats, codes: Integers, n_classes: int) -> dict[str, float]:
    """Score whether held-out samples of one fold lie in groups that are the classes, training samples left aside.

    `ari`, `nmi` and `vi` (variation of information in nats, 0 is best) of average-linkage clustering into as many
    clusters as there are classes among the samples, and the `silhouette` of the classes. Empty where the fold is too
    small: it needs two classes, and more samples than classes.

    Parameters
    ----------
    distances
        (n, n) among the held-out samples.
    codes
        (n,) their classes.
    """
    present = len(np.unique(codes))
    if not 2 <= present < len(codes):
        return {}
    clusters = AgglomerativeClustering(n_clusters=present, metric="precomputed", linkage="average").fit_predict(
        distances
    )
    return {
        "ari": float(adjusted_rand_score(codes, clusters)),
        "nmi": float(normalized_mutual_info_score(codes, clusters)),
        "vi": variation_of_information(codes, clusters),
        "silhouette": float(silhouette_score(distances, codes, metric="precomputed")),
    }


def variation_of_information(first: Integers, second: Integers) -> float:
    """Return H(first) + H(second) - 2 I(first, second), in nats: 0 for the same partition."""
    own = sum(float(entropy(np.unique(part, return_counts=True)[1])) for part in (first, second))
    return max(own - 2 * float(mutual_info_score(first, second)), 0.0)


def weighted_success(target: Target, scores: Floats) -> Floats:
    """Return (P,) success of each prediction; their mean is the balanced accuracy, or minus the mean absolute error."""
    predicted = decide(target.kind, scores)
    if target.kind == "numbers":
        return -np.abs(target.values - predicted)
    out: Floats = len(target.codes) * class_weights(target.codes) * (predicted == target.values)
    return out
