"""How long networks take for some examples, beside each other."""

import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy

from vdprune.runtime.timing import time_in_turns

_TURNS, _SECONDS = 7, 0.05

Predict = Callable[[numpy.ndarray], Any]


@dataclass(frozen=True)
class Timing:
    """How long one contender took.

    Args:
        contender: Its name.
        examples: How many it was given at a time.
        milliseconds: Median of its turns, for all of them.
    """

    contender: str
    examples: int
    milliseconds: float


def time_contenders(
    contenders: Mapping[str, Predict], input_shape: tuple[int, ...], batches: Sequence[int]
) -> list[Timing]:
    """Give each the same random examples, turn by turn.

    Args:
        contenders: What runs a network, by its name: takes examples of float32, shape (batch,
            *input_shape).
        input_shape: Shape of one example.
        batches: How many examples at a time.

    Returns:
        A timing for each contender and batch.
    """
    found = []
    random = numpy.random.default_rng(0)
    for examples in batches:
        x = random.integers(0, 256, (examples, *input_shape)).astype(numpy.float32)
        calls = [partial(predict, x) for predict in contenders.values()]
        for name, seconds in zip(contenders, time_in_turns(calls, _TURNS, _SECONDS), strict=True):
            found.append(Timing(name, examples, 1e3 * statistics.median(seconds)))
    return found
