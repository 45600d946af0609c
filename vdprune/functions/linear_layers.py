"""Linear layers with noisy weights, one after the other, on the CPU."""

import contextlib
import math
import time
from collections.abc import Iterator, Sequence
from typing import Any

import numpy

from vdprune.functions.linear_inputs import Batches, Lesson, address_of_logits, settings_of
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


def make_trials_of_steps() -> Trials:
    """Make what finds out how many threads take several steps fastest, each time for 50 ms or so."""
    return Trials(length=3, settling=1, period=100, begins=False)


class LinearLayers:
    """Layers on a batch: forward and then back, or both at once, or several steps of training.

    Args:
        layers: The layers; their arrays are contiguous, of the dtype of x.
        x: Inputs of the first, shape (batch, all its inputs), contiguous.
        trials_of_steps: What `make_trials_of_steps` made; None for new ones.
    """

    def __init__(
        self, layers: Sequence[LinearLayer], x: Any, trials_of_steps: Trials | None = None
    ) -> None:
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
        self._found = numpy.zeros(orders.FOUND_BEFORE + tiles)
        self._order = numpy.zeros(orders.LENGTH, numpy.int64)
        self._order[orders.TABLE] = get_address(self._table)
        self._order[orders.SETTINGS] = get_address(self._settings)
        self._order[orders.FOUND] = get_address(self._found)
        self._order[[orders.ROWS, orders.TILES]] = len(layers), tiles
        self._order[[orders.BATCH, orders.WIDTH]] = x.shape
        self.lesson: Lesson | None = None
        self._trials = Trials()
        self._trials_of_steps = trials_of_steps or make_trials_of_steps()
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
            and x.shape == self.x.shape
            and x.dtype == self.x.dtype
            and len(layers) == len(self._layers)
            and all(map(LinearLayer.is_like, layers, self._layers))
        )
        if fits:
            self._begin(layers, x)
        return fits

    def _begin(self, layers: Sequence[LinearLayer], x: Any) -> None:
        self._layers, self.x = layers, x
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
        y = numpy.empty((len(self.x), self._layers[-1].shape[2]), self.x.dtype)
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
        self, t: Any, g_divergence: float, wants_x: bool, lesson: Lesson | None = None
    ) -> tuple[float, float, int, float, Any, list[Any]]:
        """Compare what `forward` would draw with labels, and compute the gradients of the objective.

        Args:
            t: Labels, int32, shape (batch,), contiguous.
            g_divergence: Weight of the KL divergence in the objective.
            wants_x: As for `backward`.
            lesson: What a teacher says; None without one.

        Returns:
            The mean cross entropy; the mean of T^2 times the divergence from the teacher, 0 without
            one; how often the label is the largest logit, -1 if a label is not a class, and then
            nothing else counts; the KL divergence; and what `backward` returns.
        """
        g_x, gradients = self._make_gradients(wants_x)
        self._t, self._order[orders.LABELS] = t, get_address(t)
        self.lesson, self._order[orders.TEACHER] = lesson, address_of_logits(lesson)
        divergence = self._carry_out(orders.OBJECTIVE, g_divergence, wants_x, lesson)
        total, from_teacher, right = self._found[: orders.IS_DONE].tolist()
        batch = len(t)
        return total / batch, from_teacher / batch, int(right), divergence, g_x, gradients

    @property
    def count(self) -> int:
        """How many layers there are."""
        return len(self._layers)

    @property
    def has_given_noise(self) -> bool:
        """Whether draws are given, and not drawn anew in each step."""
        return any(layer.noise is not None for layer in self._layers)

    def list_gradients(self) -> list[tuple[int, int]]:
        """List addresses of the layers' arrays and of their gradients, those of `objective`."""
        arrays = at.WEIGHTS - at.G_WEIGHTS
        return [
            (int(self._table[row, field + arrays]), int(self._table[row, field]))
            for row, field, *_ in self._places
        ]

    def several_steps(
        self, batches: Batches, schedule: Any, parameters: Any, settings: tuple[float, ...]
    ) -> Any:
        """Go on with other batches as with that of `objective`, with Adam's update after each.

        Args:
            batches: The batches; they take the place of what `objective` was given.
            schedule: For each step the weight of the KL divergence and Adam's step size, float64, shape
                (steps, 2).
            parameters: The parameters with the gradients of `objective`: see `order_layout`.
            settings: Adam's beta1, beta2 and epsilon.

        Returns:
            What was found in each step: see `order_layout`. Before a step whose loss is not finite, or
            with a label that is no class, it ends.
        """
        steps, order, team = len(schedule), self._order.copy(), get_team()
        found = numpy.zeros((steps, len(self._found)))
        order[[orders.KIND, orders.STEPS]] = orders.SEVERAL_STEPS, steps
        order[[orders.WANTS_INPUTS, orders.MEETING]] = 0
        order[orders.PARAMETER_ROWS] = len(parameters)
        for field, array in (
            (orders.EXAMPLES, batches.examples),
            (orders.ALL_LABELS, batches.t),
            (orders.CHOSEN, batches.numbers),
            (orders.ALL_LOGITS, batches.logits),
            (orders.MEAN, batches.mean),
            (orders.KEYS, batches.keys),
            (orders.SCHEDULE, schedule),
            (orders.PARAMETERS, parameters),
            (orders.FOUND, found),
        ):
            order[field] = 0 if array is None else get_address(array)
        numbers = *settings, batches.scale, *settings_of(self.lesson)
        threads = self._trials_of_steps.choose(min(team.worth(self._work), self._threads))
        start = time.perf_counter()
        team.carry_out(order, numbers, self.x, threads)
        self._trials_of_steps.note((time.perf_counter() - start) / steps)
        return found[: int(found[:, orders.IS_DONE].sum())]

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
        room = numpy.empty(self._length, self.x.dtype)
        start, gradients = get_address(room), []
        for row, field, first, last, shape in self._places:
            self._table[row, field] = start + first * room.itemsize
            gradients.append(room[first:last].reshape(shape))
        g_x = None
        if wants_x:
            g_x = numpy.empty_like(self.x)
            self._table[0, at.G_INPUTS] = get_address(g_x)
        return g_x, gradients

    def _carry_out(
        self,
        kind: int,
        g_divergence: float = 0.0,
        wants_x: bool = False,
        lesson: Lesson | None = None,
    ) -> float:
        """Let threads do it; return the KL divergence."""
        order, team = self._order, get_team()
        order[orders.KIND], order[orders.WANTS_INPUTS], order[orders.MEETING] = kind, wants_x, 0
        threads = self._trials.choose(min(team.worth(self._work), self._threads))
        start = time.perf_counter()
        team.carry_out(order, (g_divergence, 0, 0, 0, *settings_of(lesson)), self.x, threads)
        self._trials.note(time.perf_counter() - start)
        return math.fsum(self._found[orders.FOUND_BEFORE :].tolist())
