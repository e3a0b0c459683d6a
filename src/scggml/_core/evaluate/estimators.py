"""Estimators of a user as methods: they get cells of their own, and what they answer is held to what was asked."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.base import clone

from scggml._arguments import shown
from scggml._core.checks import as_real
from scggml._core.cohort import Floats, Integers, Points
from scggml._core.evaluate.prediction import Fitted, Prediction
from scggml._core.samples import Samples, Target
from scggml._core.tables import arranged, count_order

SUM = 1e-3
"""Error of a sum of probabilities that rounding explains, down to half precision."""


@dataclass(frozen=True)
class Clouds:
    """Any estimator with the interface of scikit-learn; each of its observations is an (n_cells, d) array.

    Parameters
    ----------
    estimator
        An object with `fit(clouds, y)` and `predict_proba(clouds)` (or `predict(clouds)` for numbers); it is cloned
        for each fit.
    """

    estimator: Any

    def fit(self, training: Samples, target: Target, *, rng: np.random.Generator) -> Fitted:
        """Fit a clone to the training samples."""
        if target.kind == "numbers" and not hasattr(self.estimator, "predict"):
            raise TypeError(
                f"The labels are numbers, and the method {_name_of(self.estimator)} has no predict(clouds), which "
                "returns one number for each sample; add it, or leave the method out."
            )
        return FittedEstimator(fit_estimator(cloned(self.estimator), clouds(training), target), clouds, target)


def cloned(estimator: Any) -> Any:
    """Return an estimator with the same options that has seen nothing."""
    name = _name_of(estimator)
    hint = "let it inherit from sklearn.base.BaseEstimator, with all of its options as arguments of __init__"
    if not hasattr(estimator, "get_params") and not hasattr(estimator, "__sklearn_clone__"):
        raise TypeError(f"methods: {name} has no get_params, so it cannot be cloned for each fold; {hint}.")
    try:
        return clone(estimator)
    except (TypeError, RuntimeError) as error:
        raise TypeError(f"methods: {name} cannot be cloned for each fold ({error}); {hint}.") from error


def clouds(samples: Samples) -> list[Points]:
    """Return the cells of each sample, as copies: what an estimator does to them must not reach other methods."""
    return [part.copy() for part in np.split(samples.cohort.points, samples.cohort.offsets[1:-1])]


def fit_estimator(estimator: Any, rows: Any, target: Target) -> Any:
    """Return what `fit` returns, which can predict."""
    fitted = estimator.fit(rows, target.values.copy() if target.kind == "numbers" else target.codes)
    if not hasattr(fitted, "predict") and not hasattr(fitted, "predict_proba"):
        raise TypeError(
            f"The method {_name_of(estimator)}: fit(clouds, y) returned a {type(fitted).__name__}; return the fitted "
            "estimator (return self), which has predict_proba(clouds) or predict(clouds)."
        )
    return fitted


def _name_of(estimator: Any) -> str:
    return type(estimator).__name__


@dataclass(frozen=True)
class FittedEstimator:
    """An estimator after its fit, the rows that it is shown of samples, and what it was to learn."""

    estimator: Any
    rows: Callable[[Samples], Any]
    target: Target

    def predict(self, test: Samples) -> Prediction:
        """Return what the estimator says of samples whose labels it has not seen."""
        rows, n = self.rows(test), test.n_samples
        if self.target.kind == "numbers":
            return Prediction(self._answer("predict", rows, (n,), (n, 1)).reshape(-1, 1))
        scores = np.zeros((n, self.target.n_classes))
        if not hasattr(self.estimator, "predict_proba"):
            codes = self._answer("predict", rows, (n,), (n, 1)).ravel()
            self._check(np.isin(codes, np.arange(self.target.n_classes)), codes, "a code of y for each sample")
            scores[np.arange(n), codes.astype(np.int64)] = 1.0
            return Prediction(scores)
        known = self._known()
        found = self._answer("predict_proba", rows, (n, len(known)), columns=known)
        self._check(found >= 0, found, "probabilities of at least 0")
        total = found.sum(axis=1)
        wanted = "probabilities that sum to 1 for each sample, such as p / p.sum(axis=1, keepdims=True)"
        self._check(np.abs(total - 1) <= SUM, total, wanted, "probabilities of sum ")
        scores[:, known] = found
        return Prediction(scores)

    def _known(self) -> Integers:
        """Return the codes of the classes that columns of probabilities stand for, all in order unless it says so."""
        every = np.arange(self.target.n_classes)
        known = np.asarray(getattr(self.estimator, "classes_", every))
        if known.ndim != 1 or len(set(known.tolist())) < len(known) or not np.isin(known, every).all():
            raise ValueError(
                f"The method {_name_of(self.estimator)} has classes_={shown(known)}; they must be different codes of "
                f"the y that fit(clouds, y) was given, which are 0 to {len(every) - 1}."
            )
        return known.astype(np.int64)

    def _answer(self, call: str, rows: Any, *shapes: tuple[int, ...], columns: Integers | None = None) -> Floats:
        """Return what the estimator says, as finite numbers of one of the shapes.

        Rows of a table that count the samples, and columns that name the classes, are brought in order.
        """
        name = f"The method {_name_of(self.estimator)}: {call}(clouds)"
        wanted = f"an array of shape {shapes[0]}, one row for each of the {len(rows)} held-out samples"
        said = getattr(self.estimator, call)(rows)
        order = count_order(said)
        codes = None if columns is None else [str(code) for code in columns]
        if hasattr(said, "columns"):
            said = arranged(name, said, codes, "y", what="classes")
        found: Floats = as_real(name, said, wanted).astype(np.float64)
        if found.shape not in shapes:
            raise ValueError(f"{name} has shape {found.shape}; return {wanted}.")
        if not np.isfinite(found).all():
            raise ValueError(
                f"{name} has {int((~np.isfinite(found)).sum())} values that are NaN or infinite; return {wanted}, all "
                "finite."
            )
        return found if order is None else found[order]

    def _check(self, right: NDArray[np.bool_], values: Floats, wanted: str, what: str = "") -> None:
        if not right.all():
            name = _name_of(self.estimator)
            raise ValueError(f"The method {name} predicts {what}{values[~right][0]:g}; return {wanted}.")
