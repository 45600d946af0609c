"""Timing of calls that take turns, so that a machine's drift hits all of them alike."""

import time
from collections.abc import Callable, Sequence
from typing import Any

Call = Callable[[], Any]


def time_in_turns(calls: Sequence[Call], rounds: int, seconds: float) -> list[list[float]]:
    """Time calls turn by turn; the first of each, which finds nothing in caches, is not counted.

    Args:
        calls: What to time.
        rounds: How often each has its turn.
        seconds: How long a turn is at least: a call is repeated as often as that takes.

    Returns:
        For each the seconds of a call in each of its turns.
    """
    counts = [_count(call, seconds) for call in calls]
    times: list[list[float]] = [[] for _ in calls]
    for _ in range(rounds):
        for call, count, found in zip(calls, counts, times, strict=True):
            found.append(_time(call, count))
    return times


def _count(call: Call, seconds: float) -> int:
    call()
    return max(1, round(seconds / max(_time(call, 1), 1e-7)))


def _time(call: Call, count: int) -> float:
    start = time.perf_counter()
    for _ in range(count):
        call()
    return (time.perf_counter() - start) / count
