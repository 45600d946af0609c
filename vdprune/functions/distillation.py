"""Distillation: how far a network's answers are from those of its teacher."""

import math
from typing import Any

from chainer import Variable, as_array, as_variable
from chainer.backend import get_array_module

from vdprune.errors import ArgumentError
from vdprune.functions.first_order import FirstOrderFunction


class Distillation(FirstOrderFunction):
    """Both softmaxes are computed as one, which takes half the array operations."""

    def __init__(self, teacher_logits: Any, temperature: float) -> None:
        super().__init__()
        self.teacher_logits = teacher_logits
        self.temperature = temperature

    def forward(self, inputs: tuple[Any, ...]) -> tuple[Any, ...]:
        (y,) = inputs
        xp = get_array_module(y)
        log_p = xp.stack([y, self.teacher_logits])
        log_p -= log_p.max(axis=2, keepdims=True)
        log_p *= 1 / self.temperature
        p = xp.exp(log_p)
        total = p.sum(axis=2, keepdims=True)
        log_p -= xp.log(total)
        p /= total
        self.gradient = ((p[0] - p[1]) * (self.temperature / len(y))).astype(y.dtype, copy=False)
        divergence = (p[1] * (log_p[1] - log_p[0])).sum() * (self.temperature**2 / len(y))
        return (xp.asarray(divergence, y.dtype),)

    def backward_arrays(
        self, indexes: tuple[int, ...], grad_outputs: tuple[Any, ...]
    ) -> tuple[Any, ...]:
        return (self.gradient * grad_outputs[0],)


def distillation(y: Any, teacher_logits: Any, temperature: float) -> Variable:
    """Mean over the batch of T^2 * KL(softmax(teacher_logits / T) || softmax(y / T)).

    The factor T^2 keeps the gradients' size when T changes. The gradient goes through y only.

    Args:
        y: Logits, shape (batch, classes), floating point.
        teacher_logits: The teacher's for the same examples, same shape.
        temperature: T; the higher, the more the wrong classes count.

    Returns:
        The divergence in nats times T^2, shape (), dtype of y.

    Raises:
        ArgumentError: Shapes or devices differ, or the temperature is not above 0.

    Source: Hinton, Vinyals, Dean, "Distilling the knowledge in a neural network", 2015, section 2.
    """
    y, teacher_logits = as_variable(y), as_array(teacher_logits)
    if not (math.isfinite(temperature) and temperature > 0):
        raise ArgumentError(f"temperature is {temperature}: it must be a finite number above 0")
    if y.ndim != 2 or not y.size or y.dtype.kind != "f":
        raise ArgumentError(
            f"y is an array of {y.dtype} of shape {y.shape}: distillation takes floating point logits "
            "of shape (batch, classes), neither of them 0"
        )
    if teacher_logits.shape != y.shape:
        raise ArgumentError(
            f"teacher_logits have shape {teacher_logits.shape}, y {y.shape}: they must be the same, so "
            "take a teacher with as many classes, and its logits for this batch"
        )
    if get_array_module(teacher_logits) is not get_array_module(y.array):
        raise ArgumentError(
            "y and teacher_logits are on different devices: send both to one, as in "
            "device.send(teacher_logits)"
        )
    (divergence,) = Distillation(teacher_logits, temperature).apply((y,))
    return divergence
