"""Threads that share the work of a layer.

Each takes a part of the layer and goes through all of it alone, matrix products included, for which
the BLAS library is held to one thread. So threads meet once a layer, where a library that splits each
product has them meet, and wait for each other, in each.
"""

import contextlib
import os
import threading
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from itertools import pairwise
from typing import Any

import numpy

from vdprune import kernels
from vdprune.blas import OneBlasThread, find_blas_libraries
from vdprune.errors import ArgumentError
from vdprune.helpers import Helper, Orders, Work
from vdprune.kernels import order_layout as at
from vdprune.kernels.constants import STOPPED

# More of them wait for each other at the sizes of the small networks; where another program takes
# a processor, each thread waits for the slowest.
_DEFAULT = 2
# Multiplications of a part, some 0.1 ms: to hand it to another thread takes 0.05.
_LEAST_WORK = 5_000_000


def split(length: int, work: float, most: int) -> list[slice]:
    """Cut a range into parts of about one length that are worth a thread's while.

    Args:
        length: Length of the range.
        work: Multiplications that the whole range takes.
        most: How many parts there are at most.

    Returns:
        The parts, one at least.
    """
    count = _worth(work, min(most, length))
    if count < 2:
        return [slice(0, length)]
    edges = (length * i // count for i in range(count + 1))
    return [slice(start, stop) for start, stop in pairwise(edges)]


def _worth(work: float, most: int) -> int:
    return max(1, min(most, int(work // _LEAST_WORK)))


class Team:
    """The calling thread and helpers that wait for work.

    Args:
        size: How many threads, the calling one included.
    """

    def __init__(self, size: int) -> None:
        self.size = size
        self.is_broken = False
        self.count_for_layers = 1  # how many threads had the last order that was about layers
        self._orders = Orders(size - 1)
        self._helpers = [Helper(number, self._orders) for number in range(1, size)]
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

    def worth(self, work: float) -> int:
        """Tell how many threads are worth waking.

        Args:
            work: Multiplications that there are to do.
        """
        return _worth(work, self.size)

    def carry_out(self, order: Any, numbers: Sequence[float], like: Any, count: int) -> None:
        """Carry out an order in several threads, or in the calling one if others are not to be had.

        Args:
            order: What to do: see `vdprune.kernels.order_layout`. It has the same results, bit for bit,
                in any number of threads.
            numbers: See there.
            like: An array of the dtype that it is about.
            count: How many threads, up to the team's size.
        """
        if order[at.KIND] != at.ADAM:
            self.count_for_layers = count
        if count < 2 or not self._can_help() or not self._free.acquire(blocking=False):
            order[at.THREADS] = 1
            _carry_out(order, numbers, like, 0)
            return
        try:
            order[at.THREADS] = count
            if self._orders.are_served and like.dtype == self._orders.like.dtype:
                self._lead(order, numbers, count)
            else:
                self._orders.are_served = True  # from now on
                task = partial(_carry_out, order, numbers, like)
                tasks = [partial(task, number) for number in range(count)]
                self._run(tasks, partial(_stop_meeting, order))
        finally:
            self._free.release()

    def _lead(self, order: Any, numbers: Any, count: int) -> None:
        orders, helpers = self._orders, self._helpers[: count - 1]
        orders.order[:], orders.numbers[: len(numbers)] = order, numbers
        try:
            for helper in helpers:
                helper.begin()
            counts = orders.given, 0, orders.done, orders.wanted[: count - 1]
            kernels.orders.take_part(0, orders.order, orders.numbers, orders.like, *counts, -1)
            if orders.errors:
                raise orders.errors[0]
        except BaseException:
            _stop_meeting(orders.order)
            self.is_broken = True
            for helper in helpers:
                helper.outlast()
            raise

    def _can_help(self) -> bool:
        """Whether there are helpers; a forked process has none of its parent's threads."""
        return bool(self._helpers) and not self.is_broken and os.getpid() == self._process

    def _run(
        self, tasks: Sequence[Callable[[], Any]], stop: Callable[[], Any] = lambda: None
    ) -> list[Any]:
        helpers = self._helpers[: len(tasks) - 1]
        work = Work(tasks, 1 + len(helpers), stop)
        interruption = None
        try:
            self._orders.order[at.KIND] = at.PYTHON
            for number, helper in enumerate(helpers, 1):
                helper.begin(partial(work.do, number))
            work.do(0)
        except BaseException as error:  # of a signal's handler: tasks' own are kept with the work
            work.stop()
            interruption = error
        for helper in helpers:
            if interruption is None:
                interruption = helper.wait()
            else:
                helper.outlast()
        if interruption is not None:
            self.is_broken = True  # who holds which lock is not known any more
            raise interruption
        if work.errors:
            raise work.errors[min(work.errors)]
        return work.results


def _carry_out(order: Any, numbers: Sequence[float], like: Any, thread: int) -> None:
    """Do a thread's part of an order."""
    filled, nothing = numpy.zeros(at.NUMBERS), numpy.zeros(0, numpy.int64)
    filled[: len(numbers)] = numbers
    like = like.reshape(-1)[:1]
    kernels.orders.take_part(thread, order, filled, like, nothing, 0, nothing, nothing, -1)


def _stop_meeting(order: Any) -> None:
    """Let threads wait for each other no more that carry out an order."""
    order[at.MEETING] = STOPPED


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
            f"threads is {count!r}: this machine lets us have 1 to {available}, as many as it has "
            "processors for us: give one of these"
        )
    return count


def _available_processors() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
