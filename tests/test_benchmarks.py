"""Each benchmark runs on a tiny setting, and what it prints and keeps are measurements. No time is judged."""

import csv
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"


@pytest.fixture
def numbers(tmp_path):
    """Run a script; its rows by table, as dicts of the numbers and words that it kept."""

    def measured(script: str, *options: str) -> dict[str, list[dict[str, str]]]:
        path = tmp_path / "results.csv"
        command = [sys.executable, str(BENCHMARKS / script), *options, "--csv", str(path)]
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)
        assert done.returncode == 0, done.stderr
        tables: dict[str, dict[str, dict[str, str]]] = {}
        with path.open(newline="", encoding="utf-8") as file:
            for line in csv.DictReader(file):
                assert int(line["cores"]) >= 1
                assert "scggml" in line["versions"]
                assert line["column"] in done.stdout
                tables.setdefault(line["table"], {}).setdefault(line["row"], {})[line["column"]] = line["value"]
        return {table: list(rows.values()) for table, rows in tables.items()}

    return measured


def test_steps_without_the_reference(numbers):
    options = ("--ours-only", "--settings", "4,6,5,2", "--steps", "3")
    tables = numbers("vs_ggml_ot.py", *options, "--costs", "squared", "--threads", "1")
    (row,) = tables["vs_ggml_ot speed"]
    assert row["squared"] == "True"
    assert row["steps"] == "3"
    assert float(row["first s"]) > 0
    assert 3 * float(row["mean s"]) > float(row["first s"]) + float(row["last s"])
    assert float(row["MB"]) >= 0


def test_solvers_agree(numbers):
    tables = numbers("solver.py", "--sizes", "5", "9", "--pairs", "1")
    rows = tables["solver"]
    assert {row["n"] for row in rows} == {"5", "9"}
    found = [float(row["diff"]) for row in rows if "diff" in row]
    assert len(found) == 10
    assert max(found) < 1e-9
    assert {row["solver"] for row in tables["solver growth"]} >= {"POT emd2", "scipy assignment", "scggml Exact"}


def test_entropic_solvers_agree_and_ours_is_never_below_the_optimum(numbers):
    pytest.importorskip("torch")
    options = ("--sizes", "9", "--samples", "3", "--epsilons", "0.4", "0.1", "--rounds", "1", "--tol", "1e-6")
    tables = numbers("sinkhorn.py", *options)
    for epsilon in ("0.4", "0.1"):
        rows = {row["solver"]: row for row in tables["sinkhorn"] if float(row["epsilon"]) == float(epsilon)}
        ours = rows.pop("scggml Sinkhorn")
        assert float(ours["plan"]) >= 0
        assert float(ours["error"]) <= 1e-6
        for name in ("POT sinkhorn", "POT sinkhorn_log"):
            assert float(rows[name]["plan"]) == pytest.approx(float(ours["plan"]), abs=1e-5)
    assert float(tables["sinkhorn rate"][0]["exponent"]) > 0


def test_the_rounded_value_falls_to_the_exact_one(numbers, tmp_path):
    pytest.importorskip("torch")
    figure = tmp_path / "rate.png"
    epsilons = ("0.08", "0.04", "0.02", "0.01")
    options = ("--rate", str(figure), "--sizes", "9", "14", "--samples", "3", "--epsilons", *epsilons)
    tables = numbers("sinkhorn.py", *options)
    rows, slopes = tables["sinkhorn falls"], tables["sinkhorn slopes"]
    assert [(row["n"], float(row["epsilon"])) for row in rows] == [(n, float(e)) for n in ("9", "14") for e in epsilons]
    assert min(float(row["least"]) for row in rows) >= 0
    for n, line in zip(("9", "14"), slopes, strict=True):
        excess = [float(row["excess"]) for row in rows if row["n"] == n]
        assert excess == sorted(excess, reverse=True)
        assert line["epsilons"] == "3"
        fitted = np.polyfit(np.log([0.04, 0.02, 0.01]), np.log(excess[1:]), 1)[0]
        assert float(line["slope"]) == pytest.approx(fitted)
        assert fitted > 1
    assert figure.stat().st_size > 5000


