"""Every command on a small synthetic cohort, and what it writes."""

import json
import subprocess
import sys
from io import StringIO
from pathlib import Path

import anndata as ad
import numpy as np
import pandas as pd
import pytest
from _command_line import call, good
from _learned import KEYS, ONE, SIZE

import scggml as sg
from scggml._cli.app import COMMANDS


def test_demo_cohort_is_ready_to_learn_on_and_its_sets_are_its_genes(results: Path) -> None:
    adata = ad.read_h5ad(results / "cohort.h5ad")
    assert adata.shape == (2 * 6 * 16, 60)
    assert adata.obsm["X_pca"].shape == (192, 20)
    sets = [line.split("\t") for line in (results / "sets.gmt").read_text().splitlines()]
    assert set(sets[0][2:]) == set(adata.var_names[adata.var["planted"]])
    assert all(len(row) == len(sets[0]) for row in sets)
    assert not set(sets[1][2:]) & set(sets[0][2:])


def test_the_same_seed_gives_the_same_cohort_and_another_one_another(results: Path, tmp_path: Path) -> None:
    for seed in ("0", "1"):
        good("demo-cohort", tmp_path / f"{seed}.h5ad", *SIZE, "--seed", seed)
    before = ad.read_h5ad(results / "cohort.h5ad").X
    assert (ad.read_h5ad(tmp_path / "0.h5ad").X != before).nnz == 0
    assert (ad.read_h5ad(tmp_path / "1.h5ad").X != before).nnz > 0


def test_learn_stores_what_the_function_would(results: Path) -> None:
    stored = ad.read_h5ad(results / "learned.h5ad")
    adata = ad.read_h5ad(results / "cohort.h5ad")
    sg.tl.ggml(adata, "sample_id", "label", use_rep="X_pca", n_comps=2, n_jobs=1, progress=False)
    np.testing.assert_array_equal(stored.uns["ggml"]["components"], adata.uns["ggml"]["components"])
    (command,) = stored.uns["scggml_commands"]
    assert command == (
        f"scggml learn {results / 'cohort.h5ad'} --sample-key sample_id --label-key label --use-rep X_pca --n-comps 2"
    )


def test_learn_takes_objects_lists_and_none(results: Path, tmp_path: Path) -> None:
    options = [
        "--method",
        "Triplets(max_iter=3, tol=0)",
        "--summary",
        "none",
        "--label-kind",
        "ordered",
        "--n-cells",
        "10",
    ]
    adata = ad.read_h5ad(results / "cohort.h5ad")
    adata.obs["label"] = pd.Categorical(adata.obs["label"], sorted(adata.obs["label"].unique()), ordered=True)
    adata.obs["age"] = adata.obs["sample_id"].cat.codes % 5
    adata.write_h5ad(tmp_path / "ordered.h5ad")
    out = good(
        "learn", tmp_path / "ordered.h5ad", "--in-place", "--json", "--key-added", "steps", *options, *KEYS, *ONE,
        "--use-rep", "X_pca", "--n-comps", "2", "--covariate-keys", "age",
    )  # fmt: skip
    told = json.loads(out)
    assert told["learner"]["method"]["max_iter"] == 3
    assert told["reading"] | {"n_cells": 10, "label_kind": "ordered", "covariate_keys": ["age"]} == told["reading"]
    assert "steps" in ad.read_h5ad(tmp_path / "ordered.h5ad").uns


def test_evaluate_stores_prints_and_writes_the_same(results: Path) -> None:
    adata = ad.read_h5ad(results / "evaluated.h5ad")
    found = json.loads((results / "evaluation.json").read_text())
    evaluation = sg.get.cross_validation(adata)
    assert found["verdict"]["cross_validation"] == evaluation.verdict
    assert found["verdict"]["component_test"] == adata.uns["ggml_components"]["verdict"]
    assert [row["method"] for row in found["summary"]] == ["ggml", "pseudobulk", "majority"]
    assert found["summary"][0]["balanced_accuracy"] == evaluation.summary.loc["ggml", "balanced_accuracy"]
    assert adata.obsm["X_ggml_held_out"].shape == (192, 2)
    assert len(adata.uns["scggml_commands"]) == 2


