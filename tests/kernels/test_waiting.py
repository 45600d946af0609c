"""Waiting awake."""

import threading
import time

import numpy

from vdprune.kernels.waiting import stay_awake


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
