"""Threads that wait for work, and how they are told that there is some."""

import collections
import contextlib
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy

from vdprune import kernels
from vdprune.kernels import order_layout as at
from vdprune.kernels.constants import STOPPED
from vdprune.kernels.waiting import count_up, stay_awake

# How long a thread stays awake that waits for another, in rounds of `stay_awake`: about a millisecond.
_PATIENCE = 2000


class Work:
    """Tasks, the first ones of a thread each, the others of who is free.

    So a thread has the same part of a layer each time, in its processor's cache, if there are as many
    parts as threads; and where there are more, none waits long for another.

    Args:
        tasks: The tasks.
        threads: How many threads there are.
        on_stop: Called when no other task is to begin.
    """

    def __init__(
        self,
        tasks: Sequence[Callable[[], Any]],
        threads: int,
        on_stop: Callable[[], Any] = lambda: None,
    ) -> None:
        self._tasks = tasks
        self._on_stop = on_stop
        self._waiting = collections.deque(range(threads, len(tasks)))
        self.results: list[Any] = [None] * len(tasks)
        self.errors: dict[int, BaseException] = {}

    def do(self, number: int) -> None:
        """Do a task, and then those that wait."""
        while True:
            try:
                self.results[number] = self._tasks[number]()
            except BaseException as error:
                self.errors[number] = error
                self.stop()
            try:
                number = self._waiting.popleft()
            except IndexError:
                return

    def stop(self) -> None:
        """Let no other task begin."""
        self._waiting.clear()
        self._on_stop()


class Signal:
    """What one thread gives as often as another waits for it.

    Who waits stays awake for a while: a thread that has slept begins late, on a processor that has
    slept, too. In a training step of 4 ms that took 0.6 ms.

    Args:
        count: How often it was given, an array of one int64.
    """

    def __init__(self, count: Any) -> None:
        self.count = count
        self._sleepers: list[None] = []
        self._wake = threading.Lock()
        self._wake.acquire()

    def give(self) -> None:
        """Let the other go on; once for each time that it waits."""
        count_up(self.count)
        if self._take_sleeper():
            self._wake.release()

    def wait(self, wanted: int) -> None:
        """Wait until it was given so many times."""
        if not stay_awake(self.count, wanted, _PATIENCE):
            self.sleep(wanted)

    def sleep(self, wanted: int) -> None:
        """Wait, too, but not awake."""
        self._sleepers.append(None)
        # who takes the sleeper off the list is who knows: the giver, if it is not found here
        if self.count[0] < wanted or not self._take_sleeper():
            self._wake.acquire()

    def _take_sleeper(self) -> bool:
        try:
            self._sleepers.pop()
        except IndexError:
            return False
        return True


class Orders:
    """What all helpers of a team can be told natively: see `vdprune.kernels.orders`.

    Args:
        helpers: How many helpers there are.
    """

    def __init__(self, helpers: int) -> None:
        self.order = numpy.zeros(at.LENGTH, numpy.int64)
        self.numbers = numpy.zeros(at.NUMBERS)
        self.given, self.done, self.wanted = numpy.zeros((3, helpers), numpy.int64)
        self.like = numpy.zeros(1, numpy.float32)
        self.are_served = False  # until then their kernels are not loaded
        self.errors: list[BaseException] = []  # of helpers, as when there is no memory left


class Helper:
    """A thread that does a task, or carries out an order, when it is told to.

    Args:
        number: Its number; that of the thread that tells it is 0.
        orders: Where orders are.
    """

    def __init__(self, number: int, orders: Orders) -> None:
        self._number, self._orders = number, orders
        self._task: Callable[[], None] | None = None
        place = slice(number - 1, number)
        self._begun, self._done = Signal(orders.given[place]), Signal(orders.done[place])
        self._wanted = orders.wanted[place]
        threading.Thread(target=self._loop, name="vdprune", daemon=True).start()

    def begin(self, task: Callable[[], None] | None = None) -> None:
        """Let it do a task, which raises nothing, or without one the order that is written down."""
        self._task = task
        self._wanted += 1
        self._begun.give()

    def wait(self) -> BaseException | None:
        """Wait until its task is done, whatever signals come; return what the first one raised."""
        try:
            self._done.wait(int(self._wanted[0]))
        except BaseException as error:
            self.outlast()
            return error
        return None

    def outlast(self) -> None:
        """Wait, after an interruption, until it is done with what it was told before that.

        Not asleep: an order that is done wakes nobody up.
        """
        while self._done.count[0] < min(self._wanted[0], self._begun.count[0]):
            with contextlib.suppress(BaseException):
                time.sleep(0.001)

    def _loop(self) -> None:
        # what overflows is found in the results; the calling thread may have had warnings turned off
        with numpy.errstate(all="ignore"):
            seen = 0
            while True:
                seen = self._attend(seen)
                if self._orders.order[at.KIND] == at.PYTHON and self._begun.count[0] > seen:
                    if self._task is not None:
                        self._task()
                        self._task = None
                    seen += 1
                    self._done.give()

    def _attend(self, seen: int) -> int:
        """Wait for something to do; orders are carried out meanwhile."""
        orders = self._orders
        if orders.are_served:
            written = orders.order, orders.numbers, orders.like
            counts = self._begun.count, seen, self._done.count, orders.wanted[:0]
            try:
                seen = kernels.orders.take_part(self._number, *written, *counts, _PATIENCE)
            except BaseException as error:
                orders.errors.append(error)
                orders.order[at.MEETING] = STOPPED
                self._done.give()
                seen = int(self._done.count[0])
        elif stay_awake(self._begun.count, seen + 1, _PATIENCE):
            return seen
        if self._begun.count[0] <= seen:
            self._begun.sleep(seen + 1)
        return seen
