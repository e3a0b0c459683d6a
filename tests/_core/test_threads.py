import threading

import numpy as np
import pytest
from _threads import no_thread_left
from hypothesis import given
from hypothesis import strategies as st

from scggml._core.threads import in_threads, split


@pytest.mark.parametrize("n_jobs", [1, 2, 3, None])
def test_answers_come_in_the_order_of_the_tasks(n_jobs):
    gates = [threading.Event() for _ in range(2)]

    def task(i):
        if n_jobs in (2, 3):  # the first task ends after the second
            if i == 0:
                assert gates[1].wait(20)
            if i == 1:
                gates[1].set()
        return i * i

    assert list(in_threads(task, range(20), n_jobs)) == [i * i for i in range(20)]


@pytest.mark.parametrize("n_jobs", [1, 2])
def test_a_fault_is_raised_where_it_is_waited_for_and_ends_the_work(n_jobs):
    begun = []

    def task(i):
        begun.append(i)
        if i == 2:
            raise RuntimeError("of task 2")
        return i

    with no_thread_left():
        answers = in_threads(task, range(1000), n_jobs)
        assert [next(answers), next(answers)] == [0, 1]
        with pytest.raises(RuntimeError, match="of task 2"):
            next(answers)
    assert n_jobs > 1 or begun == [0, 1, 2]


@pytest.mark.parametrize("n_jobs", [1, 2])
def test_what_has_not_begun_when_the_caller_stops_is_never_begun(n_jobs):
    begun, stop = [], threading.Event()

    def task(i):
        begun.append(i)
        if i >= n_jobs:
            stop.wait(0.05)
        return i

    answers = in_threads(task, range(200), n_jobs)
    assert next(answers) == 0
    answers.close()
    count = len(begun)
    assert count < 100
    stop.set()
    assert len(begun) == count


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
