from joblib import parallel_config

from scggml._core.runner import in_parallel, n_workers
from scggml._core.transport.pairs import n_threads


def square(x: int) -> int:
    return x * x


def test_results_come_in_order_on_any_backend():
    items = [(i,) for i in range(7)]
    for backend in ("sequential", "threading"):
        with parallel_config(backend, n_jobs=2):
            found = in_parallel(square, items, n_jobs=None, progress=None, unit="item")
        assert found == [0, 1, 4, 9, 16, 25, 36]
    assert in_parallel(square, items, n_jobs=1, progress=None, unit="item") == found


def test_workers_follow_the_argument_then_joblib_then_the_machine():
    assert n_workers(3) == 3
    assert n_workers(None) == n_threads(None)
    with parallel_config("threading", n_jobs=5):
        assert n_workers(None) == 5
        assert n_workers(2) == 2
