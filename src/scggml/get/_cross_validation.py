"""A stored cross-validation as tidy tables."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pandas as pd
from anndata import AnnData

from scggml._anndata.keys import CROSS_VALIDATION
from scggml._anndata.verdicts import read_cross_validation
from scggml._core.evaluate.detectable import detectable_from_chance
from scggml._core.evaluate.scores import spearman
from scggml._docs import documented
from scggml.get._verdict import detectable_pairs, donors_of_classes, evidence, judgement, limits

HIGHER = ("balanced_accuracy", "spearman")
"""The main scores: the first one that is there leads a summary."""


@dataclass(frozen=True, eq=False, kw_only=True)
class CrossValidation:
    """Scores, predictions and differences of methods on held-out donors.

    Parameters
    ----------
    scores
        Columns `method`, `repeat`, `fold` (-1: all held-out samples of the repeat), `metric`, `value`.
    predictions
        Columns `method`, `repeat`, `fold`, `sample`, `label`, `prediction`, the `batch` if it was held out as a whole,
        and the probability of each class (`p:<class>`).
    differences
        Columns `method`, `other`, `mean` (difference of balanced accuracy, or of minus the absolute error), the
        95 % confidence interval `low` to `high` with the correction of Nadeau and Bengio, `p_value`, and `detectable`:
        a true difference of balanced accuracy below this would be missed in more than one of five such cohorts.
    distances
        For each method with distances a samples x samples table; row p is under metrics that were learned without p.
    labels
        Label of each sample.
    chance
        Score of a method without skill: 1 / C for balanced accuracy, 0 for a rank correlation.
    seen
        Representation that was computed on all cells, held-out ones included, if the features are one.
    donors
        Number of donors with samples of each class; empty for numbers.
    n_donors
        Number of all donors; one with samples of several classes counts once.
    by_batch
        The same where one batch (site) was left out at a time, beside the stratified split; None where that was not
        asked for or not possible.
    not_by_batch
        Why it was not possible.
    batch_key
        Column of `.obs` with the batches.

    Examples
    --------
    >>> import scggml as sg
    >>> adata = sg.datasets.synthetic(n_noise=3, n_samples=6, n_cells=10)
    >>> options = {"n_splits": 3, "n_repeats": 2, "n_jobs": 1, "progress": False}
    >>> sg.tl.cross_validate(adata, "sample_id", "label", methods=["canonical", "majority"], **options)
    >>> result = sg.get.cross_validation(adata)
    >>> print(result.verdict.split(";")[0])
    canonical: strong signal (balanced accuracy 1.00, chance 0.33
    >>> round(result.detectable, 2)
    0.29

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
    donors: Mapping[str, int] = field(default_factory=dict)
    n_donors: int = 0
    by_batch: "CrossValidation | None" = None
    not_by_batch: str | None = None
    batch_key: str | None = None

    @property
    def main_metric(self) -> str:
        """`balanced_accuracy` for classes, `spearman` for numbers."""
        there = set(self.scores["metric"])
        return next(name for name in HIGHER if name in there)

    @property
    def summary(self) -> pd.DataFrame:
        """Methods x metrics, as means over repeats (and folds), the main metric first with its `sd` over repeats."""
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
    def batches(self) -> pd.DataFrame:
        """Main score within each batch that was left out, with `method`, `batch`, `n_samples`, `n_classes`, `value`.

        Hardest first for each method. Batches of one class tell little: always saying that class is perfect there.
        """
        found = self if "batch" in self.predictions else self.by_batch
        columns = ["method", "batch", "n_samples", "n_classes", "value"]
        if found is None:
            return pd.DataFrame(columns=columns)
        table = found.predictions.astype({"method": str, "batch": str})
        rows = [(*names, *found._within(part)) for names, part in table.groupby(["method", "batch"], sort=False)]
        out = pd.DataFrame(rows, columns=columns)
        order = list(dict.fromkeys(out["method"]))
        return out.sort_values(["method", "value"], key=lambda c: c.map(order.index) if c.name == "method" else c)

    def _within(self, part: pd.DataFrame) -> tuple[int, int, float]:
        """Return number of samples and classes and the main score of some predictions."""
        if self.main_metric == "spearman":
            return len(part), 0, spearman(part["label"].to_numpy(), part["prediction"].to_numpy())
        label = part["label"].astype(str)
        shares = (part["prediction"].astype(str) == label).groupby(label).mean()
        return len(part), len(shares), float(shares.mean())

    @property
    def detectable(self) -> float:
        """Smallest true difference of a balanced accuracy to chance that four of five such cohorts would show.

        By a one-sided test at 5 % on as many donors of each class; NaN where even perfect predictions could have come
        by chance, and for numbers.
        """
        return detectable_from_chance(list(self.donors.values())) if len(self.donors) > 1 else float("nan")

    @property
    def judgements(self) -> dict[str, str]:
        """Conclusion about each method but the majority, and its grounds in brackets, as `verdict` lists them."""
        batches = self.batches
        names = [name for name in self.summary.index if name != "majority"]
        return {name: self._verdict(name, self.main_metric, batches) for name in names}

    @property
    def verdict(self) -> str:
        """Conclusion about each method but the majority, one line each, and what this cohort could not show.

        For classes the interval lies around the score and is as wide as that of the difference to the majority class,
        whose own score may be less than chance; "no evidence" means that the interval holds chance. Where one batch was
        left out at a time, too, the worse of both decides: there "no evidence" means that a method without skill is as
        good with probability above 5 %.
        """
        judgements = self.judgements
        lines = [f"{name}: {text}" for name, text in judgements.items()]
        if len(self.donors) > 1:
            best = self._best_pair(list(judgements), self.summary[self.main_metric])
            lines.append(limits(self.donors, best, self.n_donors))
        if self.not_by_batch is not None:
            lines.append(f"One batch of {self.batch_key!r} at a time was not left out. {self.not_by_batch}")
        if self.seen is not None:
            lines.append(f"The features {self.seen!r} were computed on all cells, held-out ones included.")
        return "\n".join(lines)

    def _verdict(self, method: str, main: str, batches: pd.DataFrame) -> str:
        n_classes = round(1 / self.chance) if self.chance else 0
        usual = evidence(self.scores, self.differences, method, self.donors)
        if self.by_batch is None:
            return judgement(usual, None, main, n_classes, ("", ""))
        apart = evidence(self.by_batch.scores, self.by_batch.differences, method, self.donors)
        # Which labels a batch of one class has is all that there is to know about it.
        own = batches[(batches["method"] == method) & (batches["n_classes"] != 1)]
        worst = [f", worst in {row.batch!r} ({row.value:.2f}, {row.n_samples} samples)" for row in own.itertuples()]
        return judgement(usual, apart, main, n_classes, (f"leaving one {self.batch_key!r} out", "".join(worst[:1])))

    def _best_pair(self, names: list[str], scores: pd.Series) -> tuple[str, str, float] | None:
        """Return the first method and the best other one, and the smallest difference that would be seen."""
        if len(names) < 2:
            return None
        best = str(scores.loc[names[1:]].idxmax())
        methods, others = (self.differences[side].astype(str) for side in ("method", "other"))
        row = self.differences[(methods == names[0]) & (others == best)]
        return None if row.empty else (names[0], best, float(row["detectable"].iloc[0]))


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
    labels = pd.Series(np.asarray(entry["labels"]), index=names, name=str(entry["params"]["label_key"]))
    groups = pd.Series(np.asarray(entry["groups"]), index=names)
    found = CrossValidation(
        **_tables(entry, classes, groups),
        distances={
            str(name): pd.DataFrame(np.asarray(matrix), index=names, columns=names)
            for name, matrix in zip(entry["distance_methods"], entry["distances"], strict=True)
        },
        labels=labels,
        chance=1 / len(classes) if classes else 0.0,
        seen=str(entry["features"]["slot"]) if bool(entry["features"]["seen"]) else None,
        donors=donors_of_classes(labels, groups.to_numpy(), classes),
        n_donors=groups.nunique(),
        not_by_batch=str(entry["not_by_batch"]) if "not_by_batch" in entry else None,
        batch_key=str(entry["params"]["batch_key"]) if "batch_key" in entry["params"] else None,
    )
    if "by_batch" not in entry:
        return found
    apart: dict[str, Any] = _tables(entry["by_batch"], classes, groups)
    return replace(found, by_batch=replace(found, distances={}, **apart))


def _tables(entry: Mapping[str, Any], classes: list[str], groups: pd.Series) -> dict[str, Any]:
    """Return scores, predictions with probabilities, and differences with what would be seen of them."""
    predictions = entry["predictions"].copy()
    differences = entry["differences"].copy()
    differences["detectable"] = detectable_pairs(predictions, differences, groups) if classes else np.nan
    for place, name in enumerate(classes):
        predictions[f"p:{name}"] = np.asarray(entry["probabilities"])[:, place]
    return {"scores": entry["scores"].copy(), "predictions": predictions, "differences": differences}
