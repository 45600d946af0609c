"""Which layers are run sparse and which dense: whatever is faster on this machine."""

import math
import statistics
from dataclasses import dataclass, replace
from functools import partial

import numpy

from vdprune.runtime.layers import Layer, Layers
from vdprune.runtime.steps import Program, make_program
from vdprune.runtime.timing import time_in_turns

SPARSE, DENSE = "sparse", "dense"

_TURNS, _SECONDS = 5, 2e-4  # of each: shorter ones the clock does not see well
_SURELY_SPARSE = 0.05  # share of weights up to which sparse won in every shape tried


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


def choose_ways(
    layers: Layers, examples: int, way: str | None = None
) -> tuple[list[str], list[Choice]]:
    """Measure each layer with weights both ways.

    Args:
        layers: The network.
        examples: How many are run at a time.
        way: ``sparse`` or ``dense``, if nothing is to be measured.

    Returns:
        The way of each layer, and for those with weights how it was chosen.
    """
    ways, choices = [], []
    for layer in layers.layers:
        if layer.kind not in ("linear", "convolution_2d"):
            ways.append(SPARSE)
            continue
        choice = _choose(layer, examples, way)
        ways.append(choice.way)
        choices.append(choice)
    return ways, choices


def _choose(layer: Layer, examples: int, way: str | None) -> Choice:
    assert layer.W is not None
    density = numpy.count_nonzero(layer.W) / layer.W.size
    if layer.attributes.get("groups", 1) > 1 or (way is None and density <= _SURELY_SPARSE):
        way = SPARSE
    if way is not None:
        return Choice(layer.name, way, density)
    programs = [_alone(layer, way, examples) for way in (SPARSE, DENSE)]
    sparse, dense = _measure(programs, (examples, math.prod(layer.in_shape)))
    return Choice(layer.name, SPARSE if sparse <= dense else DENSE, density, sparse, dense)


def _alone(layer: Layer, way: str, examples: int) -> Program:
    """Make a program of one layer."""
    alone = replace(layer, sources=(0,))
    network = Layers(1.0, numpy.zeros(layer.in_shape, numpy.float32), (alone,))
    return make_program(network, [way], examples)


def _measure(programs: list[Program], shape: tuple[int, int]) -> list[float]:
    """Time programs of one input on some examples; medians in seconds."""
    x = numpy.random.default_rng(0).standard_normal(shape).astype("f4")
    calls = []
    for program in programs:
        result = numpy.empty((len(x), program.outputs), numpy.float32)
        calls.append(partial(program.run, x, result))
    return [statistics.median(times) for times in time_in_turns(calls, _TURNS, _SECONDS)]
