"""How long training steps take."""

import itertools
import time


class StepClock:
    """To be called after each step, or after several.

    Args:
        warm_up: Steps that are not counted, at least 1: the time before the first is unknown.
    """

    def __init__(self, warm_up: int) -> None:
        self._warm_up = warm_up
        self._marks: list[tuple[int, float]] = []

    def __call__(self, iteration: int) -> None:
        """Take the time.

        Args:
            iteration: Steps done.
        """
        self._marks.append((iteration, time.perf_counter()))

    def milliseconds(self) -> list[float]:
        """Return what each step after the warm-up took; of several at once, their mean for each."""
        counted = [mark for mark in self._marks if mark[0] >= self._warm_up]
        found = []
        for (before, start), (after, end) in itertools.pairwise(counted):
            found += [1000 * (end - start) / (after - before)] * (after - before)
        return found
