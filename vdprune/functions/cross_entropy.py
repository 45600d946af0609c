"""Cross entropy of logits with labels."""

from typing import Any

import chainer.functions as F
import numpy
from chainer import Variable, as_array, as_variable
from chainer.backends import cuda

from vdprune import kernels
from vdprune.errors import ArgumentError
from vdprune.functions.choice import Fused, choose_fused
from vdprune.functions.first_order import FirstOrderFunction

_MOST_LOGITS = 2**16  # that one block of a GPU goes through; Chainer's kernels use all of it


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


class CudaCrossEntropy(FirstOrderFunction):
    """Fused for GPUs; labels that do not count are left out here."""

    def __init__(self, t: Any) -> None:
        super().__init__()
        self.t = t

    def forward(self, inputs: tuple[Any, ...]) -> tuple[Any, ...]:
        y = cuda.cupy.ascontiguousarray(inputs[0])
        loss, self.accuracy, self.gradient = kernels.cuda.cross_entropy(y, self.t)
        return (loss,)

    def backward_arrays(
        self, indexes: tuple[int, ...], grad_outputs: tuple[Any, ...]
    ) -> tuple[Any, ...]:
        return (self.gradient * grad_outputs[0],)


def cross_entropy(y: Any, t: Any) -> tuple[Variable, Any]:
    """Mean cross entropy of a batch, and its accuracy.

    Args:
        y: Logits, what ``chainer.functions.softmax_cross_entropy`` takes; of shape (batch, classes)
            and float32 or float64 for the fast way.
        t: Labels, int32, shape (batch,); -1 for one that does not count. On a GPU a label that is no
            class makes the loss NaN, where there are at most 65,536 logits.

    Returns:
        The mean over the batch in nats, shape (), dtype of y; and the share of examples whose label is
        the largest logit, an array of shape ().

    Raises:
        ArgumentError: The logits have one axis; the labels have another shape or are no whole numbers;
            or, on the CPU, one is no class.
    """
    y, t = as_variable(y), as_array(t)
    fused = _choose(y.array, t)
    if fused == "cuda":
        on_gpu = CudaCrossEntropy(cuda.cupy.ascontiguousarray(t))
        (loss,) = on_gpu.apply((y,))
        return loss, on_gpu.accuracy
    if fused == "cpu":
        function = CrossEntropy(numpy.ascontiguousarray(t))
        (loss,) = function.apply((y,))
        if function.right >= 0:
            return loss, numpy.asarray(function.right / len(t), y.dtype)
    _check_labels(y.array, t)
    return F.softmax_cross_entropy(y, t), F.accuracy(y, t, ignore_label=-1).array


def _check_labels(y: Any, t: Any) -> None:
    """Refuse what Chainer would refuse in words that say nothing of labels."""
    if y.ndim < 2:
        raise ArgumentError(f"the logits have shape {y.shape}: they must have (batch, classes)")
    shape = y.shape[:1] + y.shape[2:]
    if t.shape != shape or t.dtype.kind != "i":
        raise ArgumentError(
            f"the labels are {t.dtype} of shape {t.shape}, the logits have shape {y.shape}: give labels "
            f"as int32, of shape {shape}"
        )
    if isinstance(t, numpy.ndarray) and t.size and not -1 <= t.min() <= t.max() < y.shape[1]:
        wrong = t.max() if t.max() >= y.shape[1] else t.min()
        raise ArgumentError(
            f"there is a label {wrong}, the logits are of {y.shape[1]} classes: labels go from 0 to "
            f"{y.shape[1] - 1}, and -1 is one that does not count"
        )


def _choose(y: Any, t: Any) -> Fused | None:
    """Choose a fused function; what Chainer would refuse goes to Chainer."""
    fits = y.ndim == 2 and y.size and t.shape == y.shape[:1] and t.dtype == numpy.int32
    fused = choose_fused(y) if fits else None
    if fused == "cuda" and y.size > _MOST_LOGITS:
        return None
    return fused if isinstance(t, numpy.ndarray) == (fused == "cpu") else None
