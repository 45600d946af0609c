import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from functools import partial
from typing import Any

import numpy
import pytest
from threadpoolctl import threadpool_info

from vdprune import helpers, kernels, threads
from vdprune.errors import ArgumentError
from vdprune.functions import linear_layers
from vdprune.functions.linear_layers import LinearLayers
from vdprune.functions.linear_plan import LinearLayer
from vdprune.kernels import order_layout as at
from vdprune.kernels.addresses import get_address
from vdprune.threads import Team, get_team, limited_threads


@pytest.fixture(autouse=True)
def _interruptible() -> Iterator[None]:
    """A shell lets what it runs in the background ignore Ctrl-C; Python then has no handler for it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def blas_threads() -> set[int]:
    return {pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas"}


def test_the_limit_holds_inside() -> None:
    numpy.ones((2, 2)).dot(numpy.ones((2, 2)))
    before = blas_threads()
    with limited_threads(1):
        assert blas_threads() == {1}
    assert blas_threads() == before


@pytest.mark.parametrize("count", [0, -1, 10**6])
def test_threads_that_are_not_there_are_refused(count: int) -> None:
    with pytest.raises(ArgumentError, match=f"threads is {count}: this machine lets us have 1 to"):
        limited_threads(count)


@pytest.mark.parametrize(("processors", "expected"), [(1, 1), (2, 2), (64, 2)])
def test_two_threads_are_the_default(
    monkeypatch: pytest.MonkeyPatch, processors: int, expected: int
) -> None:
    monkeypatch.setattr(threads, "_available_processors", lambda: processors)
    with limited_threads():
        assert blas_threads() == {expected}


def test_tasks_run_at_the_same_time_and_answer_in_order() -> None:
    barrier = threading.Barrier(3, timeout=10)  # nobody gets past it alone

    def task(number: int) -> tuple[int, int]:
        barrier.wait()
        return number, threading.get_ident()

    found = Team(3).run([partial(task, number) for number in range(3)])
    assert [number for number, _ in found] == [0, 1, 2]
    assert len({thread for _, thread in found}) == 3


@pytest.mark.parametrize("size", [1, 2, 3])
@pytest.mark.parametrize("count", [0, 1, 2, 3, 7])
def test_more_and_fewer_tasks_than_threads(size: int, count: int) -> None:
    assert Team(size).run([partial(pow, i, 2) for i in range(count)]) == [
        i**2 for i in range(count)
    ]


@pytest.mark.parametrize("failing", [0, 1])
def test_an_error_of_any_thread_reaches_the_caller(failing: int) -> None:
    team = Team(2)
    tasks = [lambda: 1, lambda: 2]
    tasks[failing] = lambda: 1 // 0
    with pytest.raises(ZeroDivisionError):
        team.run(tasks)
    assert team.run([lambda: 1, lambda: 2]) == [1, 2]


@pytest.mark.parametrize("patience", [0, 1, 10**4])
def test_threads_that_sleep_and_threads_that_stay_awake(
    patience: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(helpers, "_PATIENCE", patience)
    team, one = Team(2), numpy.ones(5000, "f4")
    for number in range(2000):
        assert team.run([lambda: 1, partial(abs, number)], use_blas=False) == [1, number]
        halve(team, one)
        assert (one == 0.5).all()
        one[:] = 1


def halve(team: Team, array: numpy.ndarray) -> None:
    """Let a team halve an array of ones: a step of Adam along them at a rate of a half."""
    m, v = numpy.zeros_like(array), numpy.zeros_like(array)
    parts = array, numpy.ones_like(array), m, v
    table = numpy.array([[*map(get_address, parts), array.size]])
    order = numpy.zeros(at.LENGTH, numpy.int64)
    order[[at.KIND, at.TABLE, at.ROWS]] = at.ADAM, get_address(table), 1
    team.carry_out(order, (0.0, 0.0, 0.0, 0.5), array, team.size)
    assert order[at.THREADS] == team.size


@pytest.mark.parametrize("size", [1, 2, 3])
@pytest.mark.parametrize("dtype", ["f4", "f8"])
def test_orders_are_carried_out_by_all_threads(size: int, dtype: str) -> None:
    team = Team(size)
    for _ in range(3):  # at first helpers have not loaded what they need
        array = numpy.ones(20_000, dtype)
        halve(team, array)
        assert (array == 0.5).all()
        assert team.run([partial(abs, -number) for number in range(size)]) == list(range(size))


def test_an_order_that_another_caller_gives_meanwhile() -> None:
    team, array = Team(2), numpy.ones(5000, "f4")
    order = numpy.zeros(at.LENGTH, numpy.int64)
    order[at.KIND] = at.ADAM
    team.run([lambda: team.carry_out(order, (0.0,) * 4, array, 2), lambda: 2])
    assert order[at.THREADS] == 1


@pytest.mark.parametrize("is_first", [True, False])
def test_an_order_that_is_interrupted_stops_all_threads(
    is_first: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A helper that has begun waits for a thread that will not come."""
    monkeypatch.setattr(threads, "_LEAST_WORK", 1)
    team, random = Team(2), numpy.random.default_rng(0)
    monkeypatch.setattr(linear_layers, "get_team", lambda: team)
    W = random.standard_normal((30, 40)).astype("f4")
    layer = LinearLayer(W, W.copy(), None, None, 3.0, False, "ard", 1.0)
    layers = LinearLayers([layer], random.standard_normal((9, 40)).astype("f4"))
    if not is_first:
        layers.forward()
    begin = helpers.Helper.begin

    def interrupt(helper: helpers.Helper, *task: object) -> None:
        begin(helper, *task)
        time.sleep(0.05)
        signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr(helpers.Helper, "begin", interrupt)
    with pytest.raises(KeyboardInterrupt):
        layers.forward()
    assert team.is_broken
    monkeypatch.undo()
    y, _ = layers.forward()
    assert numpy.isfinite(y).all()


