"""The page of a cohort: what it shows, in which order, and what is computed for it."""

import re
from html import unescape
from pathlib import Path

import anndata as ad
import pytest
from _command_line import call, good
from _learned import KEYS, ONE

import scggml as sg
from scggml._anndata.metric import read_metric
from scggml._report import sections
from scggml._report.document import make_report
from scggml._report.gather import Findings, Wish, evaluation_fits, gather

TITLE = "A <b>title</b> & more"


@pytest.fixture(scope="session")
def page(results: Path) -> str:
    """The report of the cohort with everything in it."""
    path = results / "report.html"
    genes = ["--n-genes", "10", "--components", "1"]
    good("enrich", results / "evaluated.h5ad", results / "sets.gmt", "-o", results / "enriched.h5ad", *genes)
    words = ["--cell-type-key", "cell_type", "--n-permutations", "9", "--title", TITLE, *ONE]
    good("report", results / "enriched.h5ad", "-o", path, "-o", results / "reported.h5ad", *words)
    return path.read_text(encoding="utf-8")


def text_of(page: str) -> str:
    return " ".join(unescape(re.sub(r"<style>.*?</style>|<[^>]+>", " ", page, flags=re.DOTALL)).split())


def test_sections_come_in_order_held_out_first_and_training_last(page: str) -> None:
    heads = re.findall(r'<h2 id="(\w+)">', page)
    assert heads == ["evidence", "genes", "pathways", "cells", "design", "training", "methods"]
    assert re.findall(r'href="#(\w+)">', page.split("<main>", maxsplit=1)[0].split("<nav")[1]) == heads
    assert "they are no evidence" in text_of(page.split('id="training"')[1])


def test_the_verdicts_are_those_of_the_package(page: str, results: Path) -> None:
    adata = ad.read_h5ad(results / "reported.h5ad")
    top = text_of(page.split("<main>", maxsplit=1)[0])
    said = sg.get.cross_validation(adata).judgements["ggml"]
    assert said.partition(" (")[0].capitalize() in top
    assert said.partition(" (")[2].removesuffix(")") in top
    assert adata.uns["ggml_components"]["verdict"] in top
    assert adata.uns["permutation_test"]["verdict"] in top


def test_tables_are_those_of_the_results(page: str, results: Path) -> None:
    adata = ad.read_h5ad(results / "reported.h5ad")
    text = text_of(page)
    summary = sg.get.cross_validation(adata).summary
    for name, value in summary["balanced_accuracy"].items():
        assert f"{name} {value:.3f}" in text
    for gene in sg.get.rank_genes_df(adata, component=1, n_genes=15)["gene"]:
        assert re.search(rf"\b{gene}\b", text)
    sets = sg.get.enrichment_df(adata, max_p_adjusted=0.05)["name"]
    assert all(name in text for name in sets)
    assert ("No gene set is significant" in text) == (len(sets) == 0)
    types = adata.uns["ggml_attribution"]["types"]
    assert all(name in text for name in set(types["cell_type"]))


def test_users_text_is_escaped(page: str) -> None:
    assert "<b>title" not in page
    assert "<h1>A &lt;b&gt;title&lt;/b&gt; &amp; more</h1>" in page


def test_the_page_needs_nothing_else(page: str) -> None:
    assert re.findall(r'(?:src|href)="(?!data:image/|#)', page) == []
    assert "url(" not in page
    assert "<script" not in page
    assert all(alt.strip() for alt in re.findall(r'<img [^>]*alt="([^"]*)"', page))
    assert page.count("<img ") == page.count("alt=") >= 8


def test_what_is_stored_is_not_computed_again(page: str, results: Path) -> None:
    adata = ad.read_h5ad(results / "reported.h5ad")
    found = gather(adata, Wish(n_jobs=1))
    assert [call.split("(")[0] for call in found.computed] == ["samples = sg.tl.distances", "sg.tl.covariates"]
    assert len(found.there) == 6
    assert found.refused == {}


def test_results_of_another_metric_are_computed_anew(results: Path) -> None:
    adata = ad.read_h5ad(results / "evaluated.h5ad")
    assert evaluation_fits(adata, read_metric(adata, "ggml"))
    sg.tl.ggml(adata, "sample_id", "label", use_rep="X_pca", n_comps=1, n_jobs=1, progress=False)
    assert not evaluation_fits(adata, read_metric(adata, "ggml"))


def test_an_evaluation_of_another_label_does_not_fit(results: Path) -> None:
    adata = ad.read_h5ad(results / "learned.h5ad")
    adata.obs["other"] = (adata.obs["sample_id"].cat.codes % 2).map({0: "x", 1: "y"}).to_numpy()
    options = {"n_splits": 2, "n_repeats": 1, "n_jobs": 1, "progress": False, "use_rep": "X_pca"}
    sg.tl.cross_validate(adata, "sample_id", "other", methods={"ggml": "euclidean", "majority": "majority"}, **options)
    assert not evaluation_fits(adata, read_metric(adata, "ggml"))


def test_the_same_cohort_and_seed_give_the_same_page(page: str, results: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "0")
    given = {"source": "c.h5ad", "command": "scggml report c.h5ad"}
    pages = [make_report(ad.read_h5ad(results / "reported.h5ad"), Wish(n_jobs=1), **given) for _ in range(2)]
    assert pages[0] == pages[1]
    assert "1970-01-01" in pages[0]
    assert "scggml demo-cohort" not in pages[0]
    assert "scggml learn " in pages[0]
    assert "scggml report c.h5ad" in pages[0]


