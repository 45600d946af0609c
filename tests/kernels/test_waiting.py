"""Waiting awake, and for each other."""

import threading
import time

import numpy

from vdprune.kernels.constants import STOPPED
from vdprune.kernels.waiting import count_up, meet, stay_awake


def test_it_ends_when_the_number_is_as_high_as_wanted() -> None:
    counts = numpy.array([3])
    assert stay_awake(counts, 3, 1)
    assert stay_awake(counts, 2, 1)
    assert not stay_awake(counts, 4, 1)


def test_it_sees_what_another_thread_does_meanwhile() -> None:
    counts, found = numpy.zeros(1, numpy.int64), []
    waiting = threading.Thread(target=lambda: found.append(stay_awake(counts, 1, 10**9)))
    waiting.start()
    time.sleep(0.05)
    assert not found
    counts[0] += 1
    waiting.join(timeout=10)
    assert found == [True]


def test_it_ends_when_nothing_happens() -> None:
    start = time.perf_counter()
    assert not stay_awake(numpy.zeros(1, numpy.int64), 1, 1000)
    assert time.perf_counter() - start < 10


def test_threads_meet_as_often_as_they_have_to() -> None:
    meeting, order = numpy.zeros(1, numpy.int64), []

    def work(number: int) -> None:
        for time_of_meeting in range(1, 4):
            time.sleep(0.01 * number)
            order.append(time_of_meeting)
            assert meet(meeting, 3 * time_of_meeting)

    workers = [threading.Thread(target=work, args=(number,)) for number in range(3)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(timeout=10)
    assert order == sorted(order) and len(order) == 9


def test_nobody_waits_for_a_meeting_that_is_stopped() -> None:
    meeting, found = numpy.zeros(1, numpy.int64), []
    waiting = threading.Thread(target=lambda: found.append(meet(meeting, 2)))
    waiting.start()
    time.sleep(0.05)
    assert not found
    meeting[0] = STOPPED
    waiting.join(timeout=10)
    assert found == [False]


def test_counting_up_loses_none_of_two_threads() -> None:
    counts = numpy.zeros(1, numpy.int64)

    def count() -> None:
        for _ in range(20_000):
            count_up(counts)

    workers = [threading.Thread(target=count) for _ in range(2)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert counts[0] == 40_000
