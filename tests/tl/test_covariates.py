import anndata as ad
import numpy as np
import pandas as pd
import pytest
from _slots import assert_round_trip, assert_same, slots
from anndata import AnnData
from scipy.spatial.distance import cdist

import scggml as sg

N = 40


def samples_of(points, obs, *, key="ggml", **record):
    """Samples at points; by default the distances know the label."""
    samples = AnnData(np.zeros((len(points), 1)), obs=pd.DataFrame(obs, index=[f"p{i}" for i in range(len(points))]))
    samples.obsp[f"{key}_distances"] = cdist(points, points)
    samples.uns[f"{key}_distances"] = {"metric": key, "sample_key": "sample_id"} | (record or {"label_key": "label"})
    return samples


def cohort(seed=0, *, batch=0.0, age=0.0, label=0.0, n=N):
    """Samples with effects of what is planted; batch and age are associated with the label."""
    rng = np.random.default_rng(seed)
    classes = np.arange(n) % 2
    batches = np.where(rng.random(n) < 0.4, rng.integers(0, 2, n), classes)
    ages = rng.normal(50, 10, size=n) + 10 * classes
    points = rng.normal(size=(n, 4))
    for column, effect in enumerate((batch * batches, age * ages / 10, label * classes)):
        points[:, column] += effect
    obs = {
        "label": pd.Categorical(np.array(["healthy", "ill"])[classes]),
        "batch": pd.Categorical(np.array(["B1", "B2"])[batches]),
        "age": ages,
        "sex": rng.permutation(n) % 2 == 0,
        "n_cells": rng.integers(100, 900, n),
    }
    return samples_of(points, obs)


def table_of(samples, key="ggml"):
    return samples.uns[f"{key}_covariates"]["table"].set_index("covariate")


# What is found


def test_a_planted_batch_effect_is_found_and_the_label_is_not():
    samples = cohort(batch=4.0)
    assert sg.tl.covariates(samples) is None
    table = table_of(samples)
    assert table.index.tolist() == ["label", "batch", "age", "sex", "n_cells"]
    assert table["kind"].tolist() == ["categorical", "categorical", "numeric", "categorical", "numeric"]
    assert table.index[table["p_value"] <= 0.05].tolist() == ["label", "batch"]
    found = table["p_adjusted_given_label"] <= 0.05
    assert table.index[found].tolist() == ["batch"]
    assert table.loc["label", "note"] == "beyond batch, age, sex, n_cells"
    assert table.loc["batch", "r2_adjusted_given_label"] > table.loc["batch", "r2_null95_given_label"]


def test_a_planted_age_effect_is_found_and_the_label_is_not():
    samples = cohort(age=2.0)
    sg.tl.covariates(samples)
    table = table_of(samples)
    assert table.index[table["p_adjusted_given_label"] <= 0.05].tolist() == ["age"]


def test_an_effect_of_the_label_is_no_effect_of_what_follows_it():
    samples = cohort(label=4.0)
    sg.tl.covariates(samples)
    table = table_of(samples)
    assert table.loc["batch", "p_value"] <= 0.05
    assert table.index[table["p_adjusted_given_label"] <= 0.05].tolist() == ["label"]


def test_all_three_are_found_together():
    samples = cohort(batch=3.0, age=2.0, label=3.0)
    sg.tl.covariates(samples)
    table = table_of(samples)
    assert table.index[table["p_adjusted_given_label"] <= 0.05].tolist() == ["label", "batch", "age"]


def test_false_discovery_rates_are_among_the_covariates_without_the_label():
    samples = cohort(batch=2.0, label=2.0)
    sg.tl.covariates(samples, n_perm=199)
    table = table_of(samples)
    for ending in ("", "_given_label"):
        p = table[f"p_value{ending}"].drop("label").sort_values()
        steps = (p * len(p) / np.arange(1, len(p) + 1)).to_numpy()
        rates = pd.Series(np.minimum.accumulate(steps[::-1])[::-1].clip(max=1), index=p.index)
        for name, rate in rates.items():
            assert table.loc[name, f"p_adjusted{ending}"] == pytest.approx(rate)
        assert table.loc["label", f"p_adjusted{ending}"] == table.loc["label", f"p_value{ending}"]


