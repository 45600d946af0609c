"""Linear layers with noisy weights, one after the other, as the CPU's kernels want them."""

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy

from vdprune import kernels
from vdprune.functions.variational_layer import Alive
from vdprune.kernels import linear_layout as at
from vdprune.kernels.constants import PANEL_BYTES, STOPPED
from vdprune.threads import get_team

_WORK = 150  # what is done to a weight beside the products, in multiplications
_LINE = 64  # bytes of a line of the cache
_MOST_THREADS = 2**10
_GRADIENTS = at.G_WEIGHTS, at.G_LOG_SIGMA2, at.G_BIASES


@dataclass
class LinearLayer:
    """What one layer is made of.

    Args:
        W: Means theta of the weights, shape (outputs alive, inputs alive).
        log_sigma2: Logarithms of their variances.
        b: Biases of all outputs, or None.
        alive: Which outputs and inputs the weights are for; None for all.
        threshold: Weights with a log alpha above it are masked.
        mask_variance: Whether their variance is masked, too.
        k1: Weight of the sigmoid in the KL divergence, which the prior decides.
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
    k1: float
    noise_scale: float
    key: tuple[int, int]
    has_relu: bool = False
    noise: Any = None

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """How many outputs and inputs are alive, and how many there are of both."""
        outputs, inputs = self.W.shape
        return outputs, inputs, *(self.W.shape if self.alive is None else self.alive.shape)


class LinearLayers:
    """Layers on a batch: forward and then back, or both at once.

    Args:
        layers: The layers; their arrays are contiguous, of the dtype of x.
        x: Inputs of the first, shape (batch, all its inputs), contiguous.
    """

    def __init__(self, layers: Sequence[LinearLayer], x: Any) -> None:
        self._layers, self._x = layers, x
        self._shapes = tuple([layer.shape for layer in layers])
        places, size, self._work = _plan(self._shapes, len(x), x.itemsize)
        self._memory = numpy.empty(size + _LINE, numpy.uint8)
        start = _address(self._memory)
        self._table = places + (start + -start % _LINE)
        self._table[:, : at.FACTOR] = [_describe(layer) for layer in layers]
        self._settings = numpy.array(
            [(layer.threshold, layer.k1, layer.noise_scale) for layer in layers]
        )

    def forward(self) -> tuple[Any, float]:
        """Draw pre-activations.

        Returns:
            Those of the last layer, shape (batch, outputs), and the KL divergence of all weights.
        """
        y = numpy.empty((len(self._x), self._shapes[-1][2]), self._x.dtype)
        self._table[-1, at.RESULT] = _address(y)
        divergences = numpy.zeros(get_team().size)
        arguments = self._table, self._settings, self._x, divergences
        self._run(kernels.linear.forward, arguments)
        return y, float(divergences.sum())

    def backward(self, g: Any, g_divergence: float, wants_x: bool) -> tuple[Any, list[Any]]:
        """Compute gradients, after `forward`.

        Args:
            g: Gradient of what `forward` returned, contiguous.
            g_divergence: Gradient of the KL divergence.
            wants_x: Whether the gradient of the inputs is wanted.

        Returns:
            Gradient of x, or None; and for each layer those of W, log_sigma2 and, with biases, b.
        """
        self._table[-1, at.G_RESULT] = _address(g)
        g_x, gradients = self._make_gradients(wants_x)
        self._run(kernels.linear.backward, (0, self._table, self._x, g_divergence, wants_x))
        return g_x, gradients

    def objective(
        self, t: Any, g_divergence: float, wants_x: bool
    ) -> tuple[float, int, float, Any, list[Any]]:
        """Compute the cross entropy of what `forward` would draw, and the gradients of the objective.

        Args:
            t: Labels, int32, shape (batch,), contiguous.
            g_divergence: Weight of the KL divergence in the objective.
            wants_x: As for `backward`.

        Returns:
            The mean cross entropy; how often the label is the largest logit, -1 if a label is not a
            class, and then nothing else counts; the KL divergence; and what `backward` returns.
        """
        g_x, gradients = self._make_gradients(wants_x)
        divergences, found = numpy.zeros(get_team().size), numpy.zeros(2)
        arguments = self._table, self._settings, self._x, t, g_divergence, wants_x
        self._run(kernels.linear.objective, (*arguments, divergences, found))
        return found[0] / len(t), int(found[1]), float(divergences.sum()), g_x, gradients

    def _make_gradients(self, wants_x: bool) -> tuple[Any, list[Any]]:
        """Make room for gradients, and let the table say where it is."""
        sizes = [
            [array.size for array in (layer.W, layer.log_sigma2, layer.b) if array is not None]
            for layer in self._layers
        ]
        room = numpy.empty(sum(map(sum, sizes)), self._x.dtype)
        start, place, gradients = _address(room), 0, []
        for row, layer in zip(self._table, self._layers, strict=True):
            found = []
            for field, array in zip(_GRADIENTS, (layer.W, layer.log_sigma2, layer.b), strict=True):
                if array is None:
                    continue
                row[field] = start + place * room.itemsize
                found.append(room[place : place + array.size].reshape(array.shape))
                place += array.size
            gradients.append(found)
        g_x = None
        if wants_x:
            g_x = numpy.empty_like(self._x)
            self._table[0, at.G_INPUTS] = _address(g_x)
        return g_x, gradients

    def _run(self, kernel: Any, arguments: tuple[Any, ...]) -> None:
        team, meeting = get_team(), numpy.zeros(1, numpy.int64)

        def task(thread: int, threads: int) -> None:
            kernel(thread, threads, meeting, *arguments)

        def stop() -> None:
            meeting[0] = STOPPED

        team.run_together(task, stop, len(team.split(_MOST_THREADS, self._work)))


def _describe(layer: LinearLayer) -> tuple[int, ...]:
    """Make the part of a layer's row that does not depend on the batch."""
    outputs, inputs, all_outputs, all_inputs = layer.shape
    numbers = (
        _numbers(all_inputs, all_outputs)
        if layer.alive is None
        else (layer.alive.input_numbers, layer.alive.output_numbers)
    )
    return (
        inputs,
        outputs,
        all_inputs,
        all_outputs,
        layer.has_relu,
        layer.mask_variance,
        *layer.key,
        _address(layer.W),
        _address(layer.log_sigma2),
        0 if layer.b is None else _address(layer.b),
        _address(numbers[0]),
        _address(numbers[1]),
        0 if layer.noise is None else _address(layer.noise),
    )


