"""The objective of a network that ends in linear layers, with its gradients, at once."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy
from chainer import Variable, as_array

from vdprune.chainer_speed.postponed import Promise
from vdprune.functions.first_order import FirstOrderFunction
from vdprune.functions.linear_layers import LinearLayer, LinearLayers
from vdprune.functions.postponed_linear import PostponedLinear, PostponedRelu


class LinearObjective(FirstOrderFunction):
    """From inputs and parameters of linear layers, and other layers' divergences, to the objective.

    The gradients are computed on the way.

    Args:
        layers: The layers.
        t: Labels, int32, shape (batch,).
        kl_coef: As for `vdprune.functions.joint_objective`.
        num_train: Likewise.
        constant: Likewise.
        wants_x: Whether the gradient of the first layer's inputs is wanted.
    """

    def __init__(
        self,
        layers: Sequence[LinearLayer],
        t: Any,
        kl_coef: float,
        num_train: int,
        constant: float,
        wants_x: bool,
    ) -> None:
        super().__init__()
        self._layers, self._t, self._constant = layers, t, constant
        self._kl_coef, self._num_train, self._wants_x = kl_coef, num_train, wants_x
        self._gradients: list[Any] | None = None

    def forward(self, inputs: tuple[Any, ...]) -> tuple[Any, ...]:
        self._x = numpy.require(inputs[0], requirements="CW")
        divergence = self._compute()
        others = inputs[1 + sum(2 + (layer.b is not None) for layer in self._layers) :]
        self._others = len(others)
        kl = (divergence + sum(map(float, others)) + self._constant) / self._num_train
        dtype = self._x.dtype
        self.class_loss, self.kl = numpy.asarray(self._class_loss, dtype), numpy.asarray(kl, dtype)
        self.accuracy = numpy.asarray(self.right / len(self._t), dtype)
        return (numpy.asarray(self._class_loss + self._kl_coef * kl, dtype),)

    def _compute(self) -> float:
        """Compute cross entropy and gradients; return the divergence of these layers' weights."""
        weight = self._kl_coef / self._num_train
        layers = LinearLayers(self._layers, self._x)
        self._class_loss, self.right, divergence, g_x, gradients = layers.objective(
            self._t, weight, self._wants_x
        )
        self._gradients = [g_x, *(g for found in gradients for g in found)]
        return divergence

    def backward_arrays(
        self, indexes: tuple[int, ...], grad_outputs: tuple[Any, ...]
    ) -> tuple[Any, ...]:
        if self._gradients is None:
            self._compute()
        # whoever gets them may change them
        gradients, self._gradients = self._gradients or [], None
        dtype = self._x.dtype
        weight = numpy.asarray(self._kl_coef / self._num_train, dtype)
        gradients += [weight] * self._others
        g = dtype.type(grad_outputs[0])
        return tuple([gradients[index] if g == 1 else g * gradients[index] for index in indexes])


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
    layers: Sequence[tuple[PostponedLinear, bool]],
    t: Any,
    divergences: Sequence[Any],
    kl_coef: float,
    num_train: int,
    constant: float,
) -> Objective | None:
    """Compute the joint objective of a network that ends in layers which wait.

    Args:
        layers: The layers, each with whether ReLU follows: see `find_layers`.
        t: Labels, as for `vdprune.functions.cross_entropy`.
        divergences: KL divergences of the other layers' weights, as for
            `vdprune.functions.joint_objective`, as for what follows.
        kl_coef: Weight of the divergence.
        num_train: Number of training examples.
        constant: Divergence of weights that are not trained any more.

    Returns:
        The objective; None where labels are not for this: no array of them, or not all are classes.
    """
    t = as_array(t)
    if not isinstance(t, numpy.ndarray) or t.shape != (layers[-1][0].shape[0],) or t.dtype != "i4":
        return None
    x = layers[0][0].x
    function = LinearObjective(
        [layer.layer(has_relu) for layer, has_relu in layers],
        numpy.require(t, requirements="CW"),
        kl_coef,
        num_train,
        constant,
        isinstance(x, Variable) and x.requires_grad,
    )
    parameters = [parameter for layer, _ in layers for parameter in layer.parameters]
    (loss,) = function.apply((x, *parameters, *divergences))
    if function.right < 0:
        return None
    return Objective(loss, function.class_loss, function.kl, function.accuracy)


def find_layers(promise: Promise) -> list[tuple[PostponedLinear, bool]] | None:
    """Find the layers that a promise is made by, if nobody wants to see what is between them.

    Args:
        promise: What the last one returned.

    Returns:
        The layers, first to last, and whether ReLU follows each.
    """
    found: list[tuple[PostponedLinear, bool]] = []
    current: Promise | None = promise
    has_relu, consumers = False, 0
    while current is not None:
        if not current.is_open(consumers):
            return None
        if isinstance(current, PostponedLinear):
            found.append((current, has_relu))
        has_relu, consumers = isinstance(current, PostponedRelu), 1
        current = current.source
    return None if isinstance(promise, PostponedRelu) else found[::-1]
