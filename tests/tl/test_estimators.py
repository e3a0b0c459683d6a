"""Estimators of a user: what they need, and answers that would pass for predictions."""

import numpy as np
import pandas as pd
import pytest
from _small import QUIET, cohort
from sklearn.base import BaseEstimator

import scggml as sg


class Base(BaseEstimator):
    def fit(self, clouds, y):
        self.classes_, self.means = np.unique(y), [np.mean([c.mean() for c in clouds])]
        return self

    def truth(self, clouds):
        return np.array([float(cloud.mean() > self.means[0]) for cloud in clouds])


class Probabilities(Base):
    def predict_proba(self, clouds):
        return np.stack([1 - self.truth(clouds), self.truth(clouds)], axis=1)


class Codes(Base):
    def predict(self, clouds):
        return self.truth(clouds)


class Silent(Probabilities):
    """Says no classes_: columns are the codes in order."""

    def fit(self, clouds, y):
        super().fit(clouds, y)
        del self.classes_
        return self


def saying(answer, base=Probabilities):
    class Saying(base):
        def predict_proba(self, clouds):
            return answer(super().predict_proba(clouds))

    return Saying()


def coding(answer):
    class Coding(Codes):
        def predict(self, clouds):
            return answer(super().predict(clouds))

    return Coding()


def evaluate(method, adata=None, label="label", **options):
    adata = cohort(8) if adata is None else adata
    given = {"n_splits": 2, "n_repeats": 1, "preprocess": None}
    sg.tl.cross_validate(adata, "sample", label, methods={"mine": method}, **given, **QUIET, **options)
    return sg.get.cross_validation(adata).summary


@pytest.mark.parametrize("method", [Probabilities(), Codes(), Silent(), saying(lambda p: p * 0.9996), saying(list)])
def test_an_estimator_with_either_answer_is_a_method(method):
    assert evaluate(method).loc["mine", "balanced_accuracy"] == 1.0


@pytest.mark.parametrize(
    ("method", "message"),
    [
        (
            saying(lambda p: p * np.nan),
            r"Saying: predict_proba\(clouds\) has 8 values that are NaN or infinite",
        ),
        (saying(lambda p: p[:1]), r"predict_proba\(clouds\) has shape \(1, 2\); return an array of shape \(4, 2\)"),
        (saying(lambda p: p[:, 0]), r"predict_proba\(clouds\) has shape \(4,\); return an array of shape \(4, 2\)"),
        (saying(lambda p: p + 1j), r"predict_proba\(clouds\) has shape \(4, 2\) and dtype complex128; pass"),
        (saying(lambda p: p - 0.5), "predicts -0.5; return probabilities of at least 0"),
        (
            saying(lambda p: p * 0),
            "predicts probabilities of sum 0; return probabilities that sum to 1 for each sample",
        ),
        (
            saying(lambda p: p * 7),
            r"predicts probabilities of sum 7; return .*, such as p / p\.sum\(axis=1, keepdims=True\)",
        ),
        (
            saying(lambda p: pd.DataFrame(p, columns=["a", "b"])),
            "does not have the 2 classes of y: it lacks '0', '1' and",
        ),
        (saying(lambda p: None), "and dtype object; pass an array"),
        (coding(lambda y: y[:1]), r"predict\(clouds\) has shape \(1,\); return an array of shape \(4,\)"),
        (coding(lambda y: y * np.nan), r"Coding: predict\(clouds\) has 4 values that are NaN"),
        (coding(lambda y: y + 5), "predicts [56]; return a code of y for each sample"),
        (coding(lambda y: np.array(["a"] * len(y))), "and dtype <U1; pass an array"),
    ],
)
def test_an_answer_that_is_no_prediction_is_refused(method, message):
    with pytest.raises(ValueError, match=message):
        evaluate(method)


@pytest.mark.parametrize(
    "method",
    [
        saying(lambda p: pd.DataFrame(p)[[1, 0]]),
        saying(lambda p: pd.DataFrame(p, columns=["0", "1"])[["1", "0"]]),
        saying(lambda p: pd.DataFrame(p).iloc[::-1]),
        saying(lambda p: pd.DataFrame(p, index=["s"] * len(p))),
        coding(lambda y: pd.Series(y).iloc[::-1]),
    ],
)
def test_tables_say_which_class_and_sample_is_meant(method):
    assert evaluate(method).loc["mine", "balanced_accuracy"] == 1.0


class Eraser(Probabilities):
    """Works in place on all that it gets."""

    def fit(self, clouds, y):
        super().fit(clouds, y)
        return self._erase(clouds, y)

    def predict_proba(self, clouds):
        found = super().predict_proba(clouds)
        self._erase(clouds)
        return found

    def predict(self, clouds):
        return self.predict_proba(clouds)[:, 1]

    def _erase(self, *parts):
        for part in parts:
            for row in part if isinstance(part, list) else [part]:
                row[:] = 0
        return self


