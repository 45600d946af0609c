"""What training minimises: the data's loss and the weights' divergence."""

from collections.abc import Sequence
from typing import Any

import numpy
from chainer import Variable
from chainer.backend import get_array_module

from vdprune import kernels
from vdprune.functions.choice import choose_fused
from vdprune.functions.first_order import FirstOrderFunction

_MOST_INPUTS = 200  # a kernel's arguments have to fit into 4096 bytes


class JointObjective(FirstOrderFunction):
    """class_loss + kl_coef * (sum of the divergences) / num_train, and the quotient alone."""

    def __init__(self, kl_coef: float, num_train: int, constant: float) -> None:
        super().__init__()
        self.constant = constant
        self.kl_coef = kl_coef
        self.num_train = num_train

    def forward(self, inputs: tuple[Any, ...]) -> tuple[Any, ...]:
        class_loss, *divergences = inputs
        on_gpu = not isinstance(class_loss, numpy.ndarray)
        if on_gpu and choose_fused(*inputs) == "cuda" and len(inputs) <= _MOST_INPUTS:
            return kernels.cuda.joint_objective(
                class_loss, divergences, self.kl_coef, self.num_train, self.constant
            )
        asarray = get_array_module(class_loss).asarray if on_gpu else numpy.asarray
        kl = sum(divergences, self.constant) / self.num_train
        dtype = class_loss.dtype
        return asarray(class_loss + self.kl_coef * kl, dtype), asarray(kl, dtype)

    def backward_arrays(
        self, indexes: tuple[int, ...], grad_outputs: tuple[Any, ...]
    ) -> tuple[Any, ...]:
        g_loss, g_kl = grad_outputs
        parts = [
            g * (weight / self.num_train)
            for g, weight in ((g_loss, self.kl_coef), (g_kl, 1.0))
            if g is not None
        ]
        g_divergence = sum(parts[1:], start=parts[0])
        present = g_kl if g_loss is None else g_loss
        g_divergence = get_array_module(present).asarray(g_divergence, present.dtype)
        return tuple(g_divergence if index else g_loss for index in indexes)


def joint_objective(
    class_loss: Any,
    divergences: Sequence[Any],
    kl_coef: float,
    num_train: int,
    constant: float = 0.0,
) -> tuple[Variable, Variable]:
    """Add the KL divergence per training example to the loss of the data.

    Args:
        class_loss: Mean loss of a batch, shape ().
        divergences: KL divergence of each layer's weights, shape () each, in nats.
        kl_coef: Weight of the divergence.
        num_train: Number of training examples.
        constant: Divergence of weights that are not trained any more.

    Returns:
        class_loss + kl_coef * (sum(divergences) + constant) / num_train, and the divergence per
        training example alone; both of shape ().

    Source: Molchanov et al., ICML 2017, equations 3 and 4, divided by the number of examples.
    """
    loss, kl = JointObjective(kl_coef, num_train, constant).apply((class_loss, *divergences))
    return loss, kl
