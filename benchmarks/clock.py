"""The time after each training step."""

import itertools
import time


class StepClock:
    """To be called after each step.

    Args:
        warm_up: Steps that are not counted, at least 1: the time before the first is unknown.
    """

    def __init__(self, warm_up: int) -> None:
        self._warm_up = warm_up
        self._marks: list[float] = []

    def __call__(self, iteration: int) -> None:
        """Take the time.

        Args:
            iteration: Steps done.
        """
        self._marks.append(time.perf_counter())

    def milliseconds(self) -> list[float]:
        """Return what each step after the warm-up took."""
        counted = self._marks[self._warm_up - 1 :]
        return [1000 * (end - start) for start, end in itertools.pairwise(counted)]
