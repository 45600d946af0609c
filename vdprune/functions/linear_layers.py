"""Linear layers with noisy weights, one after the other, as the CPU's kernels want them."""

import contextlib
import functools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy

from vdprune.functions.prior import k1_of
from vdprune.functions.variational_layer import Alive
from vdprune.kernels import linear_layout as at
from vdprune.kernels import order_layout as orders
from vdprune.kernels.addresses import get_address
from vdprune.kernels.constants import PANEL_BYTES
from vdprune.threads import get_team

_WORK = 150  # what is done to a weight beside the products, in multiplications
_LINE = 64  # bytes of a line of the cache
_MOST_THREADS = 1024
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


class LinearLayers:
    """Layers on a batch: forward and then back, or both at once.

    Args:
        layers: The layers; their arrays are contiguous, of the dtype of x.
        x: Inputs of the first, shape (batch, all its inputs), contiguous.
    """

    def __init__(self, layers: Sequence[LinearLayer], x: Any) -> None:
        shapes = tuple([layer.shape for layer in layers])
        places, size, self._work = _plan(shapes, len(x), x.itemsize)
        self._memory = numpy.empty(size + _LINE, numpy.uint8)
        start = get_address(self._memory)
        self._table = places + (start + -start % _LINE)
        self._table[:, at.G_WEIGHTS :] = 0
        self._numbers = [_numbers_of(layer) for layer in layers]
        self._table[:, : at.FACTOR] = list(map(_describe, layers, self._numbers))
        self._settings = numpy.empty((len(layers), 3))
        self._places, self._length = _places_of_gradients(layers)
        # sum of the cross entropies, how many labels are right, and divergences by thread
        self._found = numpy.zeros(2 + _MOST_THREADS)
        found = get_address(self._found)
        self._order = numpy.zeros(orders.LENGTH, numpy.int64)
        self._order[orders.TABLE] = get_address(self._table)
        self._order[orders.SETTINGS] = get_address(self._settings)
        self._order[orders.FOUND] = found
        self._order[orders.DIVERGENCES] = found + 2 * self._found.itemsize
        self._order[[orders.ROWS, orders.BATCH, orders.WIDTH]] = len(layers), *x.shape
        self._begin(layers, x)

    def begin(self, layers: Sequence[LinearLayer], x: Any) -> bool:
        """Go on with another batch and new settings.

        Args:
            layers: The layers, as at first.
            x: The batch.

        Returns:
            Whether arrays and shapes are the same as before; if not, nothing is done.
        """
        fits = (
            x.shape == self._x.shape
            and x.dtype == self._x.dtype
            and len(layers) == len(self._layers)
            and all(map(LinearLayer.is_like, layers, self._layers))
        )
        if fits:
            self._begin(layers, x)
        return fits

    def _begin(self, layers: Sequence[LinearLayer], x: Any) -> None:
        self._layers, self._x = layers, x
        self._order[orders.INPUTS] = get_address(x)
        self._table[:, at.KEY0 : at.KEY1 + 1] = [layer.key for layer in layers]
        self._settings[:] = [
            (layer.threshold, k1_of(layer.prior), layer.noise_scale) for layer in layers
        ]

    def forward(self) -> tuple[Any, float]:
        """Draw pre-activations.

        Returns:
            Those of the last layer, shape (batch, outputs), and the KL divergence of all weights.
        """
        y = numpy.empty((len(self._x), self._layers[-1].shape[2]), self._x.dtype)
        with self._placed(at.RESULT, y):
            return y, self._carry_out(orders.FORWARD)

    def backward(self, g: Any, g_divergence: float, wants_x: bool) -> tuple[Any, list[Any]]:
        """Compute gradients, after `forward`.

        Args:
            g: Gradient of what `forward` returned, contiguous.
            g_divergence: Gradient of the KL divergence.
            wants_x: Whether the gradient of the inputs is wanted.

        Returns:
            Gradient of x, or None; and those of the arrays of each layer, one after the other.
        """
        g_x, gradients = self._make_gradients(wants_x)
        with self._placed(at.G_RESULT, g):
            self._carry_out(orders.BACKWARD, g_divergence, wants_x)
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
        self._order[orders.LABELS] = get_address(t)
        divergence = self._carry_out(orders.OBJECTIVE, g_divergence, wants_x)
        total, right = self._found[:2].tolist()
        return total / len(t), int(right), divergence, g_x, gradients

    @contextlib.contextmanager
    def _placed(self, field: int, array: Any) -> Iterator[None]:
        """Let an array of somebody else be one of the last layer's."""
        own, self._table[-1, field] = int(self._table[-1, field]), get_address(array)
        try:
            yield
        finally:
            self._table[-1, field] = own

    def _make_gradients(self, wants_x: bool) -> tuple[Any, list[Any]]:
        """Make room for gradients, and let the table say where it is."""
        room = numpy.empty(self._length, self._x.dtype)
        start, gradients = get_address(room), []
        for row, field, first, last, shape in self._places:
            self._table[row, field] = start + first * room.itemsize
            gradients.append(room[first:last].reshape(shape))
        g_x = None
        if wants_x:
            g_x = numpy.empty_like(self._x)
            self._table[0, at.G_INPUTS] = get_address(g_x)
        return g_x, gradients

    def _carry_out(self, kind: int, g_divergence: float = 0.0, wants_x: bool = False) -> float:
        """Let threads do it; return the KL divergence."""
        order = self._order
        order[orders.KIND], order[orders.WANTS_INPUTS], order[orders.MEETING] = kind, wants_x, 0
        get_team().carry_out(order, (g_divergence,), self._x, self._work)
        return sum(self._found[2 : 2 + int(order[orders.THREADS])].tolist())