def test_evaluate_permutes_if_asked_and_leaves_out_what_is_switched_off(results: Path) -> None:
    out = good(
        "evaluate", results / "learned.h5ad", "--permutation-test", "--n-permutations", "9", "--n-splits", "2",
        "--n-repeats", "1", "--methods", "ggml", "--methods", "majority", "--no-component-test", "--no-cross-fit", *ONE,
    )  # fmt: skip
    assert "9 permutations" in out
    assert "components" not in out
    assert "balanced_accuracy" in out


def test_an_evaluation_is_kept_where_there_are_too_few_donors_for_metrics_without_some(
    results: Path, tmp_path: Path
) -> None:
    adata = ad.read_h5ad(results / "cohort.h5ad")
    adata.obs["label"] = (adata.obs["sample_id"].cat.codes % 3).map({0: "a", 1: "b", 2: "c"}).astype(str)
    path = tmp_path / "few.h5ad"
    adata.write_h5ad(path)
    good("learn", path, "--in-place", *KEYS, "--use-rep", "X_pca", "--n-comps", 1, *ONE)
    folds = ["--n-splits", "2", "--n-repeats", "1", "--methods", "majority", "--methods", "ggml", "--n-perm", "9"]
    done = call("evaluate", path, "--in-place", *folds, *ONE)
    assert done.code == 0
    assert "warning: No metrics without some donors are stored (tl.cross_fit). Class" in done.err
    assert "cross_validation" in ad.read_h5ad(path).uns


def test_distances_as_table_samples_and_json(results: Path, tmp_path: Path) -> None:
    good(
        "distances", results / "evaluated.h5ad", "--held-out", "-o", tmp_path / "d.csv", "-o", tmp_path / "d.h5ad", *ONE
    )
    table = pd.read_csv(tmp_path / "d.csv", index_col=0)
    samples = ad.read_h5ad(tmp_path / "d.h5ad")
    np.testing.assert_allclose(table.to_numpy(), samples.obsp["ggml_held_out_distances"])
    told = json.loads(good("distances", results / "evaluated.h5ad", "--metric", "euclidean", "--json", *ONE))
    assert told["samples"] == list(table.index)
    assert np.shape(told["distances"]) == (12, 12)


def test_distances_cross_fits_where_the_file_does_not_hold_it(results: Path, tmp_path: Path) -> None:
    for name in ("learned", "evaluated"):
        good("distances", results / f"{name}.h5ad", "--held-out", "-o", tmp_path / f"{name}.csv", *ONE)
    assert (tmp_path / "learned.csv").read_text() == (tmp_path / "evaluated.csv").read_text()


def test_predict_names_the_label_of_new_samples(results: Path, tmp_path: Path) -> None:
    adata = ad.read_h5ad(results / "cohort.h5ad")
    new = adata.obs["sample_id"].isin(adata.obs["sample_id"].cat.categories[[0, 11]])
    adata[new].copy().write_h5ad(tmp_path / "new.h5ad")
    adata[~new].copy().write_h5ad(tmp_path / "known.h5ad")
    good("learn", tmp_path / "known.h5ad", "--in-place", *KEYS, "--use-rep", "X_pca", "--n-comps", "1", *ONE)
    words = ["predict", tmp_path / "new.h5ad", tmp_path / "known.h5ad", "--method", "metric", "--n-splits", "3", *ONE]
    table = pd.read_csv(StringIO(good(*words)), sep="\t", index_col=0)
    assert (table["prediction"] == table["label"]).all()
    assert table.filter(like="p:").sum(axis=1).round(6).eq(1).all()
    told = json.loads(good(*words, "--json"))
    assert [row["prediction"] for row in told] == list(table["prediction"])


