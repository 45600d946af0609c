"""Threads that wait for work, and how they are told that there is some."""

import collections
import contextlib
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy

from vdprune.kernels.waiting import stay_awake

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


class Share:
    """What a helper does, and whether it is done.

    Args:
        work: What it does.
    """

    def __init__(self, work: Callable[[], None]) -> None:
        self._work = work
        self.is_finished = False

    def work(self) -> None:
        """Do it."""
        self._work()
        self.is_finished = True


class Signal:
    """What one thread gives as often as another waits for it.

    Who waits stays awake for a while: a thread that has slept begins late, on a processor that has
    slept, too. In a training step of 4 ms that took 0.6 ms.
    """

    def __init__(self) -> None:
        self._given, self._waited_for = numpy.zeros(1, numpy.int64), 0
        self._sleepers: list[None] = []
        self._wake = threading.Lock()
        self._wake.acquire()

    def give(self) -> None:
        """Let the other go on; once for each time that it waits."""
        self._given[0] += 1
        if self._take_sleeper():
            self._wake.release()

    def wait(self) -> None:
        """Wait for it."""
        self._waited_for += 1
        if stay_awake(self._given, self._waited_for, _PATIENCE):
            return
        self._sleepers.append(None)
        # who takes the sleeper off the list is who knows: the giver, if it is not found here
        if self._given[0] < self._waited_for or not self._take_sleeper():
            self._wake.acquire()

    def _take_sleeper(self) -> bool:
        try:
            self._sleepers.pop()
        except IndexError:
            return False
        return True


class Helper:
    """A thread that works on a share when it is told to."""

    def __init__(self) -> None:
        self._share: Share | None = None
        self._begun, self._done = Signal(), Signal()
        threading.Thread(target=self._loop, name="vdprune", daemon=True).start()

    def begin(self, share: Share) -> None:
        """Let it work on a share."""
        self._share = share
        self._begun.give()

    def wait(self, share: Share) -> BaseException | None:
        """Wait until a share is done, whatever signals come; return what the first one raised."""
        try:
            self._done.wait()
            return None
        except BaseException as error:
            interruption = error
        while not share.is_finished:
            with contextlib.suppress(BaseException):
                time.sleep(0.001)
        return interruption

    def _loop(self) -> None:
        # what overflows is found in the results; the calling thread may have had warnings turned off
        with numpy.errstate(all="ignore"):
            while True:
                self._begun.wait()
                if self._share is not None:
                    self._share.work()
                    self._share = None
                self._done.give()