def test_the_job_of_a_gpu_runs_small_without_one(numbers):
    torch = pytest.importorskip("torch")
    if torch.cuda.is_available():
        pytest.skip("there is a GPU, on which it takes minutes")
    tables = numbers("gpu.py", "--steps", "2")
    for row in tables["gpu steps"]:
        if row["solver"].startswith("Sinkhorn"):
            assert 0 <= float(row["least"]) <= float(row["most"]) < 0.1
    assert all(0 < float(row["theta differs by"]) < 0.3 for row in tables["gpu theta"])


def test_growth(numbers):
    tables = numbers(
        "scaling.py", "--base", "4,6,5,2", "--P", "4", "8", "--n", "--d", "--k", "--steps", "2", "--threads", "1"
    )
    few, many = tables["scaling P"]
    assert (few["pairs"], many["pairs"]) == ("6", "28")
    assert all(0 < float(row["outside solver"]) < 1 for row in (few, many))
    (growth,) = tables["scaling exponents"]
    expected = np.log2(float(many["step s"]) / float(few["step s"]))
    assert float(growth["step s"]) == pytest.approx(expected)


def test_a_step_is_beside_its_floor(numbers):
    tables = numbers("floor.py", "--settings", "6,20,5,2", "--steps", "3", "--threads", "1")
    (row,) = tables["floor"]
    assert float(row["x"]) == pytest.approx(float(row["step ms"]) / float(row["floor ms"]))
    assert float(row["floor us per pair"]) == pytest.approx(1e3 * float(row["floor ms"]) / 15)


def test_memory(numbers):
    tables = numbers("memory.py", "--base", "4,8,5,2", "--P", "4", "--n", "--d", "--threads", "1")
    (row,) = tables["memory P"]
    assert 0 <= float(row["learning MB"]) < 100
    assert 0 <= float(row["distances MB"]) < 100


def test_a_cohort_on_disk(numbers):
    options = ("--samples", "4", "--cells", "6", "--dimensions", "5", "--threads", "1")
    tables = numbers("cohorts.py", "disk", *options, "--learn", "n_comps=2", "method=Triplets(max_iter=2)")
    phases = {row["phase"]: row for row in tables["disk"]}
    assert list(phases) == ["write", "open", "read and embed", "learn", "distances", "the job"]
    assert phases["learn"]["note"].endswith("2 passes")
    assert phases["distances"]["note"] == "6 pairs"
    total = sum(float(phases[name]["seconds"]) for name in ("open", "learn", "distances"))
    assert float(phases["the job"]["seconds"]) == pytest.approx(total)


def test_a_cluster(numbers):
    options = ("--base", "6", "40", "--samples", "4", "8", "--cells", "--dimensions", "30", "--points", "10")
    tables = numbers("scaling_out.py", *options, "--target", "80", "400", "--learn", "n_comps=1", "shrinkage=0.4")
    few, many = tables["scaling_out samples"]
    assert (few["samples"], many["samples"], many["cells"]) == ("4", "8", "40")
    assert 0 < float(few["received MB"]) < float(many["received MB"]) < 1
    (growth,) = tables["scaling_out exponents"]
    ratio = float(many["received MB"]) / float(few["received MB"])
    assert float(growth["received MB"]) == pytest.approx(np.log2(ratio))
    hours = {row["phase"]: float(row["extrapolated hours"]) for row in tables["scaling_out extrapolated"]}
    assert hours["pairs"] == pytest.approx(100 * float(many["pairs s"]) / 3600)
    assert hours["coresets"] == pytest.approx(100 * float(many["coresets s"]) / 3600)


@pytest.mark.parametrize("kind", ["h5ad", "zarr"])
def test_the_cells_on_disk_are_those_of_the_cohort(tmp_path, monkeypatch, kind):
    monkeypatch.syspath_prepend(BENCHMARKS)
    import _data  # noqa: PLC0415
    import cohorts  # noqa: PLC0415

    cohorts.write_cohort(tmp_path / f"cohort.{kind}", 3, 4, 2)
    adata = cohorts.open_cohort(tmp_path / f"cohort.{kind}")
    np.testing.assert_array_equal(np.asarray(adata.X[:]), np.concatenate(list(_data.mixtures(3, 4, 2))))
    assert list(adata.obs["sample_id"].unique()) == ["s0", "s1", "s2"]
    adata.file.close()


