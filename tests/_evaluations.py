"""Stored evaluations written by hand, so that what is read and drawn is known."""

import numpy as np
import pandas as pd
from anndata import AnnData

CLASSES = ("ill", "well")
SAMPLES = ("s0", "s1", "s2", "s3")
TRUTH = ("ill", "ill", "well", "well")
# method -> predicted class of each sample in each of two repeats
SAID = {
    "canonical": (("ill", "ill", "well", "well"), ("ill", "well", "well", "well")),
    "euclidean": (("well", "ill", "well", "ill"), ("ill", "ill", "ill", "ill")),
    "majority": (("ill",) * 4, ("ill",) * 4),
}
ACCURACY = {"canonical": [1.0, 0.75], "euclidean": [0.5, 0.5], "majority": [0.5, 0.5]}


def cross_validated(**more) -> AnnData:
    """Four samples, three methods, two repeats of two folds."""
    scores = [(m, r, -1, "balanced_accuracy", v) for m, values in ACCURACY.items() for r, v in enumerate(values)]
    scores += [(m, r, f, "seconds", 0.5 + f) for m in ACCURACY for r in range(2) for f in range(2)]
    said = [
        (m, r, p // 2, SAMPLES[p], TRUTH[p], names[p])
        for m, repeats in SAID.items()
        for r, names in enumerate(repeats)
        for p in range(4)
    ]
    predictions = pd.DataFrame(said, columns=["method", "repeat", "fold", "sample", "label", "prediction"])
    differences = [("canonical", "euclidean", 0.375, -0.1, 0.8, 0.1), ("canonical", "majority", 0.375, 0.1, 0.6, 0.01)]
    differences += [("euclidean", "majority", 0.0, -0.3, 0.3, 1.0)]
    entry = {
        "kind": "cross_validation",
        "scores": pd.DataFrame(scores, columns=["method", "repeat", "fold", "metric", "value"]),
        "predictions": predictions,
        "probabilities": np.where(predictions["prediction"].to_numpy()[:, None] == np.array(CLASSES), 0.8, 0.2),
        "distances": np.arange(16.0).reshape(1, 4, 4),
        "distance_methods": np.array(["canonical"], dtype=object),
        "differences": pd.DataFrame(differences, columns=["method", "other", "mean", "low", "high", "p_value"]),
        "samples": np.array(SAMPLES, dtype=object),
        "labels": np.array(TRUTH, dtype=object),
        "groups": np.arange(4),
        "classes": np.array(CLASSES, dtype=object),
        "params": {"label_key": "label", "label_kind": "classes"},
        "features": {"slot": "X", "refitted": True, "seen": False},
    }
    return AnnData(np.zeros((2, 1)), uns={"cross_validation": entry | more})


NUMBERS = np.array([4, 8, 10, 16, 20])


def planned(**more) -> AnnData:
    """A cohort of 10 donors: accuracies and areas by the number of donors, and 8 donors that a test needs."""
    value = np.array([0.6, 0.7, 0.72, 0.75, 0.76])
    parts = [
        pd.DataFrame(
            {"metric": name, "n_donors": NUMBERS, "value": value + up, "low": value - 0.1, "high": value + 0.2}
        )
        for name, up in (("balanced_accuracy", 0.0), ("auroc", 0.1))
    ]
    curve = pd.concat(parts, ignore_index=True)
    observed = curve[curve["n_donors"] <= 8].reset_index(drop=True).assign(n_draws=5)
    power = pd.DataFrame({"n_donors": NUMBERS, "value": [0.5, 0.81, 0.9, 0.99, 1.0], "low": 0.1, "high": 1.0})
    entry = {
        "kind": "power",
        "curve": curve.assign(extrapolated=curve["n_donors"] > 8),
        "observed": observed,
        "power": power,
        "needed": np.array([8.0, 4.0, np.nan]),
        "asked": np.array([10, 20]),
        "classes": np.array(CLASSES, dtype=object),
        "donors": np.array([5, 5]),
        "n_donors": 10,
        "signal": True,
        "verdict": "canonical: as said",
        "features": {"slot": "X", "refitted": True, "seen": False},
        "params": {"power": 0.8, "level": 0.05, "confidence": 0.95, "method": "canonical"},
    }
    return AnnData(np.zeros((2, 1)), uns={"power": entry | more})
