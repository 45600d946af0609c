"""Linear layers with noisy weights, one after the other, on the CPU."""

import contextlib
import math
import time
from collections.abc import Iterator, Sequence
from typing import Any

import numpy

from vdprune.functions.linear_plan import (
    LINE,
    LinearLayer,
    describe,
    numbers_of,
    place_gradients,
    plan,
)
from vdprune.functions.prior import k1_of
from vdprune.kernels import linear_layout as at
from vdprune.kernels import order_layout as orders
from vdprune.kernels.addresses import get_address
from vdprune.kernels.constants import TILE_ROWS
from vdprune.threads import get_team
from vdprune.trials import Trials


class LinearLayers:
    """Layers on a batch: forward and then back, or both at once.

    Args:
        layers: The layers; their arrays are contiguous, of the dtype of x.
        x: Inputs of the first, shape (batch, all its inputs), contiguous.
    """

    def __init__(self, layers: Sequence[LinearLayer], x: Any) -> None:
        shapes = tuple([layer.shape for layer in layers])
        self._threads = get_team().size
        places, size, self._work = plan(shapes, len(x), x.itemsize, self._threads)
        self._memory = numpy.empty(size + LINE, numpy.uint8)
        start = get_address(self._memory)
        self._table = places + (start + -start % LINE)
        self._table[:, at.G_WEIGHTS :] = 0
        self._numbers = [numbers_of(layer) for layer in layers]
        self._table[:, : at.FACTOR] = list(map(describe, layers, self._numbers))
        self._settings = numpy.empty((len(layers), 3))
        self._places, self._length = place_gradients(layers)
        tiles = sum([-(-layer.shape[0] // TILE_ROWS) for layer in layers])
        # sum of the cross entropies, how many labels are right, and divergences
        self._found = numpy.zeros(2 + tiles)
        found = get_address(self._found)
        self._order = numpy.zeros(orders.LENGTH, numpy.int64)
        self._order[orders.TABLE] = get_address(self._table)
        self._order[orders.SETTINGS] = get_address(self._settings)
        self._order[orders.FOUND] = found
        self._order[orders.DIVERGENCES] = found + 2 * self._found.itemsize
        self._order[[orders.ROWS, orders.TILES]] = len(layers), tiles
        self._order[[orders.BATCH, orders.WIDTH]] = x.shape
        self._trials = Trials()
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
            get_team().size == self._threads
            and x.shape == self._x.shape
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
        order, team = self._order, get_team()
        order[orders.KIND], order[orders.WANTS_INPUTS], order[orders.MEETING] = kind, wants_x, 0
        threads = self._trials.choose(min(team.worth(self._work), self._threads))
        start = time.perf_counter()
        team.carry_out(order, (g_divergence,), self._x, threads)
        self._trials.note(time.perf_counter() - start)
        return math.fsum(self._found[2:].tolist())


class LayersOfLastStep:
    """Keeps `LinearLayers` for the next step, which most often is on the same arrays."""

    def __init__(self) -> None:
        self._kept: list[LinearLayers] = []

    def take(self, layers: Sequence[LinearLayer], x: Any) -> LinearLayers:
        """Return what was put here if it is of such arrays, or a new one.

        Args:
            layers: As for `LinearLayers`.
            x: Likewise.

        Returns:
            Those; nobody else gets them meanwhile.
        """
        try:
            kept = self._kept.pop()
        except IndexError:
            return LinearLayers(layers, x)
        return kept if kept.begin(layers, x) else LinearLayers(layers, x)

    def put(self, layers: LinearLayers) -> None:
        """Put layers here that are done with a batch."""
        self._kept[:] = [layers]

    def __reduce__(self) -> Any:
        return LayersOfLastStep, ()  # a copy has its own memory, whose addresses are others
