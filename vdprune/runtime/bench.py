"""How long networks take for some examples, beside each other."""

import statistics
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy

from vdprune.errors import VdpruneError
from vdprune.runtime.timing import time_in_turns

_SECONDS = 0.05  # of a turn
_PATIENCE = 30.0  # seconds for all turns of some examples, unless three of them take longer
_TOLERANCE = 1e-3  # of the largest number of a result

Predict = Callable[[numpy.ndarray], Any]


@dataclass(frozen=True)
class Timing:
    """How long one contender took.

    Args:
        contender: Its name.
        examples: How many it was given at a time.
        turns: How many it had.
        milliseconds: Their median, for all examples.
    """

    contender: str
    examples: int
    turns: int
    milliseconds: float


def time_contenders(
    contenders: Mapping[str, Predict], input_shape: tuple[int, ...], examples: int, turns: int = 7
) -> list[Timing]:
    """Give each the same random examples, turn by turn, after a look at whether they agree.

    Args:
        contenders: What runs a network, by its name: takes examples of float32, shape (batch,
            *input_shape).
        input_shape: Shape of one example.
        examples: How many at a time.
        turns: How many each has; fewer, but no fewer than three, where they take long.

    Returns:
        A timing for each contender.

    Raises:
        VdpruneError: One computes something else than the first.
    """
    random = numpy.random.default_rng(0)
    x = random.integers(0, 256, (examples, *input_shape)).astype(numpy.float32)
    _check_agreement(contenders, x)
    calls = [partial(predict, x) for predict in contenders.values()]
    times = time_in_turns(calls, turns, _SECONDS, _PATIENCE)
    return [
        Timing(name, examples, len(seconds), 1e3 * statistics.median(seconds))
        for name, seconds in zip(contenders, times, strict=True)
    ]


def _check_agreement(contenders: Mapping[str, Predict], x: numpy.ndarray) -> None:
    first, *others = contenders
    expected = numpy.asarray(contenders[first](x))
    largest = numpy.abs(expected).max()
    for name in others:
        found = numpy.asarray(contenders[name](x))
        if found.shape != expected.shape:
            raise VdpruneError(
                f"{name} computes something else than {first}: an array of shape {found.shape}, not "
                f"{expected.shape}; times of different things are not compared"
            )
        difference = numpy.abs(found - expected).max()
        if not difference <= _TOLERANCE * largest:  # so that NaN is none
            raise VdpruneError(
                f"{name} computes something else than {first}: on {len(x)} random examples their "
                f"results are up to {difference:.3g} apart, more than {_TOLERANCE:g} of the largest, "
                f"{largest:.3g}; times of different things are not compared"
            )