def test_genes_are_the_table_of_the_function(results: Path, tmp_path: Path) -> None:
    words = [
        "genes",
        results / "evaluated.h5ad",
        "--component",
        "1",
        "--n-genes",
        "8",
        "--cell-type-key",
        "cell_type",
        *ONE,
    ]
    good(*words, "-o", tmp_path / "g.tsv", "-o", tmp_path / "g.json", "-o", tmp_path / "ranked.h5ad")
    adata = ad.read_h5ad(tmp_path / "ranked.h5ad")
    genes = sg.get.rank_genes_df(adata, component=1, n_genes=8)
    table = pd.read_csv(tmp_path / "g.tsv", sep="\t")
    assert (
        list(table["gene"]) == list(genes["gene"]) == [r["gene"] for r in json.loads((tmp_path / "g.json").read_text())]
    )
    assert adata.var.loc[table["gene"][:4], "planted"].all()
    # of a type, from the ranking that is there
    typed = good("genes", tmp_path / "ranked.h5ad", "--component", "1", "--cell-type", "type0", "--n-genes", "3")
    assert len(typed.splitlines()) == 4
    stable = ["--stability", "--n-boot", "5", "--n-perm", "5", *ONE]
    assert "p_adjusted" in good("genes", tmp_path / "ranked.h5ad", "--n-genes", "3", *stable).splitlines()[0]


def test_enrich_ranks_genes_first_and_finds_the_planted_set(results: Path, tmp_path: Path) -> None:
    words = ["enrich", results / "evaluated.h5ad", results / "sets.gmt", "--all-results", "--n-genes", "10"]
    good(*words, "-o", tmp_path / "s.csv", "-o", tmp_path / "s.h5ad")
    table = pd.read_csv(tmp_path / "s.csv")
    assert table.loc[table["p_adjusted"].idxmin(), "name"] == "PLANTED"
    assert "ggml_enrichment" in ad.read_h5ad(tmp_path / "s.h5ad").uns
    assert json.loads(good(*words, "--json"))[0].keys() == set(table)


def test_in_place_writes_into_the_input_and_nothing_else_does(results: Path, tmp_path: Path) -> None:
    path = tmp_path / "cohort.h5ad"
    path.write_bytes((results / "learned.h5ad").read_bytes())
    before = path.read_bytes()
    done = call("genes", path, "-o", path, *ONE)
    assert done.code == 2
    assert "is the input; pass --in-place" in " ".join(done.err.split())
    assert path.read_bytes() == before
    good("genes", path, "--in-place", *ONE)
    assert "ggml_genes" in ad.read_h5ad(path).uns
    assert sorted(p.name for p in tmp_path.iterdir()) == ["cohort.h5ad"]  # nothing half-written is left


def test_a_link_to_the_input_is_the_input(results: Path, tmp_path: Path) -> None:
    (tmp_path / "a.h5ad").write_bytes((results / "learned.h5ad").read_bytes())
    (tmp_path / "b.h5ad").symlink_to(tmp_path / "a.h5ad")
    assert call("genes", tmp_path / "a.h5ad", "-o", tmp_path / "b.h5ad").code == 2


@pytest.mark.slow
def test_as_a_program(results: Path) -> None:
    words = [sys.executable, "-m", "scggml", "distances", str(results / "learned.h5ad"), "--json", "--n-jobs", "1"]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert len(json.loads(done.stdout)["samples"]) == 12
    bad = [*words[:5], "--key", "other"]
    done = subprocess.run(bad, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stdout == ""
    assert done.stderr.startswith("scggml distances: ")
    assert len(done.stderr.splitlines()) == 1


def test_every_command_is_tried_here() -> None:
    report = (Path(__file__).parents[1] / "_report" / "test_document.py").read_text(encoding="utf-8")
    text = (
        Path(__file__).read_text(encoding="utf-8")
        + Path(__file__).parents[1].joinpath("_learned.py").read_text()
        + report
    )
    assert [name for name in COMMANDS if f'"{name}"' not in text] == []
