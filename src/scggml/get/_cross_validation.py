"""A stored cross-validation as tidy tables."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from anndata import AnnData

from scggml._anndata.keys import CROSS_VALIDATION
from scggml._anndata.verdicts import read_cross_validation
from scggml._docs import documented

HIGHER = ("balanced_accuracy", "spearman")
"""The main scores: the first one that is there leads a summary."""

STRONG = 0.6
"""Share of the way from chance to perfection from which on a signal is called strong."""


@dataclass(frozen=True, eq=False, kw_only=True)
class CrossValidation:
    """Scores, predictions and differences of methods on held-out donors.

    Parameters
    ----------
    scores
        Columns `method`, `repeat`, `fold` (-1: all held-out samples of the repeat), `metric`, `value`.
    predictions
        Columns `method`, `repeat`, `fold`, `sample`, `label`, `prediction`, and the probability of each class
        (`p:<class>`).
    differences
        Columns `method`, `other`, `mean` (difference of balanced accuracy, or of minus the absolute error), the
        95 % confidence interval `low` to `high` with the correction of Nadeau and Bengio, and `p_value`.
    distances
        For each method with distances a samples x samples table; row p is under metrics that were learned without p.
    labels
        Label of each sample.
    chance
        Score of a method without skill: 1 / C for balanced accuracy, 0 for a rank correlation.
    seen
        Representation that was computed on all cells, held-out ones included, if the features are one.

    Examples
    --------
    >>> import scggml as sg
    >>> adata = sg.datasets.synthetic(n_noise=3, n_samples=6, n_cells=10)
    >>> options = {"n_splits": 3, "n_repeats": 2, "n_jobs": 1, "progress": False}
    >>> sg.tl.cross_validate(adata, "sample_id", "label", methods=["canonical", "majority"], **options)
    >>> result = sg.get.cross_validation(adata)
    >>> print(result.verdict)
    canonical: strong signal (balanced accuracy 1.00, chance 0.33; 95 % interval 1.00 to 1.00)

    References
    ----------
    Nadeau and Bengio, *Inference for the generalization error*, Machine Learning 2003.
    """

    scores: pd.DataFrame
    predictions: pd.DataFrame
    differences: pd.DataFrame
    distances: dict[str, pd.DataFrame]
    labels: pd.Series
    chance: float
    seen: str | None = None

    @property
    def main_metric(self) -> str:
        """`balanced_accuracy` for classes, `spearman` for numbers."""
        there = set(self.scores["metric"])
        return next(name for name in HIGHER if name in there)

    @property
    def summary(self) -> pd.DataFrame:
        """Methods x metrics: mean over repeats (and folds), the main metric first with its `sd` over repeats."""
        order = list(self.scores["method"].unique())
        means = self.scores.groupby(["method", "metric"], observed=True)["value"].mean().unstack("metric").loc[order]
        main = self.scores[self.scores["metric"] == self.main_metric]
        spread = main.groupby("method", observed=True)["value"].std(ddof=1).reindex(order)
        means.columns = means.columns.astype(str)
        means.insert(0, self.main_metric, means.pop(self.main_metric))
        means.insert(1, "sd", spread)
        means.index = pd.Index(order, name="method")
        means.columns.name = None
        return means

    @property
    def verdict(self) -> str:
        """Conclusion about each method but the majority, one line each.

        For classes the interval is that of the difference to the majority class, whose balanced accuracy is chance; "no
        evidence" means that the interval holds chance.
        """
        lines = [self._verdict(name) for name in self.summary.index if name != "majority"]
        if self.seen is not None:
            lines.append(f"The features {self.seen!r} were computed on all cells, held-out ones included.")
        return "\n".join(lines)

    def _verdict(self, method: str) -> str:
        value = float(self.summary[self.main_metric][method])
        said = f"{self.main_metric.replace('_', ' ')} {value:.2f}, chance {self.chance:.2f}"
        rows = self.differences
        rows = rows[(rows["method"].astype(str) == method) & (rows["other"].astype(str) == "majority")]
        if self.main_metric != "balanced_accuracy" or rows.empty:
            return f"{method}: {said}"
        low, high = (self.chance + float(rows[side].iloc[0]) for side in ("low", "high"))
        if np.isnan(low):  # a single split
            return f"{method}: {said}; one split has no interval"
        said = f"({said}; 95 % interval {max(low, 0):.2f} to {min(high, 1):.2f})"
        if low <= self.chance <= high or high < self.chance:
            return f"{method}: no evidence that the labels can be predicted {said}"
        strength = "strong" if value >= self.chance + STRONG * (1 - self.chance) else "weak"
        return f"{method}: {strength} signal {said}"


@documented
def cross_validation(adata: AnnData, *, key: str = CROSS_VALIDATION) -> CrossValidation:
    """Return a stored cross-validation as tidy tables with a summary and a verdict in words.

    Parameters
    ----------
    adata
        AnnData that `tl.cross_validate` (or `tl.tune`) has written to.
    key
        %(key_result)s

    Returns
    -------
    An object with `scores`, `predictions`, `differences`, `distances`, `summary` and `verdict`.

    Raises
    ------
    KeyError
        No such result; the message lists the stored ones.

    Examples
    --------
    >>> import scggml as sg
    >>> adata = sg.datasets.synthetic(n_noise=3, n_samples=6, n_cells=10)
    >>> options = {"n_splits": 3, "n_repeats": 2, "n_jobs": 1, "progress": False}
    >>> sg.tl.cross_validate(adata, "sample_id", "label", methods=["canonical", "majority"], **options)
    >>> result = sg.get.cross_validation(adata)
    >>> list(result.predictions.columns[:6])
    ['method', 'repeat', 'fold', 'sample', 'label', 'prediction']
    >>> result.distances["canonical"].shape
    (18, 18)

    References
    ----------
    Nadeau and Bengio, *Inference for the generalization error*, Machine Learning 2003.
    """
    entry = read_cross_validation(adata, key)
    names = pd.Index([str(name) for name in entry["samples"]], name="sample")
    classes = [str(name) for name in entry["classes"]]
    predictions = entry["predictions"].copy()
    for place, name in enumerate(classes):
        predictions[f"p:{name}"] = np.asarray(entry["probabilities"])[:, place]
    return CrossValidation(
        scores=entry["scores"].copy(),
        predictions=predictions,
        differences=entry["differences"].copy(),
        distances={
            str(name): pd.DataFrame(np.asarray(matrix), index=names, columns=names)
            for name, matrix in zip(entry["distance_methods"], entry["distances"], strict=True)
        },
        labels=pd.Series(np.asarray(entry["labels"]), index=names, name=str(entry["params"]["label_key"])),
        chance=1 / len(classes) if classes else 0.0,
        seen=str(entry["features"]["slot"]) if bool(entry["features"]["seen"]) else None,
    )
