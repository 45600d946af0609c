"""Timing of calls that take turns, so that a machine's drift hits all of them alike."""

import math
import time
from collections.abc import Callable, Sequence
from typing import Any

_FEWEST_ROUNDS = 3  # of which a median can be had
_LONG = 1.0  # seconds; beside so many it does not matter what is in caches

Call = Callable[[], Any]


def time_in_turns(
    calls: Sequence[Call], rounds: int, seconds: float, patience: float = math.inf
) -> list[list[float]]:
    """Time calls turn by turn; the first of each, which finds nothing in caches, is not counted.

    Args:
        calls: What to time.
        rounds: How often each has its turn.
        seconds: How long a turn is at least: a call is repeated as often as that takes.
        patience: Seconds after which no more rounds begin, once there were three.

    Returns:
        For each the seconds of a call in each of its turns.
    """
    counts = [_count(call, seconds) for call in calls]
    times: list[list[float]] = [[] for _ in calls]
    start = time.perf_counter()
    for done in range(rounds):
        if done >= _FEWEST_ROUNDS and time.perf_counter() - start > patience:
            break
        for call, count, found in zip(calls, counts, times, strict=True):
            found.append(_time(call, count))
    return times


def _count(call: Call, seconds: float) -> int:
    if _time(call, 1) > _LONG:
        return 1
    return max(1, round(seconds / max(_time(call, 1), 1e-7)))


def _time(call: Call, count: int) -> float:
    start = time.perf_counter()
    for _ in range(count):
        call()
    return (time.perf_counter() - start) / count
