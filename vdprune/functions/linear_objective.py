"""The objective of a network that ends in linear layers, with its gradients, at once."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy
from chainer import Variable, as_array

from vdprune.chainer_speed.postponed import Promise
from vdprune.functions.first_order import FirstOrderFunction
from vdprune.functions.last_step import LayersOfLastStep
from vdprune.functions.linear_inputs import Lesson
from vdprune.functions.linear_plan import LinearLayer
from vdprune.functions.postponed_linear import PostponedLinear, PostponedRelu


class LinearObjective(FirstOrderFunction):
    """From inputs and parameters of linear layers, and other layers' divergences, to the objective.

    The gradients are computed on the way.

    Args:
        layers: The layers.
        t: Labels, int32, shape (batch,), contiguous.
        kl_coef: As for `vdprune.functions.joint_objective`.
        num_train: Likewise.
        constant: Likewise.
        wants_x: Whether the gradient of the first layer's inputs is wanted.
        last_step: Where `LinearLayers` are kept.
        lesson: What a teacher says; None without one.
    """

    def __init__(
        self,
        layers: Sequence[LinearLayer],
        t: Any,
        kl_coef: float,
        num_train: int,
        constant: float,
        wants_x: bool,
        last_step: LayersOfLastStep,
        lesson: Lesson | None = None,
    ) -> None:
        super().__init__()
        self._layers, self._t, self._constant = layers, t, constant
        self._kl_coef, self._num_train, self.wants_x = kl_coef, num_train, wants_x
        self._last_step, self._lesson = last_step, lesson
        self._gradients: list[Any] | None = None

    def forward(self, inputs: tuple[Any, ...]) -> tuple[Any, ...]:
        x = inputs[0]
        self._x = x if x.flags.carray else numpy.array(x, order="C")
        divergence = self._compute()
        others = inputs[1 + sum([len(layer.arrays()) for layer in self._layers]) :]
        self._others = len(others)
        kl = (sum(map(float, others), divergence) + self._constant) / self._num_train
        dtype = x.dtype
        self.class_loss, self.kl = numpy.asarray(self._class_loss, dtype), numpy.asarray(kl, dtype)
        self.accuracy = numpy.asarray(self.right / len(self._t), dtype)
        loss = mixed_loss(self._class_loss, self._from_teacher, self._lesson) + self._kl_coef * kl
        return (numpy.asarray(loss, dtype),)

    def _compute(self) -> float:
        """Compute cross entropy and gradients; return the divergence of these layers' weights."""
        layers = self._last_step.take(self._layers, self._x)
        found = layers.objective(
            self._t, self._kl_coef / self._num_train, self.wants_x, self._lesson
        )
        self._class_loss, self._from_teacher, self.right, divergence, g_x, gradients = found
        self._last_step.put(layers)
        self.computed_by = layers
        self._gradients = [g_x, *gradients]
        return divergence

    def backward_arrays(
        self, indexes: tuple[int, ...], grad_outputs: tuple[Any, ...]
    ) -> tuple[Any, ...]:
        if self._gradients is None:
            self._compute()
        # whoever gets them may change them
        gradients, self._gradients = self._gradients or [], None
        weight = numpy.asarray(self._kl_coef / self._num_train, self._x.dtype)
        gradients += [weight] * self._others
        g = self._x.dtype.type(grad_outputs[0])
        if g == 1:
            return tuple([gradients[index] for index in indexes])
        return tuple([g * gradients[index] for index in indexes])


@dataclass(frozen=True)
class Objective:
    """What was found.

    Args:
        loss: class_loss + kl_coef * kl, a Variable of shape ().
        class_loss: Mean cross entropy.
        kl: KL divergence per training example.
        accuracy: Share of examples whose label is the largest logit.
    """

    loss: Variable
    class_loss: Any
    kl: Any
    accuracy: Any


def linear_objective(
    layers: Sequence[PostponedLinear],
    t: Any,
    divergences: Sequence[Any],
    kl_coef: float,
    num_train: int,
    constant: float,
    last_step: LayersOfLastStep,
    lesson: Lesson | None = None,
) -> Objective | None:
    """Compute the joint objective of a network that ends in layers which wait.

    Args:
        layers: The layers: see `find_layers`.
        t: Labels, as for `vdprune.functions.cross_entropy`.
        divergences: KL divergences of the other layers' weights, as for
            `vdprune.functions.joint_objective`, as for what follows.
        kl_coef: Weight of the divergence.
        num_train: Number of training examples.
        constant: Divergence of weights that are not trained any more.
        last_step: Where the network keeps what serves it again.
        lesson: What a teacher says of the batch; None without one.

    Returns:
        The objective; None where labels or a teacher's logits are not for this: no arrays of one for
        each example, or not all labels are classes.
    """
    t, x = as_array(t), layers[0].x
    if not isinstance(t, numpy.ndarray) or t.shape != layers[-1].shape[:1] or t.dtype != "i4":
        return None
    if lesson is not None and not _fits(lesson, layers[-1]):
        return None
    function = LinearObjective(
        [layer.layer for layer in layers],
        t if t.flags.carray else numpy.array(t, order="C"),
        kl_coef,
        num_train,
        constant,
        isinstance(x, Variable) and x.requires_grad,
        last_step,
        lesson,
    )
    parameters = [parameter for layer in layers for parameter in layer.parameters]
    (loss,) = function.apply((x, *parameters, *divergences))
    if function.right < 0:
        return None
    if not divergences and not function.wants_x:
        last_step.whole_network = function.computed_by
    return Objective(loss, function.class_loss, function.kl, function.accuracy)


def mixed_loss(class_loss: Any, from_teacher: Any, lesson: Lesson | None) -> Any:
    """Mix the loss of the labels with the divergence from a teacher, if there is one.

    Args:
        class_loss: Mean cross entropy.
        from_teacher: Mean of T^2 times the divergence.
        lesson: What the teacher said.

    Returns:
        The loss of the data.
    """
    if lesson is None:
        return class_loss
    return (1 - lesson.weight) * class_loss + lesson.weight * from_teacher


def _fits(lesson: Lesson, last: PostponedLinear) -> bool:
    logits = lesson.logits
    return (
        0 < lesson.temperature < math.inf
        and type(logits) is numpy.ndarray
        and logits.shape == last.shape
        and logits.dtype == last.dtype
        and logits.flags.c_contiguous
    )


def find_layers(promise: Promise) -> list[PostponedLinear] | None:
    """Find the layers that a promise is made by, if nobody wants to see what is between them.

    Args:
        promise: What the last one returned.

    Returns:
        The layers, first to last; None where somebody has it, or may have it, computed by itself.
    """
    found: list[PostponedLinear] = []
    current: Promise | None = promise
    if isinstance(promise, PostponedRelu):
        return None
    has_relu = False
    while current is not None:
        if not current.is_open(current is not promise):
            return None
        if isinstance(current, PostponedLinear):
            current.layer.has_relu = has_relu
            found.append(current)
        has_relu = isinstance(current, PostponedRelu)
        current = current.source
    return found[::-1]
