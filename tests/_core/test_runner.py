import _thread
import os
import signal
import threading
import time
import warnings
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import sklearn.cluster  # noqa: F401  # brings OpenMP
from joblib import Parallel, delayed, effective_n_jobs, parallel_config
from threadpoolctl import threadpool_info, threadpool_limits

from scggml._core import runner as module
from scggml._core.runner import n_workers, run_tasks
from scggml._core.threads import n_threads

BACKENDS = ["sequential", "threading", "loky", "multiprocessing"]
# Python 3.12 announces that forks of processes with threads (a progress bar has one) may come to an end
pytestmark = pytest.mark.filterwarnings("ignore:This process .* is multi-threaded, use of fork:DeprecationWarning")


def run(task, items, n_jobs=2, progress=None):
    return run_tasks(task, items, n_jobs=n_jobs, progress=progress, unit="item")


@pytest.fixture(params=BACKENDS)
def backend(request):
    with parallel_config(request.param):
        yield request.param


def square(x):
    return x * x


# Results


def test_results_come_in_the_order_of_the_items(backend):
    assert run(square, [(i,) for i in range(23)]) == [i * i for i in range(23)]


def slow_first(i):
    time.sleep(0.3 if i == 0 else 0)
    return i


def test_a_task_that_takes_long_keeps_its_place(backend):
    assert run(slow_first, [(i,) for i in range(6)]) == list(range(6))


def test_no_items_give_no_results(backend):
    assert run(square, []) == []
    assert run(square, [], progress="nothing") == []


def product(seed):
    X = np.random.default_rng(seed).normal(size=(400, 400))
    return X @ X.T, np.linalg.svd(X)[1]


def test_results_are_the_same_to_the_bit_for_any_number_of_workers(backend):
    truth, *others = (run(product, [(0,), (1,)], n_jobs=n) for n in (1, 2, None))
    for other in others:
        for found, wanted in zip(other, truth, strict=True):
            assert [part.tobytes() for part in found] == [part.tobytes() for part in wanted]


def fail(i):
    if i == 2:
        raise FileNotFoundError(2, "of task 2")
    return i


def test_an_exception_comes_as_it_is(backend):
    with pytest.raises(FileNotFoundError, match="of task 2") as caught:
        run(fail, [(i,) for i in range(5)])
    assert caught.value.errno == 2
    assert run(square, [(3,), (4,)]) == [9, 16]


# Workers


def test_workers_follow_the_argument_then_joblib_then_the_machine():
    assert n_workers(3, 100) == n_workers(np.int64(3), 100) == 3
    assert n_workers(None, 100) == n_workers(-1, 100) == n_workers(np.int32(-1), 100)
    assert 1 <= n_workers(None, 100) <= n_threads(None)
    with parallel_config("threading", n_jobs=5):
        assert n_workers(None, 100) == 5
        assert n_workers(2, 100) == 2
        assert n_workers(-1, 100) == n_workers(-1, 1000) > 0
    with parallel_config("threading", n_jobs=1):
        assert n_workers(None, 100) == 1
    with parallel_config("loky"):
        assert n_workers(None, 100) == n_workers(-1, 100)
    with parallel_config("sequential"):
        assert n_workers(8, 100) == n_workers(None, 100) == 1


@pytest.mark.parametrize("n_jobs", [1, 3, 7, -1, None])
def test_workers_are_never_more_than_items(n_jobs):
    assert [n_workers(n_jobs, n) for n in (0, 1)] == [1, 1]
    assert n_workers(n_jobs, 2) <= 2


def who(*_):
    time.sleep(0.05)
    return os.getpid(), threading.get_ident()


def test_one_worker_is_this_process_and_two_are_two(backend):
    here = (os.getpid(), threading.get_ident())
    assert set(run(who, [()] * 3, n_jobs=1)) == set(run(who, [()])) == {here}
    assert len(set(run(who, [()] * 12))) == (1 if backend == "sequential" else 2)