class LayersOfLastStep:
    """Keeps `LinearLayers` for the next step, which most often is on the same arrays."""

    def __init__(self) -> None:
        self._kept: LinearLayers | None = None

    def take(self, layers: Sequence[LinearLayer], x: Any) -> LinearLayers:
        """Return what was put here if it is of such arrays, or a new one.

        Args:
            layers: As for `LinearLayers`.
            x: Likewise.

        Returns:
            Those; nobody else gets them meanwhile.
        """
        kept, self._kept = self._kept, None
        return kept if kept is not None and kept.begin(layers, x) else LinearLayers(layers, x)

    def put(self, layers: LinearLayers) -> None:
        """Put layers here that are done with a batch."""
        self._kept = layers

    def __deepcopy__(self, memo: Any) -> "LayersOfLastStep":
        return LayersOfLastStep()  # a copy has its own memory, whose addresses are others

    def __reduce__(self) -> Any:
        return LayersOfLastStep, ()


def _numbers_of(layer: LinearLayer) -> tuple[Any, Any]:
    """Return the numbers of the inputs and outputs that a layer's weights are for."""
    if layer.alive is not None:
        return layer.alive.input_numbers, layer.alive.output_numbers
    outputs, inputs = layer.W.shape
    return _numbers(inputs, outputs)


def _describe(layer: LinearLayer, numbers: tuple[Any, Any]) -> tuple[int, ...]:
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


def _places_of_gradients(layers: Sequence[LinearLayer]) -> tuple[list[tuple[Any, ...]], int]:
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
            at.CONSTANTS: inputs,
        }
        integers = {at.COUNTS: 2, at.VARYING: inputs, at.FIRSTS: by_inputs // lanes}
        sizes = {field: size * itemsize for field, size in sizes.items()}
        sizes |= {field: size * 8 for field, size in integers.items()}
        for field, size in sizes.items():
            row[field] = place
            place += -(-size // _LINE) * _LINE
        work += outputs * inputs * (2 * batch + _WORK)
    table[1:, at.G_INPUTS] = table[:-1, at.G_RESULT]
    return table, place, work
