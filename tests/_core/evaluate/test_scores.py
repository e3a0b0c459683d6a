from math import log

import numpy as np
import pytest
from scipy.stats import spearmanr
from sklearn.metrics import brier_score_loss, f1_score, roc_auc_score
from sklearn.metrics import log_loss as log_loss_of_sklearn

from scggml._core.evaluate.scores import (
    brier,
    class_weights,
    concordance,
    held_out_structure,
    log_loss,
    prediction_scores,
    spearman,
    variation_of_information,
    weighted_success,
)
from scggml._core.samples import Target


def one_hot(codes, C):
    return np.eye(C)[codes]


TWO = Target("classes", np.array([0.0, 0, 0, 0, 0, 0, 1, 1]), np.array(["a", "b"]))
ALL = [np.arange(8)]


def test_scores_of_classes_by_hand():
    predicted = np.array([0, 0, 0, 0, 0, 1, 1, 0])
    found = prediction_scores(TWO, one_hot(predicted, 2), ALL)
    assert found["balanced_accuracy"] == pytest.approx((5 / 6 + 1 / 2) / 2)
    macro = f1_score(TWO.codes, predicted, average="macro")
    assert found["macro_f1"] == pytest.approx(macro)
    assert found["corrected_f1"] == pytest.approx(2 * (macro - 0.5))
    assert "spearman" not in found


def test_the_majority_class_has_chance_as_its_balanced_accuracy_and_auroc():
    found = prediction_scores(TWO, np.tile([0.75, 0.25], (8, 1)), ALL)
    assert found["balanced_accuracy"] == 0.5
    assert found["auroc"] == 0.5


def test_auroc_of_one_fold_is_that_of_scikit_learn():
    scores = np.random.default_rng(0).uniform(size=8)
    assert concordance(TWO.codes, scores, ALL) == pytest.approx(roc_auc_score(TWO.codes, scores))


def test_auroc_does_not_punish_models_that_follow_their_training_shares():
    """Held out: one of each class in turn. The share of class 1 among the others betrays which, if folds are pooled."""
    codes = np.tile([0, 1], 10)
    shares = np.array([np.delete(codes, i).mean() for i in range(20)])
    assert roc_auc_score(codes, shares) == 0.0
    assert np.isnan(concordance(codes, shares, [np.array([i]) for i in range(20)]))
    pairs = [np.array([i, i + 1]) for i in range(0, 20, 2)]
    assert concordance(codes, np.full(20, 0.5), pairs) == 0.5


def test_ordered_classes_have_a_rank_correlation_and_a_kappa():
    target = Target("ordered", np.array([0.0, 1, 2, 0, 1, 2]), np.array(["low", "mid", "high"]))
    perfect = prediction_scores(target, one_hot(target.codes, 3), [np.arange(6)])
    assert perfect["spearman"] == pytest.approx(1.0)
    assert perfect["kappa"] == pytest.approx(1.0)
    far, near = (np.where(target.codes == 0, wrong, target.codes) for wrong in (2, 1))
    kappas = [prediction_scores(target, one_hot(p, 3), [np.arange(6)])["kappa"] for p in (far, near)]
    assert kappas[0] < kappas[1] < 1  # a far miss is worse than a near one


def test_numbers_have_a_signed_rank_correlation_and_an_error():
    target = Target("numbers", np.array([1.0, 2.0, 3.0, 5.0]), np.array([]))
    found = prediction_scores(target, np.array([[1.0], [3.0], [2.0], [4.0]]), [np.arange(4)])
    assert found == {"spearman": pytest.approx(0.8), "mean_absolute_error": pytest.approx(0.75)}
    assert prediction_scores(target, -target.values[:, None], [np.arange(4)])["spearman"] == pytest.approx(-1.0)


def test_rank_correlation_is_that_of_scipy_and_zero_for_constants():
    rng = np.random.default_rng(0)
    a, b = rng.integers(0, 5, 30), rng.normal(size=30)
    assert spearman(a, b) == pytest.approx(spearmanr(a, b).statistic)
    assert spearman(a, np.ones(30)) == 0.0


