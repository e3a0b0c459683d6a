import numpy as np
import pytest

import scggml as sg
from scggml._core.cohort import from_clouds
from scggml._core.evaluate.calibrated import Calibrated
from scggml._core.evaluate.ensemble import LEAST_SHOWN, Ensemble
from scggml._core.evaluate.methods import ByDistance, FixedMetric, Learned, Profiles, Relearned
from scggml._core.evaluate.scores import log_loss
from scggml._core.evaluate.views import Frequencies, MeanEmbedding
from scggml._core.learn.learner import Learner
from scggml._core.samples import Samples, Target, class_target, plain_samples
from scggml._core.transport.ground import GroundMetric

VIEWS = (
    ("metric", ByDistance(Learned(Learner(n_comps=1)), classifier="soft_knn")),
    ("pseudobulk", Profiles("pseudobulk")),
    ("frequencies", Frequencies(n_clusters=(4,))),
    ("embedding", MeanEmbedding(n_features=50)),
)


def shifted(seed, *, shift=1.5, n=20):
    rng = np.random.default_rng(seed)
    labels = np.arange(n) % 2
    clouds = [rng.normal(size=(20, 4)) + 0.4 * rng.normal(size=4) + [shift * label, 0, 0, 0] for label in labels]
    return from_clouds(clouds, labels)


@pytest.fixture(scope="module")
def fitted():
    cohort = shifted(0)
    return Ensemble(VIEWS, n_splits=4).fit(plain_samples(cohort), class_target(cohort), rng=np.random.default_rng(0))


def test_it_is_the_weighted_mean_of_its_views(fitted):
    new = plain_samples(shifted(1))
    said = fitted.predict(new)
    assert [name for name, _ in said.parts] == [name for name, _ in VIEWS]
    np.testing.assert_allclose(said.scores, sum(w * p for w, (_, p) in zip(fitted.weights, said.parts, strict=True)))
    np.testing.assert_allclose(said.scores.sum(axis=1), 1.0)
    assert (said.scores.argmax(axis=1) == shifted(1).labels).mean() >= 0.9


def test_views_weigh_what_they_have_shown_on_donors_that_were_left_out(fitted):
    codes = shifted(0).labels
    shown = [max(0.0, 1 - log_loss(codes, view.held_out[0]) / np.log(2)) for view in fitted.views.values()]
    weights = (np.array(shown) + LEAST_SHOWN) ** 2
    np.testing.assert_allclose(fitted.weights, weights / weights.sum())
    together = sum(w * view.held_out for w, view in zip(fitted.weights, fitted.views.values(), strict=True))
    np.testing.assert_allclose(fitted.held_out, together)


def test_a_view_draws_the_same_whatever_the_others_are():
    cohort = shifted(0)
    samples, target = plain_samples(cohort), class_target(cohort)
    more = (*VIEWS[:2], ("mine", Calibrated(Profiles("pseudobulk"))))
    one = Ensemble(VIEWS[:2]).fit(samples, target, rng=np.random.default_rng(0))
    other = Ensemble(more).fit(samples, target, rng=np.random.default_rng(0))
    for name in ("metric", "pseudobulk"):
        np.testing.assert_array_equal(one.views[name].held_out, other.views[name].held_out)


def test_numbers_are_the_mean_of_the_numbers_of_the_views():
    rng = np.random.default_rng(0)
    values = np.linspace(0, 3, 20)
    cohort = from_clouds([rng.normal(size=(20, 4)) + np.array([v, 0, 0, 0]) for v in values])
    target = Target("numbers", values, np.array([], dtype=str))
    found = Ensemble(VIEWS).fit(plain_samples(cohort), target, rng=np.random.default_rng(0))
    assert found.held_out.shape == (1, 20, 1)
    assert np.corrcoef(found.held_out[0, :, 0], values)[0, 1] > 0.9


def test_with_covariates_every_view_is_refitted_in_folds():
    cohort = shifted(0)
    samples = Samples(plain_samples(cohort).cohort, np.arange(20), covariates=np.linspace(-1, 1, 20)[:, None])
    found = Ensemble(VIEWS[1:], n_splits=3).fit(samples, class_target(cohort), rng=np.random.default_rng(0))
    assert {type(view).__name__ for view in found.views.values()} == {"FittedCalibrated"}
    np.testing.assert_allclose(found.predict(samples).scores.sum(axis=1), 1.0)


def test_a_metric_that_is_known_is_learned_anew_only_in_folds():
    cohort = shifted(0)
    W = np.eye(4)[:1]
    source = Relearned(Learner(n_comps=1), GroundMetric(W, "euclidean"), 20)
    view = ByDistance(source, classifier="soft_knn", among=False)
    samples, target = plain_samples(cohort), class_target(cohort)
    found = Ensemble((("metric", view),)).fit(samples, target, rng=np.random.default_rng(0))
    fixed = ByDistance(FixedMetric("euclidean"), classifier="soft_knn")
    alone = from_clouds([cloud @ W.T for cloud in np.split(cohort.points, cohort.offsets[1:-1])], cohort.labels)
    truth = fixed.fit(plain_samples(alone), target, rng=np.random.default_rng(0)).predict(plain_samples(alone)).scores
    said = found.predict(samples).scores
    np.testing.assert_array_equal(said.argmax(axis=1), truth.argmax(axis=1))
    some = np.arange(10)
    learned = source.ground(samples.take(some), target.take(some), rng=np.random.default_rng(0))
    assert not np.allclose(learned.components, W)


def test_few_donors_leave_no_inner_fold_and_still_predict():
    cohort = from_clouds([np.full((2, 1), float(i)) for i in (0, 1, 10)], np.array([0, 0, 1]))
    views = (("pseudobulk", Profiles("pseudobulk")),)
    found = Ensemble(views).fit(plain_samples(cohort), class_target(cohort), rng=np.random.default_rng(0))
    assert found.held_out is None
    assert found.predict(plain_samples(cohort)).scores.shape == (3, 2)


def test_the_public_object_names_what_is_wrong():
    for views, error, message in [
        ("pseudobulk", TypeError, "views='pseudobulk' is a str; pass a list"),
        ([], TypeError, "pass a list"),
        (["pseudobulk", "pseudobulk"], ValueError, "views"),
        (["ensemble"], ValueError, "an ensemble; pass its views instead"),
    ]:
        with pytest.raises(error, match=message):
            sg.tl.Ensemble(views)
    adata = sg.datasets.synthetic(n_noise=3, n_samples=4, n_cells=10)
    with pytest.raises(ValueError, match="Ensemble: method 'pseudo' is not known"):
        sg.tl.cross_validate(adata, "sample_id", "label", methods={"mine": sg.tl.Ensemble(["pseudo"])}, progress=False)
    with pytest.raises(ValueError, match="n_splits"):
        sg.tl.Ensemble(n_splits=1)