@pytest.mark.parametrize(
    ("n_jobs", "error"), [(0, ValueError), (-2, ValueError), (True, TypeError), (2.0, TypeError), ("2", TypeError)]
)
@pytest.mark.parametrize("items", [[], [(1,), (2,)]])
def test_a_number_of_workers_that_means_nothing_is_refused(n_jobs, error, items):
    with pytest.raises(error, match=r"^n_jobs=.* must be .* -1 for all cores, or None"):
        run(square, items, n_jobs=n_jobs)


def nest(_):
    inner = run(who, [()] * 4, n_jobs=4)
    return who(), set(inner), effective_n_jobs(-1), n_workers(None, 9)


def test_nothing_in_parallel_begins_within_a_task(backend):
    for own, inner, joblibs, ours in run(nest, [(0,), (1,)]):
        assert inner == {own}
        assert joblibs == ours == 1


def test_nor_within_a_task_of_a_caller_who_uses_joblib():
    with parallel_config("threading"):
        assert Parallel(n_jobs=2)(delayed(n_workers)(None, 100) for _ in range(3)) == [1, 1, 1]


# One thread


def n_inside(_):
    time.sleep(0.02)
    return [library["num_threads"] for library in threadpool_info()]


@pytest.mark.parametrize("n_jobs", [1, 2])
def test_tasks_have_one_thread_of_blas_and_openmp_and_the_caller_keeps_its_own(backend, n_jobs):
    with threadpool_limits(2):
        before = n_inside(0)
        found = run(n_inside, [(i,) for i in range(6)], n_jobs)
        assert n_inside(0) == before
    assert {2} == set(before)
    assert {"blas", "openmp"} == {library["user_api"] for library in threadpool_info()}
    assert all(len(numbers) > 0 and set(numbers) == {1} for numbers in found)


# Warnings


def grumble(i):
    warnings.warn("as before", stacklevel=1)
    warnings.warn("as before", RuntimeWarning, stacklevel=1)
    if i == 3:
        warnings.warn("of task 3", FutureWarning, stacklevel=1)
    return i


@pytest.mark.parametrize("n_jobs", [1, 2])
def test_each_warning_comes_once_with_its_category_from_the_line_that_called(backend, n_jobs):
    before = warnings.filters[:], warnings.showwarning
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        assert run(grumble, [(i,) for i in range(6)], n_jobs) == list(range(6))
    # Python 3.12 says something about forks as well
    found = [(one.category, str(one.message)) for one in caught if one.category is not DeprecationWarning]
    assert sorted(found, key=str) == sorted(
        [(UserWarning, "as before"), (RuntimeWarning, "as before"), (FutureWarning, "of task 3")], key=str
    )
    assert {warning.filename for warning in caught} == {__file__}
    assert (warnings.filters[:], warnings.showwarning) == before


def test_the_filters_of_the_caller_decide(backend):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        run(grumble, [(0,), (1,)])
        warnings.simplefilter("error", RuntimeWarning)
        with pytest.raises(RuntimeWarning, match="as before"):
            run(grumble, [(0,), (1,)])


_KEPT = []


def grow(i):
    _KEPT.append(np.ones(40_000_000))  # from 300 MB on, loky replaces a process
    time.sleep(1.1)  # it looks once a second
    return i


@pytest.mark.slow
def test_a_replaced_process_of_loky_is_not_a_warning_to_the_user():
    with parallel_config("loky"), warnings.catch_warnings():
        warnings.simplefilter("error")
        assert run(grow, [(i,) for i in range(8)]) == list(range(8))


def quiet(_):
    time.sleep(0.02)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        warnings.warn("hidden", stacklevel=1)


@pytest.mark.parametrize("name", ["sequential", "loky", "multiprocessing"])
def test_what_a_task_hides_stays_hidden(name):
    with parallel_config(name):
        run(quiet, [(i,) for i in range(6)])