def test_structure_of_held_out_samples():
    codes = np.array([0, 0, 0, 1, 1, 1])
    apart = np.where(codes[:, None] == codes[None], 1.0, 9.0) * (1 - np.eye(6))
    found = held_out_structure(apart, codes, 2)
    assert found["ari"] == 1.0
    assert found["nmi"] == pytest.approx(1.0)
    assert found["vi"] == pytest.approx(0.0)
    assert found["silhouette"] == pytest.approx((9 - 1) / 9)


@pytest.mark.parametrize("codes", [[0, 1], [0, 0, 0], [0, 1, 2]])
def test_folds_that_are_too_small_have_no_structure(codes):
    n = len(codes)
    assert held_out_structure(1.0 - np.eye(n), np.array(codes), 3) == {}


def test_variation_of_information_by_hand():
    # two halves against four quarters: H(quarters | halves) = log 2, and nothing the other way
    assert variation_of_information(np.array([0, 0, 1, 1]), np.array([0, 1, 2, 3])) == pytest.approx(log(2))
    assert variation_of_information(np.array([0, 0, 1, 1]), np.array([1, 1, 0, 0])) == pytest.approx(0.0)


def test_mean_success_is_the_balanced_accuracy():
    scores = one_hot(np.array([0, 0, 0, 0, 0, 1, 1, 0]), 2)
    assert weighted_success(TWO, scores).mean() == pytest.approx(
        prediction_scores(TWO, scores, ALL)["balanced_accuracy"]
    )


@pytest.mark.parametrize("C", [2, 3, 7])
def test_log_loss_and_brier_score_are_those_of_scikit_learn_with_classes_weighted_alike(C):
    rng = np.random.default_rng(C)
    codes = np.concatenate([np.arange(C), rng.choice(C, 40, p=np.arange(1, C + 1) / np.arange(1, C + 1).sum())])
    p = rng.dirichlet(np.full(C, 0.3), len(codes))
    weights = 1 / np.bincount(codes)[codes]
    clipped = np.clip(p, 0.025, 0.975)
    clipped /= clipped.sum(axis=1, keepdims=True)
    assert (p < 0.025).any()
    assert log_loss(codes, p) == pytest.approx(log_loss_of_sklearn(codes, clipped, sample_weight=weights))
    truth = brier_score_loss(codes, p, sample_weight=weights, labels=np.arange(C), scale_by_half=False)
    assert brier(codes, p) == pytest.approx(truth)


def test_probabilities_have_the_scores_of_chance_of_certainty_and_of_certain_error():
    uniform, right = np.full((8, 2), 0.5), one_hot(TWO.codes, 2)
    assert log_loss(TWO.codes, uniform) == pytest.approx(log(2))
    assert brier(TWO.codes, uniform) == pytest.approx(1 / 2)
    assert log_loss(TWO.codes, right) == pytest.approx(-log(0.975))
    assert brier(TWO.codes, right) == pytest.approx(0.0)
    assert log_loss(TWO.codes, 1 - right) == pytest.approx(-log(0.025))
    assert brier(TWO.codes, 1 - right) == pytest.approx(2.0)
    many = np.arange(60)  # a chance of 1/60 is below the least probability
    assert log_loss(many, np.full((60, 60), 1 / 60)) == pytest.approx(log(60))
    # the class of six is as wrong as the class of two is right
    half = np.tile([0.0, 1.0], (8, 1))
    assert brier(TWO.codes, half) == pytest.approx(1.0)
    assert log_loss(TWO.codes, half) == pytest.approx(-(log(0.025) + log(0.975)) / 2)


def test_classes_have_equal_weights_and_those_that_are_absent_none():
    np.testing.assert_allclose(class_weights(np.array([0, 0, 0, 2])), [1 / 6, 1 / 6, 1 / 6, 1 / 2])


@pytest.mark.parametrize("kind", ["classes", "ordered"])
def test_probabilities_of_all_kinds_of_classes_are_scored(kind):
    target = Target(kind, TWO.values, TWO.classes)
    found = prediction_scores(target, np.tile([0.75, 0.25], (8, 1)), ALL)
    assert found["log_loss"] == pytest.approx(-(log(0.75) + log(0.25)) / 2)
    assert found["brier"] == pytest.approx((2 * 0.25**2 + 2 * 0.75**2) / 2)
