"""From logits to the joint objective, and what is noted of it without waiting for the device."""

import functools
from collections.abc import Sequence
from typing import Any

import numpy
from chainer.backends import cuda

from vdprune.kernels.cuda.text import THREADS, raw_kernel

_CROSS_ENTROPY = f"""
extern "C" __global__ void cross_entropy(
    const T* y, const int* t, long long rows, long long classes, T* gradient, T* loss, T* accuracy
) {{
    __shared__ double sums[{THREADS}];
    double total = 0, right = 0, count = 0;
    for (long long row = threadIdx.x; row < rows; row += blockDim.x) {{
        const T* logits = y + row * classes;
        T* slopes = gradient + row * classes;
        long long label = t[row], best = 0;
        for (long long j = 1; j < classes; j++) if (logits[j] > logits[best]) best = j;
        T partition = 0;
        for (long long j = 0; j < classes; j++) {{
            slopes[j] = exp(logits[j] - logits[best]);
            partition += slopes[j];
        }}
        bool counts = label != -1, is_class = label >= 0 && label < classes;
        for (long long j = 0; j < classes; j++) {{
            T share = slopes[j] / partition - (j == label ? (T)1 : (T)0);
            slopes[j] = counts ? share : (T)0;
        }}
        if (counts) {{
            count += 1;
            right += label == best;
            // what is no class makes the loss, which is looked at now and then, no number
            T entropy = log(partition);
            total += is_class ? entropy - (logits[label] - logits[best]) : (T)0 / (entropy - entropy);
        }}
    }}
    total = add_up(total, sums);
    right = add_up(right, sums);
    count = add_up(count, sums);
    count = count > 1 ? count : 1;
    for (long long row = threadIdx.x; row < rows; row += blockDim.x)
        for (long long j = 0; j < classes; j++) gradient[row * classes + j] /= (T)count;
    if (threadIdx.x == 0) {{
        loss[0] = total / count;
        accuracy[0] = right / count;
    }}
}}
"""


def cross_entropy(y: Any, t: Any) -> tuple[Any, Any, Any]:
    """Compute the mean cross entropy of logits, softmax included, in one launch.

    Args:
        y: Logits, shape (rows, classes).
        t: Labels, int32, shape (rows,); -1 for one that does not count. With one that is no class
            the loss is NaN.

    Returns:
        The mean and the share of labels that are the largest logit, shape () each; and the derivative
        of the mean by y.
    """
    gradient = cuda.cupy.empty(y.shape, y.dtype)
    loss, accuracy = cuda.cupy.empty((), y.dtype), cuda.cupy.empty((), y.dtype)
    raw_kernel(_CROSS_ENTROPY, "cross_entropy", y.dtype)(
        (1,), (THREADS,), (y, t, *map(numpy.int64, y.shape), gradient, loss, accuracy)
    )
    return loss, accuracy, gradient


def joint_objective(
    class_loss: Any, divergences: Sequence[Any], kl_coef: float, num_train: int, constant: float
) -> tuple[Any, Any]:
    """Add up the joint objective, in one launch.

    Args:
        class_loss: Mean loss of a batch, shape ().
        divergences: KL divergence of each layer's weights, shape () each.
        kl_coef: Weight of the divergence.
        num_train: Number of training examples.
        constant: Divergence of weights that are not trained any more.

    Returns:
        The objective, and the divergence per training example; shape () each.
    """
    inputs, text = _write_joint_objective(len(divergences))
    loss, kl = cuda.elementwise(inputs, "T loss, T kl", text, "vdprune_joint_objective")(
        class_loss, *divergences, kl_coef, constant, float(num_train)
    )
    return loss, kl


@functools.cache
def _write_joint_objective(count: int) -> tuple[str, str]:
    """Write a kernel's inputs and text."""
    names = [f"divergence{k}" for k in range(count)]
    inputs = "class_loss", *names, "kl_coef", "constant", "num_train"
    total = " + ".join(("constant", *names))
    return (
        ", ".join(f"T {name}" for name in inputs),
        f"kl = ({total}) / num_train; loss = class_loss + kl_coef * kl;",
    )


def note_non_finite(loss: Any, number: int, first: Any) -> None:
    """Note the number of the first loss that is infinite or not a number.

    Args:
        loss: A loss, shape ().
        number: Its number, above 0.
        first: That of the first one so far, int64, shape (); 0 as long as there is none.
    """
    cuda.elementwise(
        "T loss, int64 number",
        "int64 first",
        "if (first == 0 && !isfinite(loss)) first = number",
        "vdprune_note_non_finite",
    )(loss, number, first)


def add_up(values: Sequence[Any], sums: Any) -> None:
    """Add numbers to sums.

    Args:
        values: The numbers, shape () each, of one dtype.
        sums: The sums, float64, shape (values,).
    """
    numbers = range(len(values))
    cuda.elementwise(
        ", ".join(f"T value{k}" for k in numbers),
        "raw float64 sums",
        " ".join(f"sums[{k}] += value{k};" for k in numbers),
        "vdprune_add_up",
    )(*values, sums)
