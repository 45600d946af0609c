"""A number that changes from epoch to epoch."""

import itertools
import math
from dataclasses import dataclass

from vdprune.errors import ArgumentError


@dataclass(frozen=True)
class Schedule:
    """Points of epoch and value: linear in between, constant before the first and after the last.

    Args:
        points: Epochs in ascending order, counted from the start of a phase, each with its value; where
            two have the same epoch the value jumps.

    Raises:
        ArgumentError: There is no point, they are not in order, or a number is not finite.
    """

    points: tuple[tuple[float, float], ...]

    def __post_init__(self) -> None:
        numbers = [number for point in self.points for number in point]
        epochs = [epoch for epoch, _ in self.points]
        # comparing, for Python's whole numbers can be larger than any float
        if not numbers or not all(abs(number) < 1e300 for number in numbers):
            raise ArgumentError(f"the schedule {self} needs points of finite numbers")
        if epochs != sorted(epochs) or epochs[0] < 0:
            raise ArgumentError(
                f"the schedule {self} has its epochs out of order: they count from 0 upwards"
            )

    def __str__(self) -> str:
        return str(self.to_plain())

    def at(self, epoch: float) -> float:
        """Return the value at an epoch.

        Args:
            epoch: The epoch, counted from 0.

        Returns:
            The value; where it jumps, the later one.
        """
        before = [point for point in self.points if point[0] <= epoch]
        after = self.points[len(before) :]
        if not before or not after:
            return float((before[-1] if before else after[0])[1])
        (start, first), (end, last) = before[-1], after[0]
        return float(first * (end - epoch) + last * (epoch - start)) / (end - start)

    def moved(self, ratio: float) -> "Schedule":
        """Stretch the schedule.

        Args:
            ratio: What epochs are multiplied by.

        Returns:
            The stretched schedule.
        """
        return Schedule(tuple((epoch * ratio, value) for epoch, value in self.points))

    def describe(self) -> str:
        """Tell the schedule in words.

        Returns:
            A phrase such as "0 until epoch 5, then linear to 1 at epoch 20".
        """
        words: list[str] = []
        told, told_value = 0.0, math.nan  # the epoch up to which words tell it, and the value there
        for (start, value), (end, next_value) in itertools.pairwise(
            ((0.0, self.at(0)), *self.points)
        ):
            if next_value == value:
                continue
            if start > told:
                words.append(f"{value:g} until epoch {start:g}")
                told, told_value = start, value
            if end > start:
                beginning = "" if value == told_value else f"from {value:g} "
                words.append(f"linear {beginning}to {next_value:g} at epoch {end:g}")
                told, told_value = end, next_value
        if told_value != self.points[-1][1]:
            words.append(f"{self.points[-1][1]:g}")
        return ", then ".join(words)

    def to_plain(self) -> float | list[list[float]]:
        """Return the schedule as TOML and JSON have it: a number, or a list of points."""
        if len(self.points) == 1:
            return self.points[0][1]
        return [list(point) for point in self.points]

    @classmethod
    def from_plain(cls, value: object) -> "Schedule":
        """Make a schedule of what `to_plain` returned.

        Args:
            value: A number that stays, or a list of [epoch, value].

        Returns:
            The schedule.

        Raises:
            ArgumentError: It is something else.
        """
        if _is_number(value):
            return cls(((0.0, value),))  # type: ignore[arg-type]
        if isinstance(value, list) and all(
            isinstance(point, list) and len(point) == 2 and all(map(_is_number, point))
            for point in value
        ):
            return cls(tuple((epoch, number) for epoch, number in value))
        raise ArgumentError(
            f"{value!r} is no schedule: give a number, or points such as [[5, 0], [20, 1]]"
        )


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