def test_a_numeric_label_is_a_number():
    samples = cohort(age=2.0)
    samples.uns["ggml_distances"]["label_key"] = "age"
    sg.tl.covariates(samples)
    table = table_of(samples)
    assert table.index[0] == "age"
    assert table.loc["age", "kind"] == "numeric"
    assert table.loc["age", "p_value_given_label"] == 0.001
    assert (table["p_adjusted_given_label"].drop("age") > 0.05).all()


def test_donors_are_permuted_as_wholes():
    rng = np.random.default_rng(0)
    donor = np.repeat(np.arange(8), 4)
    points = rng.normal(size=(8, 2))[donor] + 0.1 * rng.normal(size=(32, 2))
    obs = {"label": np.where(donor % 2, "a", "b"), "donor": donor.astype(str), "site": np.where(donor < 4, "x", "y")}
    samples = samples_of(points, obs)
    sg.tl.covariates(samples, ["site"])
    as_samples = table_of(samples)
    sg.tl.covariates(samples, groups_key="donor")
    assert table_of(samples).index.tolist() == ["label", "site"]
    np.testing.assert_allclose(table_of(samples)["F"], as_samples["F"])
    assert (table_of(samples)["p_value"] > as_samples["p_value"]).all()
    assert table_of(samples).loc["label", "p_value"] >= 2 / 70  # of 70 labelings of 8 donors, half are mirrored


# Columns


def test_default_columns_are_those_that_may_explain():
    samples = cohort()
    samples.obs = samples.obs.assign(
        sample_id=samples.obs_names,
        constant="same",
        stage=pd.Categorical(["i", "ii", "iii", "iv"] * 10, ordered=True),
        smoker=[0, 1] * 20,
        many=[f"m{i // 2}" for i in range(N)],
        too_many=[f"m{i}" for i in range(21)] + ["m0"] * 19,
        day=pd.date_range("2020-01-01", periods=N),
        leiden=["0", "1"] * 20,
        prediction=["healthy"] * 20 + ["ill"] * 20,
        probability=np.linspace(0, 1, N),
        ggml_held_out_pseudotime=np.linspace(0, 1, N),
        dpt_pseudotime=np.linspace(0, 1, N),
        total_counts=np.linspace(1000, 3000, N),
    )
    samples.uns["leiden"] = {"params": {"resolution": 1.0}}
    sg.tl.covariates(samples, n_perm=9)
    names = table_of(samples).index.tolist()
    assert names == ["label", "batch", "age", "sex", "stage", "smoker", "many", "n_cells", "total_counts"]
    assert table_of(samples).loc["smoker", "kind"] == "categorical"
    assert "depth" not in samples.uns["ggml_covariates"]["params"]


def test_the_label_cells_and_depth_are_always_there():
    samples = cohort()
    samples.obs["depth"] = np.linspace(1000, 3000, N)
    sg.tl.covariates(samples, ["sex"], n_perm=9)
    assert table_of(samples).index.tolist() == ["label", "sex", "n_cells", "depth"]
    assert samples.uns["ggml_covariates"]["params"]["keys"].tolist() == ["sex"]


def test_what_is_not_there_is_said_and_no_failure():
    samples = cohort()
    del samples.obs["n_cells"]
    sg.tl.covariates(samples, [], n_perm=9)
    found = samples.uns["ggml_covariates"]["params"]
    assert found["n_cells"] == "samples.obs has no column 'n_cells'"
    wanted = "'depth' or 'total_counts' or 'n_counts' or 'nCount_RNA'"
    assert found["depth"] == f"samples.obs has no column {wanted}"
    assert table_of(samples).loc["label", "note"] == "no other covariate that all samples have"
    assert np.isnan(table_of(samples).loc["label", "r2_given_label"])


def test_another_label_may_be_given():
    samples = cohort(batch=4.0)
    sg.tl.covariates(samples, label_key="batch", n_perm=99)
    table = table_of(samples)
    assert table.index[0] == "batch"
    assert table.index[table["p_adjusted_given_label"] <= 0.05].tolist() == ["batch"]
    assert samples.uns["ggml_covariates"]["params"]["label_key"] == "batch"


