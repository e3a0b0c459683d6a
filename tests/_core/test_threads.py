import os
import subprocess
import sys
import threading
import warnings

import numpy as np
import pytest
from _threads import no_thread_left
from hypothesis import given
from hypothesis import strategies as st

from scggml._core.threads import all_in_threads, ignored, in_threads, split, stream_in_threads


@pytest.mark.parametrize("run", [in_threads, all_in_threads, stream_in_threads])
@pytest.mark.parametrize("n_jobs", [1, 2, 3, None])
def test_answers_come_in_the_order_of_the_tasks(run, n_jobs):
    gates = [threading.Event() for _ in range(2)]

    def task(i):
        if n_jobs in (2, 3):  # the first task ends after the second
            if i == 0:
                assert gates[1].wait(20)
            if i == 1:
                gates[1].set()
        return i * i

    assert list(run(task, range(20), n_jobs)) == [i * i for i in range(20)]


@pytest.mark.parametrize("run", [in_threads, stream_in_threads])
@pytest.mark.parametrize("n_jobs", [1, 2])
def test_a_fault_is_raised_where_it_is_waited_for_and_ends_the_work(run, n_jobs):
    begun = []

    def task(i):
        begun.append(i)
        if i == 2:
            raise RuntimeError("of task 2")
        return i

    with no_thread_left():
        answers = run(task, range(1000), n_jobs)
        assert [next(answers), next(answers)] == [0, 1]
        with pytest.raises(RuntimeError, match="of task 2"):
            next(answers)
    assert n_jobs > 1 or begun == [0, 1, 2]


@pytest.mark.parametrize("run", [in_threads, stream_in_threads])
@pytest.mark.parametrize("n_jobs", [1, 2])
def test_what_has_not_begun_when_the_caller_stops_is_never_begun(run, n_jobs):
    begun, stop = [], threading.Event()

    def task(i):
        begun.append(i)
        if i >= n_jobs:
            stop.wait(0.05)
        return i

    answers = run(task, range(200), n_jobs)
    assert next(answers) == 0
    answers.close()
    count = len(begun)
    assert count < 100
    stop.set()
    assert len(begun) == count


@pytest.mark.parametrize("n_jobs", [2, 3])
@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
@pytest.mark.parametrize("in_caller", [True, False])
def test_a_fault_in_any_thread_ends_the_work_of_all(n_jobs, error, in_caller):
    begun, caller = [], threading.current_thread()

    def task(i):
        begun.append(i)
        threading.Event().wait(0.001)
        if i >= 4 and (threading.current_thread() is caller) == in_caller:
            raise error("on purpose")
        return i

    with no_thread_left(), pytest.raises(error, match="on purpose"):
        all_in_threads(task, range(500), n_jobs)
    assert len(begun) < 100


class Large:
    """A task that is large; `alive` of them are not done."""

    alive = 0

    def __init__(self):
        type(self).alive += 1

    def __del__(self):
        type(self).alive -= 1


@pytest.mark.parametrize("n_jobs", [1, 2, 3])
def test_large_tasks_are_taken_one_by_one_no_further_ahead_than_the_threads_need(n_jobs):
    caller, alive = threading.current_thread(), []

    def tasks():
        for _ in range(30):
            assert threading.current_thread() is caller
            alive.append(Large.alive + 1)  # with the one that is made now
            yield Large()

    assert sum(1 for _ in stream_in_threads(lambda task: threading.Event().wait(0.002), tasks(), n_jobs)) == 30
    assert max(alive) <= n_jobs + 1
    assert Large.alive == 0


def test_warnings_are_ignored_until_the_last_thread_leaves():
    inside, over, before = threading.Event(), threading.Event(), list(warnings.filters)

    def other():
        with ignored(FutureWarning):
            inside.set()
            over.wait(20)

    thread = threading.Thread(target=other)
    with ignored(FutureWarning):
        thread.start()
        assert inside.wait(20)
    warnings.warn("the other thread is still inside", FutureWarning, stacklevel=1)  # an error in these tests
    over.set()
    thread.join()
    assert list(warnings.filters) == before
    with pytest.warns(FutureWarning, match="heard"):
        warnings.warn("heard", FutureWarning, stacklevel=1)


def test_what_one_thread_ignores_does_not_end_what_another_ignores():
    inside, over, before = threading.Event(), threading.Event(), list(warnings.filters)

    def other():
        with ignored(FutureWarning, "of the other"):
            inside.set()
            over.wait(20)

    thread = threading.Thread(target=other)
    thread.start()
    assert inside.wait(20)
    with ignored(UserWarning, "mine"):
        over.set()
        thread.join()
        warnings.warn("mine is ignored", UserWarning, stacklevel=1)
        with pytest.warns(UserWarning, match="is heard"):
            warnings.warn("what begins otherwise is heard", UserWarning, stacklevel=1)
    assert list(warnings.filters) == before


def test_one_task_stays_in_the_thread_that_asked():
    names = [*all_in_threads(lambda _: threading.current_thread().name, [0], 4)]
    names += list(in_threads(lambda _: threading.current_thread().name, [0], 4))
    assert names == [threading.current_thread().name] * 2


BLAS = """
import threading
import numpy
from threadpoolctl import threadpool_info
from scggml._core.threads import one_blas_thread

def blas():
    return {each["num_threads"] for each in threadpool_info() if each["user_api"] == "blas"}

inside, over, before = threading.Event(), threading.Event(), blas()

def other():
    with one_blas_thread():
        inside.set()
        over.wait(20)

thread = threading.Thread(target=other)
with one_blas_thread():
    thread.start()
    assert inside.wait(20)
    assert blas() == {1}, blas()
assert blas() == {1}, "the other thread is still inside"
over.set()
thread.join()
assert blas() == before, blas()
"""


def test_blas_has_one_thread_until_the_last_one_leaves():
    """In a process of its own, whose number of threads nobody has limited."""
    environment = os.environ | dict.fromkeys(("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"), "3")
    subprocess.run([sys.executable, "-c", BLAS], env=environment, check=True)


WORK = st.lists(st.floats(0.01, 1e6), max_size=50).map(np.array)


@given(WORK, st.floats(0.01, 1e7))
def test_pieces_cover_all_in_order_and_hold_about_as_much_as_asked(work, most):
    pieces = split(work, most)
    assert [i for piece in pieces for i in range(piece.start, piece.stop)] == list(range(len(work)))
    for piece in pieces:
        own = work[piece]
        assert len(own) > 0
        assert own.sum() <= most + own.max() + 1e-9 * work.sum() or len(own) == 1
    if len(work):
        assert len(pieces) <= work.sum() / most + 2


def test_equal_work_makes_equal_pieces():
    assert split(np.ones(10), 5.0) == [slice(0, 5), slice(5, 10)]
    assert split(np.ones(3), 1.0) == [slice(0, 1), slice(1, 2), slice(2, 3)]
    assert split(np.array([1.0, 100.0, 1.0]), 10.0) == [slice(0, 1), slice(1, 2), slice(2, 3)]
    assert split(np.empty(0), 1.0) == []