def test_an_error_in_a_helper_at_work_on_an_order(monkeypatch: pytest.MonkeyPatch) -> None:
    team, array = Team(2), numpy.ones(5000, "f4")
    halve(team, array)
    take_part = kernels.orders.take_part
    is_failing = threading.Event()

    def fail(number: int, *arguments: Any) -> int:
        if number and is_failing.is_set():
            raise MemoryError("of a helper")
        return take_part(number, *arguments)

    monkeypatch.setattr(kernels.orders, "take_part", fail)
    (helper,) = team._helpers
    while not helper._begun._sleepers:  # else it carries the order out as it did before
        time.sleep(0.01)
    is_failing.set()
    with pytest.raises(MemoryError, match="of a helper"):
        halve(team, numpy.ones(5000, "f4"))
    assert team.is_broken


def test_a_thread_falls_asleep() -> None:
    team = Team(2)
    team.run([lambda: 1, lambda: 2])
    time.sleep(0.2)
    before = time.process_time()
    time.sleep(0.2)
    assert time.process_time() - before < 0.1
    assert team.run([lambda: 1, lambda: 2]) == [1, 2]


def test_after_an_error_no_other_task_begins() -> None:
    done: list[int] = []
    tasks = [
        lambda: 1 // 0,
        lambda: time.sleep(0.3),
        partial(done.append, 2),
        partial(done.append, 3),
    ]
    with pytest.raises(ZeroDivisionError):
        Team(2).run(tasks)
    assert done == []


def test_tasks_beyond_the_threads_go_to_who_is_free() -> None:
    threads_of: dict[int, int] = {}

    def work(number: int) -> None:
        threads_of[number] = threading.get_ident()
        time.sleep(1 if number == 1 else 0)

    Team(2).run([partial(work, number) for number in range(6)])
    assert threads_of[1] != threads_of[0]
    assert {threads_of[number] for number in range(2, 6)} == {threads_of[0]}


