"""Turn what methods said in all folds into tables and arrays that `.uns` and files can hold."""

from collections.abc import Mapping, Sequence
from dataclasses import fields
from typing import Any

import numpy as np

from scggml._anndata.evaluation import Evaluation
from scggml._anndata.results import table
from scggml._core.cohort import Names
from scggml._core.evaluate.run import HeldOut, Score, batch_removal, compare, mean_rows, score_method
from scggml._core.evaluate.scores import decide

CONFIDENCE = 0.95
"""Of the intervals of differences between methods."""


def entry(
    evaluation: Evaluation,
    results: Mapping[str, Sequence[HeldOut]],
    arguments: Mapping[str, Any],
    *,
    batches: Names | None = None,
) -> dict[str, Any]:
    """Return the content of `.uns`.

    Parameters
    ----------
    results
        What each method said in each fold, in order.
    arguments
        What was asked for.
    batches
        (P,) batch of each sample, where folds hold out one batch each.
    """
    target, P = evaluation.target, len(evaluation.names)
    rows = {name: mean_rows(parts, P) for name, parts in results.items()}
    distances = {name: row for name, row in rows.items() if row is not None}
    labels = target.values if target.kind == "numbers" else target.classes[target.codes].astype(object)
    return {
        "kind": "cross_validation",
        **compared(evaluation, results, batches=batches),
        "distances": np.stack(list(distances.values())).astype(np.float32) if distances else np.empty((0, P, P)),
        "distance_methods": np.array(list(distances), dtype=object),
        "samples": evaluation.names.astype(object),
        "labels": labels,
        "groups": evaluation.groups,
        "classes": target.classes.astype(object),
        "params": dict(arguments),
        "features": evaluation.describe(),
    }


def compared(
    evaluation: Evaluation, results: Mapping[str, Sequence[HeldOut]], *, batches: Names | None = None
) -> dict[str, Any]:
    """Return scores, predictions and differences of methods on the same folds.

    Parameters
    ----------
    batches
        (P,) batch of each sample, where folds hold out one batch each.
    """
    target = evaluation.target
    scores = [score for name, parts in results.items() for score in score_method(name, parts, target)]
    for key, codes in evaluation.technical.items():
        scores += [
            Score(name, repeat, -1, f"batch_removal:{key}", value)
            for name, parts in results.items()
            for repeat, value in batch_removal(parts, codes).items()
        ]
    differences = compare(results, target, evaluation.groups, CONFIDENCE)
    return {
        "scores": table(
            {field.name: [getattr(score, field.name) for score in scores] for field in fields(Score)},
            names=("method", "metric"),
        ),
        **_predictions(evaluation, results, batches),
        "differences": table(
            {
                "method": [a for a, _, _ in differences],
                "other": [b for _, b, _ in differences],
                **{
                    name: np.array([getattr(interval, name) for _, _, interval in differences], dtype=np.float64)
                    for name in ("mean", "low", "high", "p_value")
                },
            },
            names=("method", "other"),
        ),
    }


def _predictions(
    evaluation: Evaluation, results: Mapping[str, Sequence[HeldOut]], batches: Names | None
) -> dict[str, Any]:
    """Return the table of held-out predictions and, row by row, the class probabilities (or the predicted numbers)."""
    target = evaluation.target
    parts = [(name, part) for name, held_out in results.items() for part in held_out]
    tests = np.concatenate([part.fold.test for _, part in parts])
    sizes = [len(part.fold.test) for _, part in parts]
    scores = np.concatenate([part.prediction.scores for _, part in parts])
    predicted = decide(target.kind, scores)
    truth = target.values[tests]
    numbers = target.kind == "numbers"
    columns: dict[str, Any] = {
        "method": np.repeat([name for name, _ in parts], sizes),
        "repeat": np.repeat([part.fold.repeat for _, part in parts], sizes),
        "fold": np.repeat([part.fold.fold for _, part in parts], sizes),
        "sample": evaluation.names[tests],
        "label": truth if numbers else target.classes[truth.astype(np.int64)],
        "prediction": predicted if numbers else target.classes[predicted.astype(np.int64)],
    }
    names: tuple[str, ...] = ("method", "sample") if numbers else ("method", "sample", "label", "prediction")
    if batches is not None:
        columns["batch"], names = batches[tests], (*names, "batch")
    return {"predictions": table(columns, names=names), "probabilities": scores}
