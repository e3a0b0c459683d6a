"""The study design means the same wherever a metric is learned, evaluated and used: a planted effect for each part."""

import numpy as np
import pandas as pd
import pytest
from _nulls import null_cohort
from scipy.stats import spearmanr

import scggml as sg
from scggml._core.explain.refit import Refit
from scggml.tl import _permutation_test as permutations

QUIET = {"progress": False, "n_jobs": 1}
LEVELS = ["none", "mild", "moderate", "severe"]


def numbered(adata, column="donor"):
    return adata.obs[column].astype(str).str[1:].astype(int).to_numpy()


def importance(adata, **options):
    """Share of each gene in the variance of the cells under the metric."""
    sg.tl.ggml(adata, "sample", "label", **({"progress": False, "n_comps": 1} | options))
    X = adata.X
    if "adjustment" in adata.uns["ggml"]:
        found = adata.uns["ggml"]["adjustment"]
        X = X - (adata.obs[options["covariate_keys"]].to_numpy(dtype=float) - found["center"]) @ found["slopes"]
    shares = sg.get.metric(adata).gene_importance.to_numpy() * X.var(axis=0)
    return shares / shares.sum()


def evaluate(adata, methods=("canonical",), **options):
    given = {"preprocess": None, "n_splits": 4, "n_repeats": 1} | QUIET
    sg.tl.cross_validate(adata, "sample", "label", methods=methods, **(given | options))
    return sg.get.cross_validation(adata)


# ---- ordered labels


def graded(seed):
    """Feature 0 rises with severity a little; feature 1 tells one of the levels apart from all others, by far."""
    adata = null_cohort(seed, n_donors=16, n_cells=8)
    grade = numbered(adata) % 4
    adata.X[:, 0] += 1.5 * grade
    adata.X[:, 1] += 5.0 * (grade == 1)
    adata.obs["label"] = pd.Categorical.from_codes(grade, LEVELS, ordered=True)
    return adata


def rank_correlation(adata, kind, learner):
    """Of held-out donors; for classes, too, by the level that is expected of the probabilities."""
    table = evaluate(adata, {"learned": learner}, label_kind=kind).predictions
    expected = table[[f"p:{name}" for name in LEVELS]].to_numpy() @ np.arange(4)
    return spearmanr(expected, table["label"].astype(str).map(LEVELS.index))[0]


@pytest.mark.slow
@pytest.mark.parametrize("method", ["canonical", "triplets"])
def test_ordered_learning_ranks_few_donors_better_than_classes(method):
    learner = sg.tl.Learner(method=method, n_comps=1)
    cohorts = [graded(seed) for seed in range(4)]
    classes, ordered = ([rank_correlation(adata, kind, learner) for adata in cohorts] for kind in ("classes", LEVELS))
    assert np.mean(ordered) > np.mean(classes) + 0.1
    assert np.mean(ordered) > 0.5


def test_ordered_learning_prefers_what_rises_with_the_level():
    for method in ("canonical", "triplets"):
        classes, ordered = (
            importance(graded(0), method=method, label_kind=kind, shrinkage=0.0) for kind in ("classes", "ordered")
        )
        assert ordered[0] > classes[0] + 0.2
        assert ordered[0] > ordered[1]


# ---- covariates


def aged(seed, effect, n_donors=48):
    """Feature 0 follows age, feature 1 the label; the ill are ten years older."""
    adata = null_cohort(seed, n_donors=n_donors, n_cells=6)
    ill = np.arange(n_donors) % 2
    age = 50 + 10 * ill + np.random.default_rng(seed).normal(scale=5, size=n_donors)
    donor = numbered(adata)
    adata.obs["age"], adata.obs["label"] = age[donor], np.where(ill[donor], "ill", "well")
    adata.X *= 0.7
    adata.X[:, 0] += 0.6 * (age[donor] - 55)
    adata.X[:, 1] += effect * ill[donor]
    return adata


@pytest.mark.parametrize("method", ["canonical", "triplets"])
def test_an_effect_of_age_that_goes_with_the_label_is_taken_off(method):
    adata = aged(0, effect=1.0)
    naive = importance(adata, method=method)
    aware = importance(adata, method=method, covariate_keys=["age"])
    assert naive[0] > 0.5
    assert aware[0] < 0.1
    assert aware[1] > 0.6
    slopes = adata.uns["ggml"]["adjustment"]["slopes"][0]
    assert slopes[0] == pytest.approx(0.6, abs=0.06)
    assert np.abs(slopes[1:]).max() < 0.06