def test_without_a_label_nothing_is_beyond_it():
    samples = cohort(batch=4.0)
    del samples.uns["ggml_distances"]
    with pytest.warns(UserWarning, match="names no label in samples.obs.*Pass its column as label_key"):
        sg.tl.covariates(samples, n_perm=99)
    table = table_of(samples)
    assert table.index.tolist() == ["label", "batch", "age", "sex", "n_cells"]
    assert table["r2_given_label"].isna().all()
    assert table["r2"].notna().all()


def test_other_distances_are_taken():
    samples = cohort(batch=2.0)
    samples.obsp["cosine_distances"] = np.sqrt(samples.obsp["ggml_distances"])
    samples.uns["cosine_distances"] = {"label_key": "label", "seen": "held out"}
    sg.tl.covariates(samples, n_perm=9)
    sg.tl.covariates(samples, key="cosine", n_perm=9)
    assert (table_of(samples, "cosine")["r2"] != table_of(samples)["r2"]).all()
    assert samples.uns["cosine_covariates"]["seen"] == "held out"
    assert "seen" not in samples.uns["ggml_covariates"]


# What cannot be told


def test_a_covariate_that_a_class_lacks_is_named():
    samples = cohort(age=2.0, label=2.0)
    ill = (samples.obs["label"] == "ill").to_numpy()
    samples.obs.loc[~ill, "age"] = np.nan
    with pytest.warns(UserWarning, match=r"samples.obs\['age'\] is missing for all samples of 'healthy' \(label\)"):
        sg.tl.covariates(samples)
    row = table_of(samples).loc["age"]
    assert row["n_samples"] == N // 2
    assert row["note"] == "missing in label 'healthy'"
    part = samples[ill].copy()
    sg.tl.covariates(part, ["age"], label_key="label")
    np.testing.assert_allclose(
        table_of(part).loc["age", ["r2", "F"]].astype(float), row[["r2_given_label", "F_given_label"]].astype(float)
    )
    assert row["p_value"] == row["p_value_given_label"]
    assert table_of(samples).loc["label", "note"] == "beyond batch, sex, n_cells"


def test_a_covariate_that_some_samples_lack_is_measured_among_the_others():
    samples = cohort(age=2.0)
    samples.obs.loc[samples.obs_names[:7], "age"] = np.nan
    samples.obs["batch"] = samples.obs["batch"].where(np.arange(N) != 9)
    sg.tl.covariates(samples)
    assert table_of(samples)["n_samples"].tolist() == [N, N - 1, N - 7, N, N]
    assert table_of(samples).loc["label", "note"] == "beyond sex, n_cells"
    assert table_of(samples).loc["age", "p_adjusted_given_label"] <= 0.05


def test_confounding_with_the_label_is_named():
    samples = cohort(label=3.0)
    ill = (samples.obs["label"] == "ill").to_numpy()
    samples.obs["outcome"] = np.where(ill, np.where(np.arange(N) % 4 == 1, "home", "ward"), "none")
    samples.obs["plate"] = np.where(ill, 2, 1)
    samples.obs["dose"] = np.where(ill, 10.0, 0.0) + np.linspace(0, 1, N)
    samples.obs["score"] = np.where(np.arange(N) == 0, "low", np.where(ill, "low", "0"))
    sg.tl.covariates(samples, ["outcome", "plate", "dose", "score"], n_perm=99)
    table = table_of(samples)
    assert table["note"].to_dict() == {
        "label": "beyond score, n_cells; cannot be told apart from outcome, plate, dose",
        "outcome": "confounded with label: each category is in one class",
        "plate": "confounded with label: each category is in one class; nothing beyond label can be told, or too few "
        "samples",
        "dose": "confounded with label: ranges of classes do not overlap",
        "score": "nearly confounded with label, of which it explains 90%",
        "n_cells": "",
    }
    assert np.isfinite(table.loc["outcome", "r2_given_label"])  # between home and ward
    assert np.isnan(table.loc["plate", "r2_given_label"])


