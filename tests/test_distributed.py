"""Distances and tasks on a real Dask cluster of two processes."""

import os
import sys
import time
import warnings

import cloudpickle
import joblib
import numpy as np
import pytest
from _oracles import random_cohort
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
