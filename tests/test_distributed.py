"""Cells, distances and tasks on a real Dask cluster of two processes."""

import os
import sys
import time
import warnings
from pathlib import Path

import anndata as ad
import cloudpickle
import dask
import dask.array as da
import joblib
import numpy as np
import pytest
import zarr
from _new import measured_again
from _oracles import random_cohort
from _slots import assert_same, slots
from scipy import sparse
from threadpoolctl import threadpool_info

import scggml as sg
from scggml._core.runner import run_tasks
from scggml._core.transport import pairs as module
from scggml._core.transport.exact import Exact
from scggml._core.transport.pairs import all_pairs, solve_distances

distributed = pytest.importorskip("distributed")


@pytest.fixture(scope="module")
def client():
    options = {"n_workers": 2, "threads_per_worker": 1, "processes": True, "dashboard_address": ":0"}
    with distributed.LocalCluster(host="127.0.0.1", **options) as cluster, distributed.Client(cluster) as found:
        yield found


@pytest.fixture
def small_tiles(monkeypatch):
    """Many pieces of work, so that both processes have some."""
    monkeypatch.setattr(module, "TILE", 400.0)


def on_cluster():
    return joblib.parallel_config(backend="dask")


@pytest.mark.parametrize("squared", [False, True])
def test_distances_are_those_of_threads_to_the_bit(client, small_tiles, squared):
    adata = sg.datasets.synthetic(n_noise=3, n_samples=3, n_cells=10)
    sg.tl.ggml(
        adata,
        "sample_id",
        "label",
        method=sg.tl.Triplets(max_iter=3, tol=0),
        n_comps=2,
        squared=squared,
        progress=False,
    )
    truth = sg.tl.distances(adata, n_jobs=2, progress=False).obsp["ggml_distances"]
    with on_cluster():
        found = sg.tl.distances(adata, progress=False).obsp["ggml_distances"]
    assert found.tobytes() == truth.tobytes()
    assert (truth[~np.eye(9, dtype=bool)] > 0).all()


@pytest.mark.parametrize("backend", ["simplex", "pot"])
@pytest.mark.parametrize("metric", ["euclidean", "cosine", "cityblock"])
def test_fixed_metrics_and_both_backends_are_those_of_threads_to_the_bit(client, small_tiles, metric, backend):
    adata = sg.datasets.synthetic(n_noise=3, n_samples=2, n_cells=10)
    options = {"metric": metric, "sample_key": "sample_id", "solver": sg.tl.Exact(backend=backend), "progress": False}
    options |= {"summary": sg.tl.Coreset(12)}
    truth = sg.tl.distances(adata, **options)
    with on_cluster():
        found = sg.tl.distances(adata, **options)
    for slot in truth.obsp:
        assert found.obsp[slot].tobytes() == truth.obsp[slot].tobytes()


class Where(Exact):
    """Exact, whose distances are the number of the process that they are made in."""

    def distances(self, cohort, points, pairs, cost):
        return np.full(len(pairs), float(os.getpid())), np.ones(len(pairs), dtype=np.bool_)


def test_the_work_is_done_in_the_processes_of_the_cluster(client, small_tiles):
    cohort = random_cohort((10,) * 12)
    with on_cluster():
        found = solve_distances(cohort, cohort.points, all_pairs(12), "euclidean", solver=by_value(Where()))
    workers = set(client.run(os.getpid).values())
    assert len(workers) == 2
    assert set(found.astype(int)) == workers


def by_value(solver):
    """A solver whose class a process without this file can load."""
    cloudpickle.register_pickle_by_value(sys.modules[type(solver).__module__])
    return solver


def test_a_pair_that_was_not_solved_is_named_from_afar(client, small_tiles):
    adata = sg.datasets.synthetic(n_noise=3, n_samples=2, n_cells=10)
    options = {"metric": "euclidean", "sample_key": "sample_id", "progress": False}
    with on_cluster(), pytest.raises(RuntimeError, match="did not reach the optimal plan between samples 'class0_00'"):
        sg.tl.distances(adata, solver=sg.tl.Exact(max_iter=1), **options)
    with on_cluster(), pytest.warns(UserWarning, match=r"stopped before the optimum for 15 pair\(s\) of samples"):
        sg.tl.distances(adata, solver=sg.tl.Exact(max_iter=1, backend="pot"), **options)


def told(i):
    warnings.warn("of every task", RuntimeWarning, stacklevel=1)
    if i < 0:
        raise KeyError(i)
    time.sleep(0.05)
    return i, os.getpid(), {library["num_threads"] for library in threadpool_info()}


def test_tasks_run_on_the_cluster_in_order_on_one_thread_and_warn_once(client):
    cloudpickle.register_pickle_by_value(sys.modules[__name__])
    with on_cluster(), pytest.warns(RuntimeWarning, match="of every task") as caught:
        found = run_tasks(told, [(i,) for i in range(12)], n_jobs=None, progress=None, unit="task")
    assert len(caught) == 1
    assert [i for i, _, _ in found] == list(range(12))
    assert {process for _, process, _ in found} == set(client.run(os.getpid).values())
    assert set.union(*(threads for _, _, threads in found)) == {1}
    with on_cluster(), pytest.raises(KeyError, match="-1"):
        run_tasks(told, [(1,), (-1,)], n_jobs=-1, progress=None, unit="task")


# Cells that lie on the cluster


def elsewhere(block, here, log):
    """A chunk that is not for the process of the user, and notes where it was read."""
    if os.getpid() == here:
        raise AssertionError("a chunk was read in the process of the user")
    Path(log, f"{os.getpid()}-{time.time_ns()}").touch()
    return block


