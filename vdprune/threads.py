"""Threads that share the work of a layer.

Each takes a part of the layer and goes through all of it alone, matrix products included, for which
the BLAS library is held to one thread. So threads meet once a layer, where a library that splits each
product has them meet, and wait for each other, in each.
"""

import collections
import contextlib
import os
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from itertools import pairwise
from typing import Any

import numpy

from vdprune.blas import OneBlasThread, find_blas_libraries
from vdprune.errors import ArgumentError
from vdprune.kernels.waiting import stay_awake

# More of them wait for each other at the sizes of the small networks; where another program takes
# a processor, each thread waits for the slowest.
_DEFAULT = 2
# Multiplications of a part. A thread that is woken has to fetch what it works on, too: at 10 million
# two threads were slower than one.
_LEAST_WORK = 5_000_000
# How long a thread stays awake that waits for another, in rounds of `stay_awake`: about a millisecond.
_PATIENCE = 2000


def split(length: int, work: float, most: int) -> list[slice]:
    """Cut a range into parts of about one length that are worth a thread's while.

    Args:
        length: Length of the range.
        work: Multiplications that the whole range takes.
        most: How many parts there are at most.

    Returns:
        The parts, one at least.
    """
    count = min(most, length, int(work // _LEAST_WORK))
    if count < 2:
        return [slice(0, length)]
    edges = (length * i // count for i in range(count + 1))
    return [slice(start, stop) for start, stop in pairwise(edges)]


class Team:
    """The calling thread and helpers that wait for work.

    Args:
        size: How many threads, the calling one included.
    """

    def __init__(self, size: int) -> None:
        self.size = size
        self.is_broken = False
        self._helpers = [_Helper() for _ in range(size - 1)]
        self._free = threading.Lock()
        self._process = os.getpid()

    def split(self, length: int, work: float) -> list[slice]:
        """Cut a range into parts of about one length, one for each thread that is worth waking.

        Args:
            length: Length of the range.
            work: Multiplications that the whole range takes.

        Returns:
            The parts, one at least.
        """
        return split(length, work, self.size)

    def run(self, tasks: Sequence[Callable[[], Any]], use_blas: bool = True) -> list[Any]:
        """Do some tasks at the same time.

        Args:
            tasks: What to do. Only the calling thread has the caller's ``chainer.config``, floating
                point settings of NumPy and the like.
            use_blas: Whether they multiply matrices with a BLAS library, which is then held to one
                thread.

        Returns:
            What each returned, in their order.

        Raises:
            BaseException: What the first task in that order raised, of those that did.
        """
        if use_blas:
            with OneBlasThread():
                return self.run(tasks, use_blas=False)
        if len(tasks) < 2 or not self._can_help() or not self._free.acquire(blocking=False):
            return [task() for task in tasks]
        try:
            return self._run(tasks)
        finally:
            self._free.release()

    def _can_help(self) -> bool:
        """Whether there are helpers; a forked process has none of its parent's threads."""
        return bool(self._helpers) and not self.is_broken and os.getpid() == self._process

    def _run(self, tasks: Sequence[Callable[[], Any]]) -> list[Any]:
        helpers = self._helpers[: len(tasks) - 1]
        work = _Work(tasks, 1 + len(helpers))
        begun, interruption = [], None
        try:
            for number, helper in enumerate(helpers, 1):
                share = _Share(partial(work.do, number))
                helper.begin(share)
                begun.append((helper, share))
            work.do(0)
        except BaseException as error:  # of a signal's handler: tasks' own are kept with the work
            work.stop()
            interruption = error
        for helper, share in begun:
            interruption = helper.wait(share) or interruption
        if interruption is not None:
            self.is_broken = True  # who holds which lock is not known any more
            raise interruption
        if work.errors:
            raise work.errors[min(work.errors)]
        return work.results


class _Work:
    """Tasks, the first ones of a thread each, the others of who is free.

    So a thread has the same part of a layer each time, in its processor's cache, if there are as many
    parts as threads; and where there are more, none waits long for another.
    """

    def __init__(self, tasks: Sequence[Callable[[], Any]], threads: int) -> None:
        self._tasks = tasks
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


class _Share:
    """What a helper does, and whether it is done."""

    def __init__(self, work: Callable[[], None]) -> None:
        self._work = work
        self.is_finished = False

    def work(self) -> None:
        self._work()
        self.is_finished = True


class _Signal:
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
        self._given[0] += 1
        if self._take_sleeper():
            self._wake.release()

    def wait(self) -> None:
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


class _Helper:
    """A thread that works on a share when it is told to."""

    def __init__(self) -> None:
        self._share: _Share | None = None
        self._begun, self._done = _Signal(), _Signal()
        threading.Thread(target=self._loop, name="vdprune", daemon=True).start()

    def begin(self, share: _Share) -> None:
        self._share = share
        self._begun.give()

    def wait(self, share: _Share) -> BaseException | None:
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


_teams: dict[int, Team] = {}
_lock = threading.Lock()
_size: int | None = None


def get_team() -> Team:
    """Return the threads that layers share their work among: two, or what `limited_threads` says."""
    size = _size or _checked(None)
    team = _teams.get(size)
    return get_team_of(size) if team is None or team.is_broken else team


def get_team_of(size: int) -> Team:
    """Return the threads that share work, so many of them.

    Args:
        size: How many.

    Returns:
        The team, shared by all who ask for that size.

    Raises:
        ArgumentError: It is less than 1, or more than there are processors.
    """
    team = _teams.get(_checked(size))
    if team is None or team.is_broken:
        with _lock:
            team = _teams.get(size)
            if team is None or team.is_broken:
                team = _teams[size] = Team(size)
    return team


def _forget_teams() -> None:
    """Let a forked process, which has none of the threads, make its own."""
    global _lock
    _teams.clear()
    _lock = threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_teams)


def limited_threads(count: int | None = None) -> contextlib.AbstractContextManager[None]:
    """Set how many threads layers, and other matrix products, use.

    Args:
        count: How many; None for 2, or 1 where there is one processor.

    Returns:
        Context in which that holds.

    Raises:
        ArgumentError: There are not that many processors.
    """
    return _limited(_checked(count))


@contextlib.contextmanager
def _limited(count: int) -> Iterator[None]:
    global _size
    before, _size = _size, count
    libraries = find_blas_libraries()
    counts = [library.get_num_threads() for library in libraries]
    try:
        for library in libraries:
            library.set_num_threads(count)
        yield
    finally:
        for library, count_before in zip(libraries, counts, strict=True):
            library.set_num_threads(count_before)
        _size = before


def _checked(count: int | None) -> int:
    available = _available_processors()
    if count is None:
        count = min(_DEFAULT, available)
    if not isinstance(count, int) or not 1 <= count <= available:
        raise ArgumentError(
            f"threads is {count!r}: this machine lets us have 1 to {available}; more would wait for "
            "each other"
        )
    return count


def _available_processors() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