def test_the_metric_of_held_out_donors_follows_the_label_where_age_is_taken_off():
    """Among donors of one label, distances say who is of one age, unless age is taken off."""
    adata = aged(1, effect=2.0)
    options = {"methods": {"learned": sg.tl.Learner(n_comps=1)}}
    age = adata.obs.groupby("sample", observed=True)["age"].first()
    ill = adata.obs.groupby("sample", observed=True)["label"].first() == "ill"
    rows = {}
    for name, keys in (("naive", ()), ("aware", ["age"])):
        D = evaluate(adata, **options, covariate_keys=keys).distances["learned"]
        years, other = (
            np.abs(v.loc[D.index].to_numpy(float)[:, None] - v.loc[D.index].to_numpy(float)) for v in (age, ill)
        )
        off = ~np.eye(len(D), dtype=bool)
        alike = other[off] == 0
        rows[name] = spearmanr(D.to_numpy()[off][alike], years[off][alike])[0], D.to_numpy()[off], other[off]
    assert rows["naive"][0] > 0.3
    assert abs(rows["aware"][0]) < min(0.2, rows["naive"][0] - 0.2)
    apart, together = (rows["aware"][1][rows["aware"][2] == value].mean() for value in (1, 0))
    assert apart > 1.5 * together


@pytest.mark.slow
def test_a_label_that_goes_with_age_alone_is_predicted_no_longer():
    methods = ["canonical", "euclidean", "pseudobulk"]
    found = {
        keys: np.mean(
            [evaluate(aged(s, 0.0), methods, covariate_keys=keys).summary["balanced_accuracy"] for s in range(4)]
        )
        for keys in ((), ("age",))
    }
    assert found[()] > 0.75
    assert found[("age",)] < 0.65


def test_new_samples_are_freed_of_age_by_the_effects_of_the_reference():
    known, new = aged(0, effect=2.0, n_donors=24), aged(1, effect=2.0, n_donors=16)
    new.obs["age"] += 40  # all of them much older
    new.X[:, 0] += 24
    sg.tl.ggml(known, "sample", "label", covariate_keys=["age"], progress=False)
    samples = sg.tl.predict(new, known, n_splits=3, n_repeats=1, **QUIET)
    assert (samples.obs["prediction"].astype(str) == samples.obs["label"].astype(str)).mean() >= 0.9
    assert not samples.obs["unlike_reference"].any()


# ---- batches


