"""A choice among settings that is made inside the training donors."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import product
from typing import Any, Literal, get_args

import numpy as np

from scggml._core.evaluate.prediction import Fitted, Method, Prediction
from scggml._core.evaluate.run import main_score, ranked
from scggml._core.folds import learnable, make_folds
from scggml._core.samples import Samples, Target
from scggml._core.threads import ignored

Search = Literal["grid", "random", "optuna"]
SEARCHES: tuple[Search, ...] = get_args(Search)

Setting = Mapping[str, Any]


def all_settings(space: Mapping[str, Sequence[Any]]) -> list[dict[str, Any]]:
    """Return every combination of the values, the first one of each first."""
    return [dict(zip(space, values, strict=True)) for values in product(*space.values())]


def setting_name(setting: Setting) -> str:
    """Return the name of a setting, such as `n_comps=2, shrinkage=0.3`."""
    return ", ".join(f"{name}={value}" for name, value in setting.items())


@dataclass(frozen=True)
class Tuned:
    """The setting that predicts held-out donors best in folds of the training samples, refitted to all of these.

    Parameters
    ----------
    space
        Values to try of each option.
    build
        Makes a method from a setting.
    search
        `"grid"` tries all combinations, `"random"` up to `n_trials` of them, `"optuna"` lets Optuna pick them.
    n_trials
        Settings to try; None for all.
    n_splits, n_repeats
        Inner folds; at most as many splits as there are donors.
    """

    space: Mapping[str, Sequence[Any]]
    build: Callable[[Setting], Method]
    search: Search = "grid"
    n_trials: int | None = None
    n_splits: int = 4
    n_repeats: int = 1

    def choose(
        self, training: Samples, target: Target, *, rng: np.random.Generator
    ) -> tuple[Setting, dict[str, float]]:
        """Return the best setting and the inner score of each that was tried; among equal ones the first is taken."""
        seed = int(rng.integers(2**31))
        n_splits = min(self.n_splits, len(np.unique(training.groups)))
        given: dict[str, Any] = {"n_splits": n_splits, "n_repeats": self.n_repeats}
        folds = make_folds(target, training.groups, batch=training.batch, rng=rng, **given)
        if training.batch is not None:
            # Where few matched pairs are left, some folds leave no batch with different labels to learn from.
            folds = [one for one in folds if learnable(target, training.batch, [one])] or folds
        tried: dict[str, tuple[Setting, tuple[float, float]]] = {}

        def score(setting: Setting) -> float:
            name = setting_name(setting)
            if name not in tried:
                tried[name] = setting, main_score(lambda _: training, target, folds, self.build(setting), seed)
            return float(ranked(np.array([tried[name][1]]))[0])

        if self.search == "optuna":
            _search_with_optuna(self.space, score, self.n_trials, seed)
        else:
            for setting in self._settings(rng):
                score(setting)
        names = list(tried)
        best = names[int(ranked(np.array([tried[name][1] for name in names])).argmax())]
        return tried[best][0], {name: tried[name][1][0] for name in names}

    def _settings(self, rng: np.random.Generator) -> list[dict[str, Any]]:
        every = all_settings(self.space)
        if self.search == "grid" or self.n_trials is None or self.n_trials >= len(every):
            return every
        return [every[i] for i in np.sort(rng.choice(len(every), self.n_trials, replace=False))]

    def fit(self, training: Samples, target: Target, *, rng: np.random.Generator) -> Fitted:
        """Choose a setting and refit it."""
        best, inner = self.choose(training, target, rng=rng)
        fitted = self.build(best).fit(training, target, rng=rng)
        return _Chosen(fitted, setting_name(best), tuple(inner.items()))


@dataclass(frozen=True)
class _Chosen:
    fitted: Fitted
    choice: str
    inner: tuple[tuple[str, float], ...]

    def predict(self, test: Samples) -> Prediction:
        return replace(self.fitted.predict(test), choice=self.choice, inner=self.inner)


def _search_with_optuna(
    space: Mapping[str, Sequence[Any]], score: Callable[[Setting], float], n_trials: int | None, seed: int
) -> None:
    """Let the tree-structured Parzen estimator of Optuna pick settings."""
    import optuna  # noqa: PLC0415

    level = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    try:
        with ignored(optuna.exceptions.ExperimentalWarning):
            study = optuna.create_study(direction="maximize", sampler=optuna.samplers.TPESampler(seed=seed))
            study.optimize(
                lambda trial: score(
                    {
                        name: values[trial.suggest_categorical(name, list(range(len(values))))]
                        for name, values in space.items()
                    }
                ),
                n_trials=n_trials or len(all_settings(space)),
            )
    finally:
        optuna.logging.set_verbosity(level)
