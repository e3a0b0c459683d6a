"""Say in words what an evaluation of methods on held-out donors shows, and what it could not show."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from scggml._core.evaluate.detectable import (
    LEVEL,
    by_donor,
    chance_p_value,
    detectable_between,
    detectable_from_chance,
)

STRONG = 0.6
"""Share of the way from chance to perfection from which on a signal is called strong."""

CHANCES: dict[str, Callable[[int], float]] = {
    "balanced_accuracy": lambda C: 1 / C,
    "auroc": lambda C: 0.5,
    "log_loss": lambda C: float(np.log(C)),
}
"""Scores that stand side by side, with what C classes give by chance."""

NAMES = {"balanced_accuracy": "balanced accuracy", "auroc": "AUROC", "log_loss": "log loss", "spearman": "spearman"}


@dataclass(frozen=True, eq=False)
class Evidence:
    """Hold what is known of one method under one split.

    Parameters
    ----------
    scores
        Mean of each score over repeats.
    low, high
        Confidence interval of the balanced accuracy; NaN where there is none.
    p_value
        Of this balanced accuracy, or a larger one, for a method without skill.
    single
        Whether there was one split alone, of which there is no interval.
    """

    scores: pd.Series
    low: float = float("nan")
    high: float = float("nan")
    p_value: float = float("nan")
    single: bool = False


def evidence(scores: pd.DataFrame, differences: pd.DataFrame, method: str, donors: Mapping[str, int]) -> Evidence:
    """Return what is known of a method; its interval is as wide as that of the difference to the majority class.

    It lies around the score of the method: the majority class of the training donors may score less than chance.
    """
    own = scores[(scores["method"].astype(str) == method) & (scores["fold"] == -1)]
    means = own.groupby(own["metric"].astype(str))["value"].mean()
    found = Evidence(means)
    if "balanced_accuracy" not in means:
        return found
    if len(donors) > 1:
        found = replace(found, p_value=chance_p_value(float(means["balanced_accuracy"]), list(donors.values())))
    to_majority = (differences["method"].astype(str) == method) & (differences["other"].astype(str) == "majority")
    rows = differences[to_majority]
    if rows.empty:
        return found
    difference, low, high = rows[["mean", "low", "high"]].iloc[0].astype(np.float64)
    low, high = (float(means["balanced_accuracy"] + end - difference) for end in (low, high))
    return replace(found, low=low, high=high, single=bool(np.isnan(low)))


def judgement(usual: Evidence, apart: Evidence | None, main: str, n_classes: int, where: tuple[str, str]) -> str:
    """Return the conclusion about a method and its grounds.

    Parameters
    ----------
    usual, apart
        What is known by the usual split, and where one batch was left out at a time, if it was.
    main
        Name of the main score.
    where
        What is said before and after the scores of the latter.
    """
    chance = 1 / n_classes if n_classes else 0.0
    said = f"{NAMES.get(main, main)} {usual.scores[main]:.2f}, chance {chance:.2f}"
    judged = bool(np.isfinite(usual.low))
    if judged:
        said += f"; 95 % interval {max(usual.low, 0):.2f} to {min(usual.high, 1):.2f}"
    if usual.single:
        said += "; one split has no interval"
    said += _others(usual.scores, main, n_classes)
    if apart is not None:
        said += f"; {where[0]}: {apart.scores[main]:.2f}{_others(apart.scores, main, n_classes)}{where[1]}"
    if not judged:
        return said
    value = float(usual.scores[main])
    if usual.low <= chance:
        return f"no evidence that the labels can be predicted ({said})"
    if apart is not None:
        if apart.p_value > LEVEL:
            return f"no evidence that the labels can be predicted in another batch ({said})"
        value = min(value, float(apart.scores[main]))
    strength = "strong" if value >= chance + STRONG * (1 - chance) else "weak"
    return f"{strength} signal ({said})"


def _others(scores: pd.Series, main: str, n_classes: int) -> str:
    """Return the scores beside the main one."""
    text = ""
    for name, of_classes in CHANCES.items():
        if name == main or name not in scores:
            continue
        value, chance = float(scores[name]), of_classes(n_classes)
        text += f", {NAMES[name]} {value:.2f}"
        if name == "log_loss":
            over = round(value, 2) > round(chance, 2)
            text += f" (above the {chance:.2f} of chance: probabilities are overconfident)" if over else ""
            text += "" if over else f" (chance {chance:.2f})"
    return text


def donors_of_classes(labels: pd.Series, groups: np.ndarray, classes: list[str]) -> dict[str, int]:
    """Return the number of donors with samples of each class that occurs."""
    table = pd.DataFrame({"label": labels.astype(str).to_numpy(), "group": groups}).drop_duplicates()
    counts = table["label"].value_counts()
    return {name: int(counts[name]) for name in classes if name in counts}


def detectable_pairs(predictions: pd.DataFrame, differences: pd.DataFrame, groups: pd.Series) -> np.ndarray:
    """Return, for each two methods that were compared, the smallest difference that these donors would show."""
    right = (predictions["prediction"].astype(str) == predictions["label"].astype(str)).astype(np.float64)
    names = predictions["sample"].astype(str)
    success = right.groupby([names, predictions["method"].astype(str)]).mean().unstack()
    label = predictions["label"].astype(str).groupby(names).first().loc[success.index]
    codes = pd.factorize(label)[0].astype(np.int64)
    donor = groups.loc[success.index].to_numpy()
    return np.array(
        [
            detectable_between(*by_donor((success[a] - success[b]).to_numpy(), codes, donor))
            for a, b in zip(differences["method"].astype(str), differences["other"].astype(str), strict=True)
        ]
    )


def limits(donors: Mapping[str, int], pair: tuple[str, str, float] | None, n_donors: int) -> str:
    """Return which differences these donors could not show.

    Parameters
    ----------
    donors
        Number in each class.
    pair
        Two methods, and the smallest difference between them that these donors would show.
    n_donors
        Number of all; less than the sum where a donor has samples of several classes.
    """
    n = ", ".join(f"{count} {name!r}" for name, count in donors.items())
    start = f"With {n_donors} donors ({n})"
    least = detectable_from_chance(list(donors.values()))
    if np.isnan(least):
        return f"{start} even perfect predictions cannot be told from chance."
    text = f"{start} balanced accuracies that are less than {least:.2f} above chance cannot be told from it"
    if pair is not None and np.isfinite(pair[2]):
        text += f", nor differences below {pair[2]:.2f} between {pair[0]} and {pair[1]}"
    return f"{text}: a test at 5 % would miss them in more than one of five such cohorts."
