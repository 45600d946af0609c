"""Which layers are run sparse and which dense: whatever is faster on this machine."""

import statistics
import time
from dataclasses import dataclass, replace
from typing import Any

import numpy

from vdprune.runtime.layers import Layer, Layers
from vdprune.runtime.steps import Program, make_program

SPARSE, DENSE = "sparse", "dense"

_TIMES = 5
_LEAST_SECONDS = 2e-4  # that one timing takes, or the clock is too coarse
_SURELY_SPARSE = 0.01  # share of weights up to which nothing needs to be measured


@dataclass(frozen=True)
class Choice:
    """How a layer is run, and why.

    Args:
        layer: Its name.
        way: ``sparse`` or ``dense``.
        density: Share of its weights that are not zero.
        sparse_seconds: What it took for the examples of a block, or None if it was not measured.
        dense_seconds: Likewise.
    """

    layer: str
    way: str
    density: float
    sparse_seconds: float | None = None
    dense_seconds: float | None = None


def choose_ways(layers: Layers, examples: int) -> tuple[list[str], list[Choice]]:
    """Measure each layer with weights both ways.

    Args:
        layers: The network.
        examples: How many are run at a time.

    Returns:
        The way of each layer, and for those with weights how it was chosen.
    """
    ways, choices = [], []
    for layer in layers.layers:
        if layer.kind not in ("linear", "convolution_2d"):
            ways.append(SPARSE)
            continue
        choice = _choose(layer, examples)
        ways.append(choice.way)
        choices.append(choice)
    return ways, choices


def _choose(layer: Layer, examples: int) -> Choice:
    assert layer.W is not None
    density = numpy.count_nonzero(layer.W) / layer.W.size
    if layer.attributes.get("groups", 1) > 1 or density <= _SURELY_SPARSE:
        return Choice(layer.name, SPARSE, density)
    programs = [_alone(layer, way, examples) for way in (SPARSE, DENSE)]
    sparse, dense = _measure(programs, examples)
    return Choice(layer.name, SPARSE if sparse <= dense else DENSE, density, sparse, dense)


def _alone(layer: Layer, way: str, examples: int) -> Program:
    """Make a program of one layer."""
    alone = replace(layer, sources=(0,))
    network = Layers(1.0, numpy.zeros(layer.in_shape, numpy.float32), (alone,))
    return make_program(network, [way], examples)


def _measure(programs: list[Program], examples: int) -> list[float]:
    """Time programs of one input turn by turn; medians in seconds."""
    random = numpy.random.default_rng(0)
    calls = []
    for program in programs:
        x = random.standard_normal((examples, int(program.pixels.max()) + 1)).astype("f4")
        arena = numpy.empty(program.room * examples, numpy.float32)
        calls.append((program, (x, arena, numpy.empty((examples, program.outputs), "f4"))))
    counts = [_count(*call) for call in calls]
    times: list[list[float]] = [[] for _ in programs]
    for _ in range(_TIMES):
        for (program, arguments), count, found in zip(calls, counts, times, strict=True):
            found.append(_time(program, arguments, count))
    return [statistics.median(found) for found in times]


def _count(program: Program, arguments: Any) -> int:
    """Find how often a program has to run to be timed; the first run is not counted."""
    program.run(*arguments)
    return max(1, int(_LEAST_SECONDS / max(_time(program, arguments, 1), 1e-7)))


def _time(program: Program, arguments: Any, count: int) -> float:
    start = time.perf_counter()
    for _ in range(count):
        program.run(*arguments)
    return (time.perf_counter() - start) / count