@pytest.mark.parametrize("label_kind", ["classes", "numbers"])
def test_what_an_estimator_does_to_its_cells_does_not_reach_other_methods(label_kind):
    adata = cohort(8)
    adata.obs["age"] = adata.obs["sample"].astype(float)
    label = "age" if label_kind == "numbers" else "label"
    others = {"canonical": "canonical", "pseudobulk": "pseudobulk"}
    options = {"n_splits": 2, "n_repeats": 2, "preprocess": None, "label_kind": label_kind} | QUIET
    found = []
    for methods in (others, {"mine": Eraser()} | others):
        sg.tl.cross_validate(adata, "sample", label, methods=methods, **options)
        found.append(sg.get.cross_validation(adata).summary.drop(columns="seconds").loc[list(others)])
    # a number for each method and fold: streams of random numbers are those of the place in the list
    pd.testing.assert_frame_equal(*found, check_exact=False, rtol=1e-9)


def test_numbers_need_predict():
    adata = cohort(8)
    adata.obs["age"] = np.repeat(np.arange(8.0), 5)
    with pytest.raises(TypeError, match=r"labels are numbers, and the method Probabilities has no predict\(clouds\)"):
        evaluate(Probabilities(), adata, "age", label_kind="numbers")
    evaluate(coding(lambda y: y), adata, "age", label_kind="numbers")


class OnlyFit(BaseEstimator):
    def fit(self, clouds, y):
        return self


class OnlyPredict(BaseEstimator):
    def predict(self, clouds):
        return np.zeros(len(clouds))


class Forgetful(Probabilities):
    def fit(self, clouds, y):
        super().fit(clouds, y)


class Bare:
    def fit(self, clouds, y):
        return self

    def predict_proba(self, clouds):
        return np.full((len(clouds), 2), 0.5)


class Changed(Probabilities):
    def __init__(self, depth=()):
        self.depth = list(depth)


@pytest.mark.parametrize(
    ("method", "message"),
    [
        (
            Forgetful(),
            r"The method Forgetful: fit\(clouds, y\) returned a NoneType; return the fitted estimator \(return sel",
        ),
        (Bare(), "methods: Bare has no get_params, so it cannot be cloned for each fold; let it inherit from sklearn"),
        (Changed(), "methods: Changed cannot be cloned for each fold .*; let it inherit"),
        (OnlyFit(), "methods: A method is a OnlyFit, which has neither predict_proba nor predict; pass a name of"),
        (OnlyPredict(), "methods: A method is a OnlyPredict, which has no fit; pass a name of"),
        (Codes, r"methods: Codes is a class; pass an object, such as Codes\(\)"),
        (None, "methods: A method is a NoneType"),
    ],
)
def test_what_an_estimator_lacks_is_named(method, message):
    with pytest.raises(TypeError, match=message):
        evaluate(method)


@pytest.mark.parametrize("methods", [True, 3, np.nan, b"majority"])
def test_methods_are_names_or_a_dict(methods):
    with pytest.raises(TypeError, match=r"^methods=.* is a \w+; pass a list of names of 'canonical', .*or a dict"):
        sg.tl.cross_validate(cohort(), "sample", "label", methods=methods, **QUIET)


def test_names_of_methods_that_are_one_as_text_are_refused():
    with pytest.raises(ValueError, match=r"^methods has 1 \(int\) and '1' \(str\), which are the same as text"):
        sg.tl.cross_validate(cohort(), "sample", "label", methods={1: "majority", "1": "euclidean"}, **QUIET)


@pytest.mark.parametrize(
    ("name", "method"),
    [
        ("majority", "canonical"),
        ("majority", Probabilities()),
        ("canonical", "euclidean"),
        ("canonical", sg.tl.Learner(method="triplets")),
        ("cosine", sg.tl.Blend()),
        ("blend", sg.tl.Learner()),
    ],
)
def test_the_name_of_a_method_is_kept_for_it(name, method):
    with pytest.raises(
        ValueError, match=rf"methods\['{name}'\] is .*'{name}' is the name of another method.*'my {name}'"
    ):
        sg.tl.cross_validate(cohort(), "sample", "label", methods={name: method}, **QUIET)


def test_a_method_may_have_its_own_name():
    options = {"n_splits": 2, "n_repeats": 1} | QUIET
    methods = {"canonical": sg.tl.Learner(n_comps=1), "blend": sg.tl.Blend(["cosine"]), "majority": "majority"}
    for given in (methods, ["blend", "cosine"]):
        sg.tl.cross_validate(cohort(8), "sample", "label", methods=given, **options)
