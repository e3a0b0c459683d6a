"""tl.power: what is planned from cohorts with and without a signal, and what is refused."""

import numpy as np
import pandas as pd
import pytest
from anndata import AnnData, read_h5ad
from sklearn.base import BaseEstimator

import scggml as sg

QUICK = {"preprocess": None, "summary": None, "n_jobs": 1, "progress": False}


class Centroids(BaseEstimator):
    """Nearest mean of the samples of a class."""

    def fit(self, clouds, y):
        rows = np.stack([cloud.mean(axis=0) for cloud in clouds])
        self.classes_ = np.unique(y)
        self.centers_ = np.stack([rows[y == c].mean(axis=0) for c in self.classes_])
        return self

    def predict_proba(self, clouds):
        rows = np.stack([cloud.mean(axis=0) for cloud in clouds])
        p = np.exp(-0.5 * ((rows[:, None] - self.centers_) ** 2).sum(axis=-1))
        return p / p.sum(axis=1, keepdims=True)


def cohort(n=40, *, shift=2.8, shares=(0.5, 0.5), d=5, seed=0, **obs) -> AnnData:
    """Two cells of each donor, normal around the mean of its class."""
    rng = np.random.default_rng(seed)
    codes = np.searchsorted(np.cumsum(shares), (np.arange(n) + 0.5) / n)
    donors = rng.normal(size=(n, d))
    donors[np.arange(n), codes % d] += shift
    X = np.repeat(donors, 2, axis=0) + 0.1 * rng.normal(size=(2 * n, d))
    table = pd.DataFrame({"sample_id": [f"s{i:02d}" for i in range(n)], "label": [f"c{c}" for c in codes]})
    for name, values in obs.items():
        table[name] = values
    table = table.loc[np.repeat(np.arange(n), 2)].reset_index(drop=True)
    table.index = table.index.astype(str)
    return AnnData(X, obs=table.astype({"label": "category"}))


def planned(adata, method=None, **options):
    sg.tl.power(adata, "sample_id", "label", method=method or Centroids(), **(QUICK | options))
    return sg.get.power(adata)


# Accuracies of 2000 training sets of 20, 40 and 80 donors on 2000 new donors each: `python tests/tl/test_power.py`.
DESIGNS = {
    "two classes": ({"shift": 2.8}, (0.970, 0.973, 0.975)),
    "3 : 7": ({"shift": 3.0, "shares": (0.3, 0.7), "d": 15}, (0.969, 0.977, 0.980)),
    "three classes": ({"shift": 3.2, "shares": (0.34, 0.33, 0.33), "d": 8}, (0.965, 0.972, 0.975)),
}


def truth(n, *, shift, shares=(0.5, 0.5), d=5, n_sets=2000, n_new=2000):
    rng = np.random.default_rng(1)
    found = []
    for _ in range(n_sets):
        codes = np.searchsorted(np.cumsum(shares), (np.arange(n) + 0.5) / n)
        X = rng.normal(size=(n, d))
        X[np.arange(n), codes % d] += shift
        centers = np.stack([X[codes == c].mean(axis=0) for c in range(len(shares))])
        new = rng.normal(size=(n_new, d))
        own = np.arange(n_new) % len(shares)
        new[np.arange(n_new), own] += shift
        found.append((((new[:, None] - centers) ** 2).sum(axis=-1).argmin(axis=1) == own).mean())
    return float(np.mean(found))


@pytest.mark.parametrize("name", DESIGNS)
def test_the_truth_is_within_intervals_that_are_narrow(name):
    design, true = DESIGNS[name]
    covered = np.zeros(3)
    for seed in range(4):
        found = planned(cohort(seed=seed, **design), n_donors=[20, 40, 80], rng=seed)
        rows = found.table[found.table["metric"] == "balanced_accuracy"]
        covered += ((rows["low"] <= true) & (true <= rows["high"])).to_numpy()
        assert (rows["high"] - rows["low"]).iloc[1] <= 0.2
        assert found.signal
        assert found.low <= found.needed <= found.high <= 40
    assert covered.min() >= 3


def test_nothing_is_planned_without_a_signal():
    without = [planned(cohort(24, shift=0.0, seed=seed)) for seed in range(4)]
    assert not any(found.signal for found in without)
    for found in without:
        assert np.isnan([found.needed, found.low, found.high]).all()
        assert "no signal, so nothing can be planned from this cohort" in found.verdict


def test_a_weak_signal_needs_more_donors_than_can_be_told():
    found = planned(cohort(20, shift=1.6, seed=3), power=0.99, level=0.0001)
    assert found.signal
    assert np.isnan(found.needed)
    assert "no number of donors up to 40, twice those of this cohort" in found.verdict


def test_the_verdict_says_what_the_tables_say():
    found = planned(cohort(24), n_donors=[12, 48])
    assert found.asked == (12, 48)
    curve = found.curve[found.curve["metric"] == "balanced_accuracy"].set_index("n_donors")
    for n in (24, 48):
        row = curve.loc[n]
        assert f"{row['value']:.2f} [{row['low']:.2f}, {row['high']:.2f}]" in found.verdict
    assert f"80% of cohorts of {found.needed:.0f} donors or more [{found.low:.0f} to {found.high:.0f}]" in found.verdict
    assert curve["value"].is_monotonic_increasing
    assert (curve["low"] <= curve["value"]).all()
    assert (curve["value"] <= curve["high"]).all()
    assert curve.loc[48, "extrapolated"]
    assert not curve.loc[12, "extrapolated"]
    assert curve.index.max() == 48
    enough = found.power.set_index("n_donors")["value"] >= 0.8
    assert enough.loc[found.needed :].all()
    assert not enough.loc[: found.needed - 1].iloc[-1:].any()
    assert list(found.table["metric"].unique()) == ["balanced_accuracy", "auroc"]