def batched(seed, n_donors=40):
    """A batch moves feature 0 by far, the label feature 1; seven of ten labels go with the batch."""
    adata = null_cohort(seed, n_donors=n_donors, n_cells=8)
    donor = numbered(adata)
    batch = donor % 2
    label = np.where(donor // 2 % 10 < 7, batch, 1 - batch)
    adata.X *= 0.7
    adata.X[:, 0] += 12.0 * batch
    adata.X[:, 1] += 2.5 * label
    adata.obs["batch"], adata.obs["label"] = np.where(batch, "b1", "b0"), np.where(label, "ill", "well")
    return adata


@pytest.mark.parametrize("method", ["canonical", "triplets"])
def test_a_batch_that_goes_with_most_labels_is_ignored_if_it_is_known(method):
    adata = batched(0)
    naive = importance(adata, method=method, n_comps=None)
    aware = importance(adata, method=method, n_comps=None, batch_key="batch")
    assert naive[0] > 0.3
    assert aware[0] < 0.02
    assert aware[1] > 0.7


def test_labels_are_permuted_within_batches(monkeypatch):
    adata = batched(1, n_donors=20)
    codes = adata.obs.drop_duplicates("sample")["batch"].to_numpy()
    labelings = []
    score, of_labels = permutations._score_all, Refit.of_labels
    monkeypatch.setattr(permutations, "_score_all", lambda *args: labelings.extend(args[1]) or score(*args))
    monkeypatch.setattr(Refit, "of_labels", lambda self, *args: labelings.append(args[0]) or of_labels(self, *args))
    options = {"preprocess": None, "n_permutations": 9, "n_splits": 2} | QUIET
    sg.tl.permutation_test(adata, "sample", "label", batch_key="batch", method="euclidean", **options)
    sg.tl.ggml(adata, "sample", "label", batch_key="batch", progress=False)
    with pytest.warns(UserWarning, match="No false discovery rate can be below 0.1, since n_perm=9"):
        sg.tl.gene_stability(adata, 0, n_perm=9, **QUIET)
    assert len(labelings) == 20
    assert len(np.unique(labelings, axis=0)) > 10
    for batch in ("b0", "b1"):
        assert len({values[codes == batch].sum() for values in labelings}) == 1
    # strata and batches are both kept
    labelings.clear()
    adata.obs["half"] = np.where(numbered(adata) % 10 < 5, "first", "second")
    half = adata.obs.drop_duplicates("sample")["half"].to_numpy()
    sg.tl.permutation_test(
        adata, "sample", "label", batch_key="batch", strata_key="half", method="euclidean", **options
    )
    for block in ("first b0", "first b1", "second b0", "second b1"):
        own = np.array([f"{h} {b}" for h, b in zip(half, codes, strict=True)]) == block
        assert len({values[own].sum() for values in labelings}) == 1


def test_the_smallest_p_value_is_that_of_the_labelings_within_batches():
    adata = batched(1, n_donors=8)  # each batch has labels of one donor and of three
    adata.obs["label"] = np.where(numbered(adata) < 2, "ill", "well")
    options = {"preprocess": None, "n_permutations": 99, "n_splits": 2, "method": "euclidean"} | QUIET
    sg.tl.permutation_test(adata, "sample", "label", batch_key="batch", **options)
    found = adata.uns["permutation_test"]
    assert (found["n_labelings"], found["smallest_p"]) == (16, 1 / 16)
    assert found["p_value"] >= 1 / 16


# ---- pairs


def paired(seed, n_donors=12):
    """Two samples of each donor, before and after treatment, which moves feature 0 less than donors differ."""
    adata = null_cohort(seed, n_donors=n_donors, per_donor=2, n_cells=8)
    adata.X[:, 1:] *= 4.0
    after = numbered(adata, "sample") % 2
    adata.X[:, 0] += 2.0 * after
    adata.obs["label"] = np.where(after, "after", "before")
    return adata


def test_in_a_paired_design_the_donor_is_the_batch():
    assert importance(paired(0), n_comps=None, batch_key="donor")[0] > 0.5
    keys = {"groups_key": "donor", "batch_key": "donor"}
    found = [
        evaluate(paired(seed), ["canonical", "euclidean"], **keys).summary["balanced_accuracy"] for seed in range(3)
    ]
    means = pd.concat(found, axis=1).mean(axis=1)
    assert means["canonical"] > 0.75
    assert means["canonical"] > means["euclidean"] + 0.1


def test_five_pairs_have_sixteen_labelings():
    adata = paired(0, n_donors=5)
    keys = {"groups_key": "donor", "batch_key": "donor"}
    options = {"preprocess": None, "n_permutations": 40, "n_splits": 5, "method": "euclidean"} | QUIET
    sg.tl.permutation_test(adata, "sample", "label", **keys, **options)
    found = adata.uns["permutation_test"]
    assert (found["n_labelings"], found["smallest_p"]) == (16, 1 / 16)
    sg.tl.ggml(adata, "sample", "label", progress=False, **keys)
    with pytest.warns(UserWarning, match=r"below 0\.062, since the labels of these donors can be permuted in 16 ways"):
        sg.tl.gene_stability(adata, 0, n_perm=30, **QUIET)
    assert adata.uns["ggml_stability"]["p_adjusted"].min() >= 1 / 16


# ---- sites


@pytest.mark.parametrize("n_sites", [2, 3])
def test_leaving_one_site_out(n_sites):
    adata = null_cohort(0, n_donors=18, per_donor=2, n_cells=6)
    donor = numbered(adata)
    adata.obs["label"] = np.where(donor // n_sites % 2, "ill", "well")
    adata.obs["site"] = [f"site{d % n_sites}" for d in donor]
    adata.X[:, 0] += 5.0 * (donor // n_sites % 2)
    adata.X[:, 1] += 6.0 * (donor % n_sites)
    keys = {"groups_key": "donor", "batch_key": "site", "split": "leave_one_batch_out"}
    result = evaluate(adata, ["canonical", "euclidean", "majority"], **keys)
    site = adata.obs.drop_duplicates("sample").set_index("sample")["site"]
    table = result.predictions.assign(site=result.predictions["sample"].astype(str).map(site))
    assert (table.groupby("fold")["site"].nunique() == 1).all()
    assert table["fold"].nunique() == n_sites
    assert result.summary.loc["canonical", "balanced_accuracy"] >= 0.85
    adata.obs["site"] = [f"site{s % n_sites}" for s in numbered(adata, "sample")]
    with pytest.raises(ValueError, match="some donors have samples in several batches"):
        evaluate(adata, **keys)


# ---- numbers


def ageing(seed, n_donors=40, n_genes=4):
    """Feature 0 follows the age of the donor, whose other features differ more."""
    adata = null_cohort(seed, n_donors=n_donors, n_cells=8, n_genes=n_genes)
    age = 20 + 60 * np.arange(n_donors) / n_donors
    adata.X[:, 1:] *= 2.0
    adata.X[:, 0] += 0.15 * age[numbered(adata)]
    adata.obs["label"] = age[numbered(adata)]
    return adata


@pytest.mark.parametrize(
    "call",
    [
        lambda adata: sg.tl.ggml(adata, "sample", "label", progress=False),
        lambda adata: sg.tl.cross_validate(adata, "sample", "label", **QUIET),
        lambda adata: sg.tl.permutation_test(adata, "sample", "label", **QUIET),
        lambda adata: sg.tl.tune(adata, "sample", "label", **QUIET),
    ],
)
def test_numbers_need_to_be_told_what_they_mean(call):
    adata = ageing(0)
    with pytest.raises(ValueError, match=r"40 different values .*\"numbers\" .*\"ordered\" .*\"classes\""):
        call(adata)
    assert not adata.uns


@pytest.mark.filterwarnings("ignore:.*unlike any sample")
def test_predicted_numbers_come_with_intervals_that_hold_new_donors():
    known, new = ageing(0, n_donors=50), ageing(1, n_donors=60)
    sg.tl.ggml(known, "sample", "label", label_kind="numbers", n_comps=1, progress=False)
    samples = sg.tl.predict(new, known, n_repeats=2, **QUIET)
    truth = samples.obs["label"].astype(float)
    assert spearmanr(samples.obs["prediction"], truth)[0] > 0.8
    inside = (samples.obs["low"] <= truth) & (truth <= samples.obs["high"])
    assert 0.8 <= inside.mean() <= 1.0
    assert (samples.obs["high"] - samples.obs["low"]).max() < 45  # of 60 years
    assert "prediction" not in samples.obsm
    assert np.abs(samples.obs["prediction"] - truth).mean() < 10
    assert samples.uns["prediction"]["held_out_error"] == pytest.approx(
        float(np.abs(samples.obs["prediction"] - truth).mean()), rel=0.5
    )
    known.obs["neighbor"] = known.obs["label"].astype(str)
    assert set(samples.uns["prediction"]["neighbor_labels"].ravel()) <= set(known.obs["neighbor"])


def test_genes_that_follow_a_number_are_significant():
    adata = ageing(0, n_donors=30, n_genes=30)
    sg.tl.ggml(adata, "sample", "label", label_kind="numbers", n_comps=1, shrinkage=0.0, progress=False)
    sg.tl.gene_stability(adata, 6, n_perm=40, n_top=3, **QUIET)
    table = sg.get.rank_genes_df(adata).set_index("gene")
    assert table.index[table["p_adjusted"] <= 0.05].tolist() == ["g0"]
    assert table["frequency"].idxmax() == "g0"


def test_numbers_have_no_classes_that_cells_could_tell_apart():
    adata = ageing(0, n_donors=12)
    sg.tl.ggml(adata, "sample", "label", label_kind="numbers", progress=False)
    with pytest.raises(ValueError, match=r"label_key='label' holds numbers, .* Pass a label_key with classes, such as"):
        sg.tl.attribute(adata, **QUIET)


@pytest.mark.parametrize("kind", ["ordered", "numbers"])
def test_options_are_tuned_by_ranks_where_there_is_an_order(kind):
    adata = ageing(0, n_donors=24)
    if kind == "ordered":
        adata.obs["label"] = pd.cut(adata.obs["label"], 4, labels=LEVELS)
    space = {"shrinkage": [1.0, 0.0]}
    options = {"preprocess": None, "n_splits": 3, "n_inner_splits": 3, "label_kind": kind} | QUIET
    sg.tl.tune(adata, "sample", "label", space=space, **options)
    assert adata.uns["tuning"]["best"] == {"shrinkage": 0.0}
    assert "spearman" in sg.get.cross_validation(adata, key="tuning").summary