@pytest.mark.parametrize("kind", ["h5ad", "zarr"])
def test_sparse_genes_on_disk_are_a_matrix(tmp_path, monkeypatch, kind):
    monkeypatch.syspath_prepend(BENCHMARKS)
    import cohorts  # noqa: PLC0415

    cohorts.write_cohort(tmp_path / f"cohort.{kind}", 4, 30, 50, density=0.1)
    adata = cohorts.open_cohort(tmp_path / f"cohort.{kind}")
    X = adata.X[:] if kind == "h5ad" else adata.X.compute()
    assert X.shape == (120, 50)
    assert X.has_canonical_format
    assert X.nnz / 6000 == pytest.approx(0.1, abs=0.02)
    of_class = np.repeat([0, 1, 0, 1], 30)
    means = [X[of_class == label].toarray()[:, :20].mean() for label in (0, 1)]
    assert means[1] > 1.2 * means[0]
    adata.file.close()


def test_an_exponent_is_that_of_a_power_law(monkeypatch):
    monkeypatch.syspath_prepend(BENCHMARKS)
    import _report  # noqa: PLC0415

    sizes = np.array([10.0, 20.0, 80.0])
    assert _report.exponent(sizes, 3 * sizes**2.4) == pytest.approx(2.4)


def test_memory_that_was_used_and_freed_counts(monkeypatch):
    monkeypatch.syspath_prepend(BENCHMARKS)
    import _worker  # noqa: PLC0415

    if not _worker.STATUS.exists():
        pytest.skip("the kernel's mark of the peak cannot be set back here")
    np.ones(2**23).sum()  # 64 MB, before
    memory = _worker.Memory()
    np.ones(2**22).sum()  # 32 MB, during
    assert 30 < memory.extra < 48


def test_options_are_literals_or_objects(monkeypatch):
    monkeypatch.syspath_prepend(BENCHMARKS)
    import _learn  # noqa: PLC0415

    import scggml as sg  # noqa: PLC0415

    given = _learn.arguments(["shrinkage=0.5", "method=paper", "solver=Exact(max_iter=9)", "summary=None"])
    assert given == {"shrinkage": 0.5, "method": "paper", "solver": sg.tl.Exact(max_iter=9), "summary": None}
    found = _learn.value("Triplets(init=Canonical(ridge=0.2), max_iter=3)")
    assert (found.init, found.max_iter) == (sg.tl.Canonical(ridge=0.2), 3)
    with pytest.raises(ValueError, match=r"open is no object of sg\.tl"):
        _learn.value("open('x')")


def test_planted_genes(numbers):
    options = ("--designs", "small", "--seeds", "1", "--nothing", "2", "--n-perm", "19")
    tables = numbers("interpretation.py", *options)
    (row,) = tables["planted"]
    assert 0 <= float(row["false"]) <= 1
    assert float(row["recall"]) > 0.5
    assert row["place of the type"] == "1"
    (nothing,) = tables["nothing planted"]
    assert nothing["cohorts"] == "2"
    assert 0 <= int(nothing["anything"]) <= 2


def test_state_and_composition(numbers):
    rows = numbers("composition.py", "--seeds", "1", "--samples", "8", "--n-jobs", "1")["shares"]
    assert [row["kind"] for row in rows] == ["state", "composition"]
    for row in rows:
        assert 0 < float(row["right, held out"]) <= 1
        assert float(row["type, held out"]) > float(row["type, training"])


def test_order(numbers):
    (row,) = numbers("trajectory.py", "--designs", "15 per level, 1.2", "--seeds", "1", "--n-jobs", "1")["order"]
    assert float(row["rho"]) > 0.9
    assert float(row["recall"]) > 0.6
    assert 0 <= float(row["false"]) <= 0.25


def test_donors_that_are_named(numbers):
    rows = numbers("influence.py", "--samples", "8", "--seeds", "1", "--n-jobs", "1")["donors"]
    assert [row["kind"] for row in rows] == ["clean", "shifted", "alone", "other label"]
    assert [row["cohorts"] for row in rows] == ["2", "1", "1", "1"]
    assert rows[1]["donor named"] == "1"