def test_what_a_cohort_does_not_allow_is_told_and_the_rest_is_shown(results: Path) -> None:
    adata = ad.read_h5ad(results / "cohort.h5ad")
    few = adata[adata.obs["sample_id"].isin(adata.obs["sample_id"].cat.categories[[0, 1, 6, 7]])].copy()
    sg.tl.ggml(few, "sample_id", "label", use_rep="X_pca", n_comps=1, n_jobs=1, progress=False)
    text = text_of(make_report(few, Wish(n_jobs=1), source="few.h5ad"))
    assert "No evidence: not evaluated on held-out samples" in text
    assert "Not computed (sg.tl.cross_fit): " in text
    assert "Training samples: no evidence" in text


def test_cell_types_that_are_missing_are_told_before_any_work(results: Path) -> None:
    adata = ad.read_h5ad(results / "learned.h5ad")
    adata.obs.loc[adata.obs_names[:5], "cell_type"] = None
    with pytest.raises(ValueError, match=r"'cell_type'\] \(cell_type_key\) is missing for 5 of 192 cells"):
        gather(adata, Wish(cell_type_key="cell_type", n_jobs=1))


def test_numbers_as_labels(results: Path) -> None:
    adata = ad.read_h5ad(results / "cohort.h5ad")
    adata.obs["age"] = adata.obs["sample_id"].cat.codes.astype(float)
    sg.tl.ggml(adata, "sample_id", "age", label_kind="numbers", use_rep="X_pca", n_comps=1, n_jobs=1, progress=False)
    options = {"n_splits": 3, "n_repeats": 1, "n_jobs": 1, "progress": False}
    sg.tl.cross_validate(adata, methods=["ggml", "majority"], **options)
    text = text_of(make_report(adata, Wish(n_jobs=1), source="ages.h5ad"))
    assert "What goes with age" in text
    assert "rank correlation" in text


def found_with(adata: ad.AnnData, label: str, **options: object) -> Findings:
    """What a report would show of the study design, without evaluation."""
    given = {"use_rep": "X_pca", "n_comps": 1, "n_jobs": 1, "progress": False}
    sg.tl.ggml(adata, "sample_id", label, **(given | options))
    samples = sg.tl.distances(adata, n_jobs=1, progress=False)
    return Findings(adata, read_metric(adata, "ggml"), samples=samples, refused={"tl.covariates": "not asked for"})


def test_classes_that_are_numbers_are_compared_with_other_columns(results: Path) -> None:
    adata = ad.read_h5ad(results / "cohort.h5ad")
    adata.obs["ill"] = adata.obs["label"].cat.codes.astype(int)
    adata.obs["site"] = adata.obs["ill"].map({0: "north", 1: "south"}).astype(str)
    del adata.obs["label"]
    found = found_with(adata, "ill")
    assert [one.column for one in sections.doubts(found)] == ["site"]
    assert "north (6 samples, all 0)" in text_of(sections.design(found).text)


def test_three_classes_that_are_numbers_have_tables(results: Path) -> None:
    adata = ad.read_h5ad(results / "cohort.h5ad")
    adata.obs["grade"] = adata.obs["sample_id"].cat.codes.astype(int) % 3
    text = text_of(sections.design(found_with(adata, "grade", label_kind="ordered")).text)
    assert "0 4 16 16 16 64 1 4 16 16 16 64 2 4 16 16 16 64" in text


@pytest.mark.parametrize("name", ["samples", "cells", "most"])
def test_labels_may_be_called_as_columns_of_tables_are(results: Path, name: str) -> None:
    adata = ad.read_h5ad(results / "cohort.h5ad")
    adata.obs[name] = adata.obs["label"]
    adata.obs["class1"] = adata.obs["label"].map({"class0": "no", "class1": "yes"})
    text = text_of(sections.design(found_with(adata, name)).text)
    assert "class0 6 16 16 16 96 class1 6 16 16 16 96" in text
    assert "Samples by class1. class1 class0 class1 no 6 0 yes 0 6" in text


def test_donors_of_several_samples_are_no_explanation(results: Path) -> None:
    adata = ad.read_h5ad(results / "cohort.h5ad")
    adata.obs["donor"] = (adata.obs["sample_id"].cat.codes // 2).map("d{}".format).astype(str)
    found = found_with(adata, "label", groups_key="donor")
    assert sections.doubts(found) == []


@pytest.mark.slow
def test_a_cohort_without_a_metric(results: Path, tmp_path: Path) -> None:
    done = call("report", results / "cohort.h5ad", "-o", tmp_path / "r.html", *ONE)
    assert done.code == 1
    assert "holds no metric 'ggml'" in done.err
    path = tmp_path / "r.h5ad"
    words = [*KEYS, "--use-rep", "X_pca", "--seed", 3, *ONE]
    done = call("report", results / "cohort.h5ad", "-o", tmp_path / "r.html", "-o", path, *words)
    assert done.code == 0, done.err
    assert done.out == ""
    assert done.err.splitlines()[-1] == f"Wrote {tmp_path / 'r.html'}, {path}."
    adata = ad.read_h5ad(path)
    assert adata.uns["ggml"]["reading"]["seed"] == 3
    assert {"cross_validation", "ggml_held_out", "ggml_components", "ggml_genes"} <= set(adata.uns)
    assert "rng=3" in (tmp_path / "r.html").read_text(encoding="utf-8")
