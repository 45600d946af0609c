"""What linear layers are made of, and where their kernels find and put it."""

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy

from vdprune.functions.variational_layer import Alive
from vdprune.kernels import linear_layout as at
from vdprune.kernels.addresses import get_address
from vdprune.kernels.constants import PANEL_BYTES

LINE = 64  # bytes of a line of the cache
_WORK = 150  # what is done to a weight beside the products, in multiplications
_GRADIENTS = at.G_WEIGHTS, at.G_LOG_SIGMA2, at.G_BIASES


@dataclass(slots=True)
class LinearLayer:
    """What one layer is made of.

    Args:
        W: Means theta of the weights, shape (outputs alive, inputs alive).
        log_sigma2: Logarithms of their variances.
        b: Biases of all outputs, or None.
        alive: Which outputs and inputs the weights are for; None for all.
        threshold: Weights with a log alpha above it are masked.
        mask_variance: Whether their variance is masked, too.
        prior: Prior of the weights.
        noise_scale: What standard normal draws are multiplied by.
        key: Key of the noise.
        has_relu: Whether ReLU follows.
        noise: Standard normal draws to use, shape (outputs alive, batch); None for new ones.
    """

    W: Any
    log_sigma2: Any
    b: Any
    alive: Alive | None
    threshold: float
    mask_variance: bool
    prior: str
    noise_scale: float
    key: tuple[int, int] = (0, 0)
    has_relu: bool = False
    noise: Any = None

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """How many outputs and inputs are alive, and how many there are of both."""
        outputs, inputs = self.W.shape
        return outputs, inputs, *(self.W.shape if self.alive is None else self.alive.shape)

    def arrays(self) -> list[Any]:
        """List W, log_sigma2 and, with biases, b."""
        return [self.W, self.log_sigma2, *(() if self.b is None else (self.b,))]

    def is_like(self, other: "LinearLayer") -> bool:
        """Whether it has another's arrays, and all else that is not set anew at each step."""
        return (
            self.W is other.W
            and self.log_sigma2 is other.log_sigma2
            and self.b is other.b
            and self.alive is other.alive
            and self.noise is other.noise
            and self.has_relu == other.has_relu
            and self.mask_variance == other.mask_variance
        )


def numbers_of(layer: LinearLayer) -> tuple[Any, Any]:
    """Return the numbers of the inputs and outputs that a layer's weights are for."""
    if layer.alive is not None:
        return layer.alive.input_numbers, layer.alive.output_numbers
    outputs, inputs = layer.W.shape
    return _numbers(inputs, outputs)


def describe(layer: LinearLayer, numbers: tuple[Any, Any]) -> tuple[int, ...]:
    """Make the part of a layer's row that does not depend on the batch."""
    outputs, inputs, all_outputs, all_inputs = layer.shape
    return (
        inputs,
        outputs,
        all_inputs,
        all_outputs,
        layer.has_relu,
        layer.mask_variance,
        *layer.key,
        get_address(layer.W),
        get_address(layer.log_sigma2),
        0 if layer.b is None else get_address(layer.b),
        get_address(numbers[0]),
        get_address(numbers[1]),
        0 if layer.noise is None else get_address(layer.noise),
    )


def place_gradients(layers: Sequence[LinearLayer]) -> tuple[list[tuple[Any, ...]], int]:
    """Give each gradient its place among the others: row and field of the table, edges and shape."""
    places: list[tuple[Any, ...]] = []
    first = 0
    for row, layer in enumerate(layers):
        for field, array in zip(_GRADIENTS, layer.arrays(), strict=False):
            places.append((row, field, first, first + array.size, array.shape))
            first += array.size
    return places, first


@functools.lru_cache(maxsize=64)
def _numbers(inputs: int, outputs: int) -> tuple[Any, Any]:
    return numpy.arange(inputs), numpy.arange(outputs, dtype="u4")


@functools.lru_cache(maxsize=64)
def plan(
    shapes: tuple[tuple[int, int, int, int], ...], batch: int, itemsize: int, threads: int
) -> tuple[Any, int, float]:
    """Find a place for all that is computed on the way.

    Args:
        shapes: Outputs, inputs, all outputs and all inputs of each layer.
        batch: How many examples there are.
        itemsize: Bytes of a number.
        threads: How many threads there may be.

    Returns:
        A table of the layers with the places; the bytes that they take; and the multiplications that
        going forward and back takes.
    """
    table = numpy.zeros((len(shapes), at.FIELDS), numpy.int64)
    lanes, place, work = PANEL_BYTES // itemsize, 0, 0.0
    for row, (outputs, inputs, all_outputs, _) in zip(table, shapes, strict=True):
        by_batch, by_inputs = (-(-length // lanes) * lanes for length in (batch, inputs))
        sizes = {
            at.FACTOR: threads * by_batch * inputs,
            at.SQUARES: threads * by_batch * inputs,
            at.ALPHA: outputs * inputs,
            at.SLOPE: outputs * inputs,
            at.SLOPES: outputs * batch,
            at.RESULT: batch * all_outputs,
            at.G_RESULT: batch * all_outputs,
            at.G_MEAN: outputs * batch,
            at.G_VARIANCE: outputs * batch,
            at.COLUMNS: threads * by_inputs * batch,
            at.SQUARED_COLUMNS: threads * by_inputs * batch,
            at.CONSTANTS: inputs,
        }
        integers = {at.COUNTS: 2, at.VARYING: inputs, at.FIRSTS: by_inputs // lanes}
        sizes = {field: size * itemsize for field, size in sizes.items()}
        sizes |= {field: size * 8 for field, size in integers.items()}
        for field, size in sizes.items():
            row[field] = place
            place += -(-size // LINE) * LINE
        work += outputs * inputs * (2 * batch + _WORK)
    table[1:, at.G_INPUTS] = table[:-1, at.G_RESULT]
    return table, place, work