def test_columns_without_anything_to_compare_are_named():
    samples = cohort()
    samples.obs["one"] = "same"
    samples.obs["names"] = [f"n{i}" for i in range(N)]
    samples.obs["none"] = np.nan
    samples.obs["sledai"] = np.random.default_rng(0).choice(["0", "2", "4", "ND"], N)
    sg.tl.covariates(samples, ["one", "names", "none", "sledai"], n_perm=9)
    table = table_of(samples)
    assert table["note"].iloc[1:5].tolist() == [
        "one value", "as many categories as samples", "no values", "numbers beside text ('ND') are categories"
    ]  # fmt: skip
    assert table.iloc[1:4].drop(columns=["kind", "n_samples", "note"]).isna().all(axis=None)
    assert np.isfinite(table.loc["sledai", "p_value"])


def test_more_covariates_than_samples_leave_the_label_alone():
    samples = cohort(n=12)
    for i in range(3):
        samples.obs[f"plate{i}"] = (np.random.default_rng(i).permutation(12) // 3).astype(str)
    sg.tl.covariates(samples, n_perm=9)
    assert np.isnan(table_of(samples).loc["label", "r2_given_label"])
    assert "nothing beyond the others can be told, or too few samples" in table_of(samples).loc["label", "note"]
    assert np.isfinite(table_of(samples)["r2"]).all()


# Slots and arguments


def test_the_same_seed_gives_the_same_table():
    first, second, other = (
        sg.tl.covariates(cohort(), n_perm=99, rng=rng, copy=True).uns["ggml_covariates"]["table"]
        for rng in (1, np.int64(1), np.random.default_rng(0))
    )
    pd.testing.assert_frame_equal(first, second)
    assert not first.equals(other)


def test_a_copy_leaves_the_original_untouched():
    samples = cohort()
    before = slots(samples)
    result = sg.tl.covariates(samples, n_perm=9, copy=True)
    assert_same(slots(samples), before)
    sg.tl.covariates(samples, n_perm=9)
    assert_same(slots(result), slots(samples))


def test_a_view_becomes_an_anndata_of_its_own():
    samples = cohort()
    before = slots(samples)
    view = samples[:20]
    sg.tl.covariates(view, n_perm=9)
    assert not view.is_view
    assert (table_of(view)["n_samples"] == 20).all()
    assert_same(slots(samples), before)


def test_the_table_survives_a_file(tmp_path):
    samples = cohort()
    samples.obs["one"] = pd.Categorical(["same"] * N)
    sg.tl.covariates(samples, ["batch", "age", "one"], groups_key="sex", n_perm=9)
    for read in assert_round_trip(samples, tmp_path):
        assert table_of(read)["note"].tolist() == table_of(samples)["note"].tolist()


def test_samples_from_cells_are_taken_as_they_are(learned):
    learned.obs["half"] = np.where(learned.obs["sample_id"].cat.codes % 2, "a", "b")
    samples = sg.tl.distances(learned, progress=False)
    sg.tl.covariates(samples, n_perm=99)
    assert table_of(samples).index.tolist()[0] == "label"
    assert "half" in table_of(samples).index
    assert "sample_id" not in table_of(samples).index
    assert table_of(samples).loc["n_cells", "note"] == "one value"
    assert samples.uns["ggml_covariates"]["seen"] == "training"


@pytest.mark.parametrize(
    ("error", "message", "options"),
    [
        (KeyError, r"No 'tumor_distances' in samples\.obsp; distances are stored for 'ggml'", {"key": "tumor"}),
        (KeyError, r"keys='race' is not a column of samples\.obs, which has 'label', 'batch'", {"keys": ["race"]}),
        (KeyError, r"label_key='race' is not a column of samples\.obs", {"label_key": "race"}),
        (KeyError, r"groups_key='donor' is not a column of samples\.obs", {"groups_key": "donor"}),
        (TypeError, "keys='batch' is a str; pass a list of columns", {"keys": "batch"}),
        (TypeError, "keys=3 is a int; pass the name of a column", {"keys": [3]}),
        (TypeError, "label_key=3 is a int", {"label_key": 3}),
        (ValueError, "keys holds 'age' twice", {"keys": ["age", "batch", "age"]}),
        (ValueError, "n_perm=0 must be at least 1", {"n_perm": 0}),
        (TypeError, "n_perm=9.5 must be a whole number", {"n_perm": 9.5}),
        (TypeError, "rng='a'", {"rng": "a"}),
        (TypeError, "copy=1 must be True or False", {"copy": 1}),
        (TypeError, r"samples\.obs\['day'\] \(keys\) holds times", {"keys": ["day"]}),
        (TypeError, r"samples\.obs\['phase'\] \(keys\) holds complex numbers; write their", {"keys": ["phase"]}),
        (ValueError, r"samples\.obs\['size'\] \(keys\) is infinite for 1 .*the first is 'p2'", {"keys": ["size"]}),
        (ValueError, r"samples\.obs\['pair'\] \(groups_key\) is missing for 1 samples", {"groups_key": "pair"}),
    ],
)  # fmt: skip
def test_bad_arguments_are_named_and_nothing_is_written(error, message, options):
    samples = cohort()
    samples.obs["phase"] = np.arange(samples.n_obs) * 1j
    samples.obs["day"] = pd.date_range("2020-01-01", periods=N)
    samples.obs["size"] = np.where(np.arange(N) == 2, np.inf, np.arange(N))
    samples.obs["pair"] = [None, *["a", "b", "c"] * 13]
    before = slots(samples)
    with pytest.raises(error, match=message):
        sg.tl.covariates(samples, **options)
    assert_same(slots(samples), before)


def test_bad_samples_are_named():
    with pytest.raises(TypeError, match=r"samples=\{\} is a dict; pass the AnnData of samples"):
        sg.tl.covariates({})
    with pytest.raises(ValueError, match="samples has 2 rows; at least 3 samples are needed"):
        sg.tl.covariates(cohort()[:2].copy())
    samples = cohort()
    samples.obsp["ggml_distances"][0, 1] = np.nan
    with pytest.raises(ValueError, match=r"samples.obsp\['ggml_distances'\] has 1 values that are not finite"):
        sg.tl.covariates(samples)
    empty = samples_of(np.eye(4), {"day": pd.date_range("2020-01-01", periods=4)}, seen="other")
    with (
        pytest.warns(UserWarning, match="names no label"),
        pytest.raises(ValueError, match=r"samples\.obs has no covariate; pass keys \('day'\)"),
    ):
        sg.tl.covariates(empty)


# Real cohorts


@pytest.mark.real
@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:adata.varm.'PCs'. is missing")
def test_batches_and_cells_of_lupus_samples_show_beyond_the_label(data_dir):
    adata = ad.read_h5ad(data_dir / "csle_ragas.h5ad")
    samples = sg.tl.distances(
        adata, metric="euclidean", sample_key="sample_id", label_key="label", use_rep="X_pca", progress=False
    )
    sg.tl.covariates(samples, key="euclidean")
    table = table_of(samples, "euclidean")
    assert table.index.tolist() == ["label", "batch", "sex", "age", "race", "SLEDAI", "n_cells", "depth"]
    assert (table.loc[["batch", "n_cells"], "p_adjusted_given_label"] <= 0.05).all()
    assert (table.loc[["sex", "age", "race"], "p_adjusted_given_label"] > 0.05).all()
    assert "nearly confounded with label" in table.loc["SLEDAI", "note"]


@pytest.mark.real
@pytest.mark.slow
def test_the_age_of_covid_patients_counts_although_controls_lack_it(data_dir):
    adata = ad.read_h5ad(data_dir / "covid_debiasi_treekor.h5ad")
    sg.tl.ggml(adata, "sample_id", "label", use_rep="X", progress=False)
    samples = sg.tl.distances(adata, progress=False)
    with pytest.warns(UserWarning, match=r"samples.obs\['age'\] is missing for all samples of 'CTR'"):
        sg.tl.covariates(samples)
    table = table_of(samples)
    assert table.loc["age", ["n_samples", "note"]].tolist() == [19, "missing in label 'CTR'"]
    assert table.loc["age", "p_adjusted_given_label"] <= 0.05
    assert table.loc["outcome", "note"] == "confounded with label: each category is in one class"
    assert table.loc["n_cells", "p_adjusted"] > 0.05
    assert samples.uns["ggml_covariates"]["seen"] == "training"