@pytest.fixture(params=["dense", "csr"])
def cohorts(request, tmp_path):
    """A cohort in memory, and the same in a zarr store, whose chunks only workers can read."""
    cloudpickle.register_pickle_by_value(sys.modules[__name__])
    adata = sg.datasets.synthetic(n_noise=40, n_samples=3, n_cells=60, noise_scale=1.0, rng=3)
    adata.X = np.where(np.abs(adata.X) > 0.5, adata.X, 0).astype(np.float32)
    if request.param == "csr":
        adata.X = sparse.csr_matrix(adata.X)
    return adata, stored_in(tmp_path, adata)


def stored_in(folder, adata):
    adata.write_zarr(folder / "cohort.zarr")
    X = zarr.open_group(folder / "cohort.zarr", mode="r")["X"]
    if sparse.issparse(adata.X):
        matrix = ad.experimental.read_elem_lazy(X, chunks=(250, adata.n_vars))
    else:
        matrix = da.from_zarr(X).rechunk((250, 15))
    log, lazy = folder / "log", adata.copy()
    log.mkdir()
    lazy.X = matrix.map_blocks(elsewhere, here=os.getpid(), log=str(log), dtype=np.float32, meta=matrix._meta)
    return lazy


@pytest.fixture
def received(monkeypatch):
    """The number of bytes of each result that came to the process of the user."""
    sizes, compute = [], dask.base.compute

    def noting(*tasks, **options):
        results = compute(*tasks, **options)
        sizes.extend(len(cloudpickle.dumps(result)) for result in results)
        return results

    monkeypatch.setattr(dask.base, "compute", noting)
    return sizes


def learn_and_compare(adata):
    options = {"summary": sg.tl.Coreset(15), "progress": False, "n_jobs": 2}
    sg.tl.ggml(adata, "sample_id", "label", n_comps=2, mask_var=np.arange(adata.n_vars) != 1, **options)
    options |= {"rng": 0, "solver": "exact"}
    learned = sg.tl.distances(adata, **options)
    fixed = sg.tl.distances(adata, metric="cityblock", **options)
    return learned, fixed


def test_cells_on_a_cluster_are_learned_from_as_in_memory_to_the_bit(client, cohorts, received, tmp_path):
    adata, lazy = cohorts
    truth = learn_and_compare(adata)
    assert received == []
    found = learn_and_compare(lazy)
    # what came: the coresets and profiles of 9 samples thrice, coordinates of the cells once, and the genes of the
    # samples twice; a few cells were looked at before each of these, and for the scale of genes in two of the calls
    assert len(received) == 5 * 9 + len(lazy.X.chunks[0]) + 4
    assert sum(received) < adata.n_obs * adata.n_vars * 4 / 2
    assert found[0].n_obs == 9
    for one, other in zip(found, truth, strict=True):
        assert_same(slots(one), slots(other))
    assert_same(*({path: part for path, part in slots(a).items() if path[0] != "X"} for a in (lazy, adata)))
    readers = {int(path.name.split("-")[0]) for path in (tmp_path / "log").iterdir()}
    assert readers == set(client.run(os.getpid).values())


@pytest.mark.parametrize("options", [{}, {"n_cells": 50}], ids=["all cells", "some cells"])
def test_values_on_a_cluster_that_are_not_finite_are_told_as_in_memory(client, cohorts, tmp_path, options):
    adata, messages = cohorts[0], []
    X = adata.X.toarray() if sparse.issparse(adata.X) else adata.X
    X[[1000, 700, 701], [0, 3, 1]] = np.nan
    adata.X = sparse.csr_matrix(X) if sparse.issparse(adata.X) else X
    lazy = stored_in(tmp_path / "log", adata)
    for each in (adata, lazy):
        with pytest.raises(ValueError, match=r"adata\.X has 3 values that are NaN or infinite; the first") as raised:
            sg.tl.ggml(each, "sample_id", "label", summary=sg.tl.Coreset(15), progress=False, **options)
        messages.append(str(raised.value))
        assert "ggml" not in each.uns
    assert messages[0] == messages[1]


def test_the_page_on_scaling_out_runs(client, cohorts, tmp_path, monkeypatch):
    page = (Path(__file__).parents[1] / "docs" / "scaling_out.md").read_text(encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    cohorts[0].write_h5ad("cohort.h5ad")
    scheduler, seen = client.scheduler.address, []
    page = (
        page.replace("tcp://scheduler:8786", scheduler).replace("/data", str(tmp_path)).replace("n_boot=20", "n_boot=2")
    )
    for code in page.split("```python\n")[1:]:
        names = {}
        exec(code.partition("```")[0], names)
        seen.append(names)
    backed, _, lazy = seen
    assert_same(slots(lazy["samples"]), slots(backed["samples"]))
    assert isinstance(lazy["adata"].X, da.Array)
    backed["adata"].file.close()
    lazy["client"].close()


def test_other_calls_take_cells_from_a_cluster(client, cohorts):
    """New cells, attributions, predictions and stability: nothing reads a chunk in the process of the user."""
    adata, lazy = cohorts
    found = []
    for each in (adata, lazy):
        sg.tl.ggml(each, "sample_id", "label", n_comps=1, summary=sg.tl.Coreset(15), progress=False)
        sg.tl.attribute(each, n_cells=None, progress=False)
        sg.tl.gene_stability(each, 4, n_perm=0, n_jobs=1, progress=False)
        new = each.copy()
        sg.tl.project(new, each)
        samples = sg.tl.predict(measured_again(adata), each, n_splits=3, n_repeats=1, n_jobs=1, progress=False)
        found.append((slots(samples), {path: part for path, part in slots(new).items() if path[0] != "X"}))
    for one, other in zip(*found, strict=True):
        assert_same(one, other)
