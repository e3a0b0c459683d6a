"""Write what was predicted of new samples, and what held-out donors of the reference say about it."""

from typing import Any

import numpy as np
import pandas as pd
from anndata import AnnData

from scggml._anndata.keys import PREDICTION
from scggml._anndata.messages import choices, warn
from scggml._anndata.results import write_obs, write_obsm
from scggml._core.checks import check_number
from scggml._core.cohort import Floats, Integers, Names
from scggml._core.evaluate.conformal import smallest_alpha
from scggml._core.evaluate.prediction import Prediction
from scggml._core.evaluate.reliability import reliability
from scggml._core.evaluate.scores import log_loss
from scggml._core.folds import TooFewDonorsError
from scggml._core.samples import Samples, Target

P_VALUES = f"{PREDICTION}_p_values"
"""Slot of the p-values of classes."""

UNLIKE = 3.5
"""Robust z-score from which on a sample counts as unlike the reference (Iglewicz and Hoaglin)."""

RESULTS = (PREDICTION, "neighbors", "novelty", "unlike_reference", "possible", "abstains")
"""Columns that are written for labels of any kind."""

COVERED = 0.9
"""Share of held-out donors that the interval of a predicted number holds."""


def write_neighbors(out: AnnData, D: Floats, names: Names, target: Target, n_neighbors: int) -> dict[str, Any]:
    """Write the nearest reference samples of each new one with their labels, from distances (n, P)."""
    # Stable, so that equally near samples come in the order of the reference on every machine.
    nearest = np.argsort(D, axis=1, kind="stable")[:, :n_neighbors]
    labels = target.values.astype(str) if target.kind == "numbers" else target.classes[target.codes]
    write_obs(out, {"neighbors": [", ".join(f"{names[q]} ({labels[q]})" for q in row) for row in nearest]})
    return {
        "neighbors": names[nearest].astype(object),
        "neighbor_labels": labels[nearest].astype(object),
        "neighbor_distances": np.take_along_axis(D, nearest, axis=1),
    }


def write_predicted(
    out: AnnData, known: Samples, target: Target, said: Prediction, held_out: Floats | None
) -> dict[str, Any]:
    """Write what is predicted; return what each view says, and what is known from held-out donors."""
    views = {
        "views": np.array([name for name, _ in said.parts], dtype=object),
        "view_scores": np.stack([scores for _, scores in said.parts]),
    }
    if held_out is None:
        raise TooFewDonorsError(
            "A class of the reference has so few groups (donors), in all or within batches, that all of them were left "
            "out at once, so no probability can be calibrated. Raise n_splits, leave the class out, or merge it with "
            "another."
        )
    if target.kind == "numbers":
        return views | _write_numbers(out, known, target, said.scores[:, 0], held_out)
    return views | _write_classes(out, known, target, said.scores, held_out)


def _write_classes(
    out: AnnData, known: Samples, target: Target, probabilities: Floats, held_out: Floats
) -> dict[str, Any]:
    """Write predicted classes with their probabilities; return what is known about the calibration."""
    # Not the class of the nearest sample, with which the probability might disagree.
    best = probabilities.argmax(axis=1)
    # All classes are categories, predicted or not, so that results of several calls can be compared and joined.
    predicted = pd.Categorical(target.classes[best], categories=list(target.classes), ordered=target.kind == "ordered")
    write_obs(out, {"prediction": predicted, "probability": probabilities.max(axis=1)})
    write_obsm(out, PREDICTION, probabilities)
    own, codes = np.concatenate(held_out), np.tile(target.codes, len(held_out))
    return {
        "classes": target.classes.astype(object),
        "held_out_accuracy": float((own.argmax(axis=1) == codes).mean()),
        "held_out_log_loss": log_loss(codes, own),
        "calibration_error": reliability(codes, own, np.tile(known.groups, len(held_out))).error,
    }


def check_abstain(abstain: float, target: Target, groups: Integers) -> None:
    """Raise unless there are sets of classes with that error; warn of one that so few donors cannot give."""
    check_number("abstain", abstain, "an error rate between 0 and 1, such as 0.1", 0, 1, open_low=True)
    if target.kind == "numbers":
        raise ValueError(
            f"abstain={abstain:g}: the labels are numbers, whose interval is in .obs['low'] and .obs['high']; leave it "
            "out."
        )
    least = smallest_alpha(target, groups)
    if abstain < least:
        warn(
            f"abstain={abstain:g}: with so few donors in the smallest class no error below {least:.3g} can be promised "
            f"and that class ever be ruled out; pass abstain={np.ceil(1000 * least) / 1000:g} or more."
        )


def write_possible(out: AnnData, target: Target, p: Floats, abstain: float) -> dict[str, Any]:
    """Write which classes are possible, given their p-values (n, C)."""
    possible = p > abstain
    write_obs(
        out,
        {
            "possible": [", ".join(target.classes[row]) for row in possible],
            "abstains": possible.sum(axis=1) != 1,
        },
    )
    write_obsm(out, P_VALUES, p)
    return {"abstain": abstain}


def _write_numbers(out: AnnData, known: Samples, target: Target, predicted: Floats, held_out: Floats) -> dict[str, Any]:
    """Write predicted numbers with intervals of the errors of held-out donors; return their mean error."""
    # Split conformal prediction: a new sample is one more, hence (n + 1) / n, and the next larger error instead of one
    # in between. n counts donors: errors of one donor and of repeats are not independent. Few take their largest error.
    errors = np.abs(held_out[:, :, 0] - target.values).ravel()
    n = len(np.unique(known.groups))
    reach = float(np.quantile(errors, min(1.0, COVERED * (n + 1) / n), method="higher"))
    write_obs(out, {"prediction": predicted, "low": predicted - reach, "high": predicted + reach})
    return {"held_out_error": float(errors.mean())}


def write_novelty(out: AnnData, strange: Floats) -> None:
    """Write how unlike the reference samples (n,) are, and warn of those that are very much so."""
    write_obs(out, {"novelty": strange, "unlike_reference": strange > UNLIKE})
    # A classifier must choose among the classes it knows, and can be confident far from all of them.
    flagged = out.obs_names[strange > UNLIKE]
    if len(flagged):
        warn(
            f"{len(flagged)} of {out.n_obs} samples are unlike any sample of the reference, so that their predictions "
            f"mean little: {choices(flagged)}. Look at .obs['novelty']."
        )