def test_scores_are_those_of_the_draws():
    """A method that needs no donors: each is right or wrong whatever the draw."""

    class First(BaseEstimator):
        def fit(self, clouds, y):
            self.classes_ = np.array([0, 1])
            return self

        def predict_proba(self, clouds):
            p = np.array([0.9 if cloud.mean() > 0 else 0.1 for cloud in clouds])
            return np.stack([1 - p, p], axis=1)

    adata = cohort(20, d=2, seed=4)
    found = planned(adata, First())
    means = adata.X.reshape(20, -1).mean(axis=1) > 0
    codes = np.repeat([0, 1], 10)
    right = np.mean([(means == codes)[codes == c].mean() for c in (0, 1)])
    seen = found.observed[found.observed["metric"] == "balanced_accuracy"]
    np.testing.assert_allclose(seen["value"], right)
    np.testing.assert_allclose(found.curve.loc[found.curve["metric"] == "balanced_accuracy", "value"], right)


LEARNER = sg.tl.Learner(method=sg.tl.Canonical(ridge=0.05), n_comps=2, shrinkage=0.4)


@pytest.mark.parametrize("method", [LEARNER, "pseudobulk"], ids=["learned", "pseudobulk"])
def test_results_are_the_same_for_any_number_of_processes_and_survive_files(method, tmp_path):
    adata = cohort(10)
    options = {"method": method, "n_sizes": 3, "n_draws": 2}
    again = sg.tl.power(adata, "sample_id", "label", copy=True, **(QUICK | options | {"n_jobs": 2}))
    assert "power" not in adata.uns
    planned(adata, **options)
    other = sg.tl.power(adata, "sample_id", "label", copy=True, rng=1, **(QUICK | options))
    for name in ("curve", "observed", "power"):
        pd.testing.assert_frame_equal(adata.uns["power"][name], again.uns["power"][name])
    assert not adata.uns["power"]["observed"].equals(other.uns["power"]["observed"])
    adata.write_h5ad(tmp_path / "cells.h5ad")
    back = sg.get.power(read_h5ad(tmp_path / "cells.h5ad"))
    assert back.verdict == sg.get.power(adata).verdict
    pd.testing.assert_frame_equal(back.table, sg.get.power(adata).table, check_dtype=False)


def test_the_stored_metric_is_what_is_evaluated():
    adata = cohort(12)
    sg.tl.ggml(adata, "sample_id", "label", n_comps=2, progress=False, n_jobs=1)
    sg.tl.power(adata, n_sizes=3, n_draws=2, n_jobs=1, progress=False)
    assert adata.uns["power"]["params"]["method"] == "ggml"
    assert adata.uns["power"]["of"]["fingerprint"] == adata.uns["ggml"]["fingerprint"]
    assert sg.get.power(adata).verdict.startswith("ggml: with 12 donors")


def test_donors_are_what_is_counted():
    adata = cohort(24, donor=[f"d{i // 2}" for i in range(24)])
    found = planned(adata, groups_key="donor")
    assert found.n_donors == 12
    assert dict(found.donors) == {"c0": 6, "c1": 6}
    assert found.curve["n_donors"].max() == 24


def test_donors_may_be_in_both_classes_and_ordered_classes_are_classes():
    adata = cohort(24, shift=3.0, donor=[f"d{i % 12}" for i in range(24)])
    adata.obs["label"] = adata.obs["label"].cat.as_ordered()
    found = planned(adata, groups_key="donor", batch_key="donor")
    assert dict(found.donors) == {"c0": 12, "c1": 12}
    assert found.n_donors == 12
    assert found.signal


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"n_donors": [20, 41]}, ValueError, r"n_donors=41 is more than twice the 20 donors .* at most 40"),
        ({"n_donors": 3}, ValueError, "n_donors=3 is less than 4, the fewest"),
        ({"n_donors": [12.5]}, TypeError, "n_donors=12.5 must be a whole number"),
        ({"n_donors": True}, TypeError, "n_donors=True is a bool"),
        ({"n_donors": "20"}, TypeError, "n_donors='20' is a str"),
        ({"n_donors": []}, ValueError, "n_donors is empty"),
        ({"n_sizes": 2}, ValueError, "n_sizes=2 must be at least 3"),
        ({"n_draws": 1}, ValueError, "n_draws=1 must be at least 2"),
        ({"power": 1.0}, ValueError, "power=1.0 must be a share"),
        ({"level": 0}, ValueError, "level=0 must be a share"),
        ({"confidence": 95}, ValueError, "confidence=95 must be a share"),
        ({"method": "forest"}, ValueError, "'forest' is not known"),
        ({"key_added": "a/b"}, ValueError, "key_added"),
    ],
    ids=str,
)
def test_invalid_arguments_are_told_of_before_any_cell_is_read(options, error, message, monkeypatch):
    monkeypatch.setattr("scggml.tl._power.read_evaluation", lambda *a, **o: pytest.fail("cells were read"))
    with pytest.raises(error, match=message):
        planned(cohort(20), **options)


def test_numbers_and_small_classes_are_refused():
    adata = cohort(20, age=np.linspace(20, 80, 20))
    with pytest.raises(ValueError, match=r"adata.obs\['age'\] holds numbers, of which no share is recognized"):
        sg.tl.power(adata, "sample_id", "age", label_kind="numbers", **QUICK)
    with pytest.raises(ValueError, match="Class 'c0' has 3 donors, too few"):
        planned(cohort(20, shares=(0.15, 0.85)))


if __name__ == "__main__":
    for name, (design, _) in DESIGNS.items():
        print(name, [round(truth(n, **design), 3) for n in (20, 40, 80)])