def test_threads_of_another_process_restore_what_the_first_one_found():
    """As threads of a worker of Dask, whose tasks begin and end at any time."""
    before = warnings.filters[:], warnings.showwarning, n_inside(0)
    gates = [threading.Event() for _ in range(3)]

    def task(i):
        if i < 2:  # the first task begins first and ends first, while the second one is inside
            gates[i].set()
            assert gates[i + 1].wait(20)
        grumble(i)
        if i == 2:
            gates[2].set()
        return [library["num_threads"] for library in threadpool_info()]

    with ThreadPoolExecutor(3) as pool:
        futures = []
        for i in range(3):
            futures.append(pool.submit(module._alone, "another process", i, task, i))
            if i == 0:
                assert gates[0].wait(20)
        answers = [future.result() for future in futures]
    for place, (found, numbers, said) in enumerate(answers):
        assert found == place
        assert set(numbers) == {1}
        assert {(UserWarning, "as before"), (RuntimeWarning, "as before")} <= set(said)
    assert (warnings.filters[:], warnings.showwarning, n_inside(0)) == before


# Progress


class Bar:
    """A progress bar whose positions are kept."""

    def __init__(self, *, total, desc, unit, disable, leave):
        self.made = {"total": total, "desc": desc, "unit": unit, "disable": disable}
        self.n, self.seen, self.moved = 0, [], threading.Event()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.closed = True

    def update(self, n=1):
        self.n += n
        self.seen.append(self.n)
        self.moved.set()


@pytest.fixture
def bars(monkeypatch):
    made = []
    monkeypatch.setattr(module, "tqdm", lambda **options: made.append(Bar(**options)) or made[-1])
    return made


def test_the_bar_counts_every_task(backend, bars):
    run(square, [(i,) for i in range(30)], progress="squares")
    run(square, [(1,)])
    assert bars[0].made == {"total": 30, "desc": "squares", "unit": "item", "disable": False}
    assert bars[1].made["disable"]
    assert bars[0].seen == sorted(bars[0].seen)
    assert bars[0].n == 30
    assert bars[0].closed


def test_the_bar_shows_what_is_done_also_where_an_earlier_task_is_not(bars):
    def task(i):
        if i == 0:
            assert bars[0].moved.wait(20)
        return i

    with parallel_config("threading"):
        assert run(task, [(0,), (1,)], progress="tasks") == [0, 1]
    assert bars[0].seen == [1, 2]


def stamp(folder, i):
    time.sleep(0.02)
    (folder / str(i)).touch()


def test_the_bar_is_never_ahead_where_results_come_all_at_once(bars, tmp_path):
    done = []

    class Watched(Bar):
        def update(self, n=1):
            super().update(n)
            done.append((self.n, len(list(tmp_path.iterdir()))))

    with pytest.MonkeyPatch.context() as patch, parallel_config("multiprocessing"):
        patch.setattr(module, "tqdm", Watched)
        run(stamp, [(tmp_path, i) for i in range(24)], progress="stamps")
    assert all(shown <= truth for shown, truth in done)
    assert len([shown for shown, _ in done if shown < 24]) > 5
    assert done[-1] == (24, 24)


# Interrupts


def stop_caller(folder, caller, i):
    (folder / str(i)).touch()
    if i == 1:
        os.kill(caller, signal.SIGINT)
    time.sleep(0.05)


@pytest.mark.parametrize("name", ["threading", "loky", "multiprocessing"])
def test_an_interrupt_ends_what_has_not_begun(tmp_path, name):
    before = warnings.filters[:], warnings.showwarning
    with parallel_config(name), pytest.raises(KeyboardInterrupt):
        run(stop_caller, [(tmp_path, os.getpid(), i) for i in range(200)])
    time.sleep(0.3)
    begun = len(list(tmp_path.iterdir()))
    time.sleep(0.3)
    assert len(list(tmp_path.iterdir())) == begun < 100
    assert (warnings.filters[:], warnings.showwarning) == before
    with parallel_config(name):
        assert run(square, [(3,), (4,)]) == [9, 16]


def test_an_interrupt_ends_a_run_in_this_process():
    begun = []

    def task(i):
        begun.append(i)
        if i == 1:
            _thread.interrupt_main()
            time.sleep(0.05)

    with pytest.raises(KeyboardInterrupt):
        run(task, [(i,) for i in range(9)], n_jobs=1)
    assert begun == [0, 1]