def test_an_interruption_waits_for_the_others() -> None:
    """What they write to must not be let go, nor the next work begin, before they are done."""
    team, done = Team(2), []

    def interrupt() -> None:
        signal.raise_signal(signal.SIGINT)

    def work() -> None:
        time.sleep(0.2)
        done.append(1)

    with pytest.raises(KeyboardInterrupt):
        team.run([interrupt, work])
    assert done == [1]
    assert team.run([lambda: 1, lambda: 2]) == [1, 2]


def test_a_team_at_work_does_not_make_another_caller_wait() -> None:
    team = Team(2)
    inner = team.run([lambda: team.run([lambda: 1, lambda: 2]), lambda: 3])
    assert inner == [[1, 2], 3]


@pytest.mark.usefixtures("two_threads")
def test_products_in_tasks_use_one_thread_each_and_the_limit_comes_back() -> None:
    with limited_threads(2):
        before = blas_threads()
        inside = Team(2).run([blas_threads, blas_threads])
        assert inside == [{1}, {1}]
        assert blas_threads() == before


@pytest.mark.parametrize("length", [0, 1, 2, 5, 100])
@pytest.mark.parametrize("work", [0, 10**8, 10**12])
def test_parts_make_up_the_whole(length: int, work: int) -> None:
    parts = Team(3).split(length, work)
    assert [i for part in parts for i in range(length)[part]] == list(range(length))
    assert len(parts) == (1 if work == 0 else max(1, min(3, length)))


def test_a_team_of_three_waits_for_all_when_it_is_interrupted() -> None:
    team, done = Team(3), []

    def work() -> None:
        time.sleep(0.3)
        done.append(1)

    before = signal.signal(signal.SIGALRM, lambda *_: signal.raise_signal(signal.SIGINT))
    signal.setitimer(signal.ITIMER_REAL, 0.05)
    try:
        with pytest.raises(KeyboardInterrupt):
            team.run([lambda: None, lambda: time.sleep(0.1), work])
    finally:
        signal.signal(signal.SIGALRM, before)
    assert done == [1]
    assert team.run([lambda: 1, lambda: 2, lambda: 3]) == [1, 2, 3]


@pytest.mark.usefixtures("two_threads")
def test_a_team_that_was_interrupted_is_replaced() -> None:
    with limited_threads(2):
        team = get_team()
        assert get_team() is team
        team.is_broken = True
        assert get_team() is not team


@pytest.mark.usefixtures("two_threads")
def test_threads_are_used_again() -> None:
    get_team()
    for count in (1, 2, 1, 2):
        with limited_threads(count):
            get_team()
    before = threading.active_count()
    for _ in range(20):
        with limited_threads(2), limited_threads(1):
            get_team()
    assert threading.active_count() == before


FORKS = {
    "teams": "if not os.fork(): os._exit(0 if get_team().run(tasks) == [1, 2] else 1)",
    "the parent's team": (
        "team = get_team()\nif not os.fork(): os._exit(0 if team.run(tasks) == [1, 2] else 1)"
    ),
    "the limit": (
        "with limited_threads(1):\n    if not os.fork(): os._exit(0 if get_team().size == 1 else 1)"
    ),
    "after the limit": (
        "with limited_threads(1):\n"
        "    child = os.fork()\n"
        "if not child: os._exit(0 if get_team().run(tasks) == [1, 2] else 1)"
    ),
}


@pytest.mark.parametrize("what", FORKS)
def test_forked_processes(what: str) -> None:
    code = (
        "import os, sys, vdprune\n"
        "from vdprune.threads import get_team, limited_threads\n"
        "tasks = [lambda: 1, lambda: 2]\n"
        "assert get_team().run(tasks) == [1, 2]\n"
        f"{FORKS[what]}\n"
        "sys.exit(os.wait()[1])\n"
    )
    result = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code], timeout=60, capture_output=True, text=True
    )
    assert result.returncode == 0, result.stderr