def test_two_versions_do_the_same_job_in_turn(monkeypatch):
    """This version beside itself: the metrics are equal, and the ratio is that of the seconds."""
    monkeypatch.syspath_prepend(BENCHMARKS)
    import versions  # noqa: PLC0415

    row = versions.compare("tiny", BENCHMARKS.parent, threads=1, repeats=2, cap=60.0)
    assert row["theta"] < 1e-7
    assert row["x s"] == row["before s"] / row["now s"]
    assert min(row["before cpu s"], row["now cpu s"]) > 0


def test_a_first_call_counts_the_process_that_it_begins(monkeypatch):
    monkeypatch.syspath_prepend(BENCHMARKS)
    import versions  # noqa: PLC0415

    began, own = versions.processor_time(), time.process_time()
    versions.begin(None, threads=1, new=0)
    # Importing alone takes a processor longer than that; what this process does meanwhile is to wait.
    assert versions.processor_time() - began > 0.5 + time.process_time() - own


def test_components_are_tested_with_a_covariate(monkeypatch):
    monkeypatch.syspath_prepend(BENCHMARKS)
    import versions  # noqa: PLC0415

    adata = versions.dense(8, 10, 5)
    versions.permute_components(adata, threads=1, n=3)
    assert "adjustment" in adata.uns["ggml"]
    assert adata.uns["ggml_components"]["params"]["n_perm"] == 3


def test_whole_jobs_without_rivals(numbers):
    options = ("--ours-only", "--metric", "4,20,5", "--distances", "4,20,5", "--threads", "1", "--repeats", "1")
    tables = numbers("whole_job.py", *options)
    (row,) = tables["whole_job metric"]
    assert (row["package"], row["samples"], row["runs"], row["x"]) == ("scggml", "4", "1", "1.0")
    euclidean, learned = tables["whole_job distances"]
    assert (euclidean["package"], learned["package"]) == ("scggml, Euclidean", "scggml, learned")
    assert float(learned["x"]) == pytest.approx(float(learned["seconds"]) / float(euclidean["seconds"]))
    assert min(float(found[key]) for found in (row, euclidean, learned) for key in ("seconds", "first call s")) > 0


def test_epochs_that_were_not_timed_count_as_the_mean(monkeypatch):
    monkeypatch.syspath_prepend(BENCHMARKS)
    import whole_job  # noqa: PLC0415

    seconds, note = whole_job.whole({"seconds": [20.0], "epoch": 3.0}, epochs=5)
    assert seconds == 20 + 25 * 3
    assert note.startswith("5 of 30 epochs timed")
    assert whole_job.whole({"seconds": [1.0, 9.0, 2.0], "epoch": 3.0}, epochs=30) == (2.0, "")
    assert whole_job.whole({"seconds": [4.0]}, epochs=30) == (4.0, "")


def test_an_environment_that_is_there_is_used_again(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(BENCHMARKS)
    import _environment  # noqa: PLC0415

    monkeypatch.setattr(_environment, "HERE", tmp_path)
    folder = tmp_path / ".venv-some-package"
    folder.mkdir()
    (folder / ".ready").write_text("some-package[extra]==1.2", encoding="utf-8")
    found = Path(_environment.environment_python("some-package[extra]==1.2"))
    assert found.parents[1] == folder
    assert not found.exists()  # nothing was installed


def test_the_difference_of_two_metrics_is_that_of_their_products(monkeypatch):
    monkeypatch.syspath_prepend(BENCHMARKS)
    import versions  # noqa: PLC0415

    one, other = (np.random.default_rng(seed).standard_normal((3, 5)) for seed in (0, 1))
    theta, moved = one.T @ one, other.T @ other
    truth = np.linalg.norm(theta - moved) / np.linalg.norm(theta)
    assert versions.difference(one.tolist(), other.tolist()) == pytest.approx(truth)


def test_learning_curves_are_compared_with_what_is_known(numbers):
    rows = numbers("power.py", "--designs", "centroids, 12 + 28", "--cohorts", "1", "--jobs", "1")["power"]
    assert [row["truth"] for row in rows] == ["0.924", "0.942", "0.952"]
    for row in rows:
        assert row["covered"] in ("0 of 1", "1 of 1")
        assert 0 < float(row["width"]) < 0.4
        assert 0.7 < float(row["mean"]) <= 1
