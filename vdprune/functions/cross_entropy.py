"""Cross entropy of logits with labels."""

from typing import Any

import chainer.functions as F
import numpy
from chainer import Variable, as_array, as_variable

from vdprune import kernels
from vdprune.functions.first_order import FirstOrderFunction
from vdprune.functions.variational_layer import is_fusable


class CrossEntropy(FirstOrderFunction):
    """Fused for the CPU: the gradient is computed on the way, and the accuracy."""

    def __init__(self, t: Any) -> None:
        super().__init__()
        self.t = t

    def forward(self, inputs: tuple[Any, ...]) -> tuple[Any, ...]:
        y = numpy.ascontiguousarray(inputs[0])
        self.gradient = numpy.empty_like(y)
        total, self.right = kernels.cpu.cross_entropy(y, self.t, self.gradient)
        return (numpy.asarray(total / len(y), y.dtype),)

    def backward_arrays(
        self, indexes: tuple[int, ...], grad_outputs: tuple[Any, ...]
    ) -> tuple[Any, ...]:
        return (self.gradient * self.gradient.dtype.type(grad_outputs[0] / len(self.gradient)),)


def cross_entropy(y: Any, t: Any) -> tuple[Variable, Any]:
    """Mean cross entropy of a batch, and its accuracy.

    Args:
        y: Logits, what ``chainer.functions.softmax_cross_entropy`` takes; of shape (batch, classes),
            float32 or float64, and on the CPU, for the fast way.
        t: Labels, int32, shape (batch,); -1 for one that does not count.

    Returns:
        The mean over the batch in nats, shape (), dtype of y; and the share of examples whose label is
        the largest logit, an array of shape ().
    """
    y, t = as_variable(y), as_array(t)
    if _fits(y.array, t):
        function = CrossEntropy(numpy.ascontiguousarray(t))
        (loss,) = function.apply((y,))
        if function.right >= 0:
            return loss, numpy.asarray(function.right / len(t), y.dtype)
    return F.softmax_cross_entropy(y, t), F.accuracy(y, t, ignore_label=-1).array


def _fits(y: Any, t: Any) -> bool:
    """Whether the fused function may have the arrays; what Chainer would refuse goes to Chainer."""
    return (
        is_fusable(y)
        and isinstance(t, numpy.ndarray)
        and y.ndim == 2
        and t.shape == y.shape[:1] != (0,)
        and t.dtype == numpy.int32
    )