def _address(array: Any) -> int:
    return int(array.__array_interface__["data"][0])


@functools.lru_cache(maxsize=64)
def _numbers(inputs: int, outputs: int) -> tuple[Any, Any]:
    return numpy.arange(inputs), numpy.arange(outputs, dtype="u4")


@functools.lru_cache(maxsize=64)
def _plan(
    shapes: tuple[tuple[int, int, int, int], ...], batch: int, itemsize: int
) -> tuple[Any, int, float]:
    """Find a place for all that is computed on the way.

    Args:
        shapes: Outputs, inputs, all outputs and all inputs of each layer.
        batch: How many examples there are.
        itemsize: Bytes of a number.

    Returns:
        A table of the layers with the places; the bytes that they take; and the multiplications that
        going forward and back takes.
    """
    table = numpy.zeros((len(shapes), at.FIELDS), numpy.int64)
    lanes, place, work = PANEL_BYTES // itemsize, 0, 0.0
    for row, (outputs, inputs, all_outputs, _) in zip(table, shapes, strict=True):
        by_batch, by_inputs = (-(-length // lanes) * lanes for length in (batch, inputs))
        sizes = {
            at.FACTOR: by_batch * inputs,
            at.SQUARES: by_batch * inputs,
            at.ALPHA: outputs * inputs,
            at.SLOPE: outputs * inputs,
            at.SLOPES: outputs * batch,
            at.RESULT: batch * all_outputs,
            at.G_RESULT: batch * all_outputs,
            at.G_MEAN: outputs * batch,
            at.G_VARIANCE: outputs * batch,
            at.COLUMNS: by_inputs * batch,
            at.SQUARED_COLUMNS: by_inputs * batch,
        }
        for field, size in sizes.items():
            row[field] = place
            place += -(-size * itemsize // _LINE) * _LINE
        work += outputs * inputs * (2 * batch + _WORK)
    table[1:, at.G_INPUTS] = table[:-1, at.G_RESULT]
    return table, place, work
