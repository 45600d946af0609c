"""How far a network's answers are from those of its teacher."""

from typing import Any

import numpy

from vdprune.kernels.compiled import compiled
from vdprune.kernels.vector_math import exp, log

# See vdprune/kernels/cpu.py.
_TAKEN_FROM_ELSEWHERE = "de0ceec880432857"

__all__ = ["distil"]


@compiled
def distil(y: Any, teacher: Any, temperature: float, share: float, gradient: Any) -> float:
    """Compute the divergence from a teacher, and let the gradient be that of labels and teacher.

    Args:
        y: Logits, shape (rows, classes).
        teacher: The teacher's, same shape.
        temperature: T, above 0.
        share: The teacher's part of the loss, 0 to 1.
        gradient: Derivative of the sum of the cross entropies by y; the result is that of
            (1 - share) * cross entropy + share * T^2 * KL(softmax(teacher / T) || softmax(y / T)).

    Returns:
        T^2 times that divergence, summed.

    Source: Hinton, Vinyals and Dean, "Distilling the knowledge in a neural network", 2015, section 2.
    """
    number, classes = y.dtype.type, y.shape[1]
    softly, rest, total = number(1 / temperature), number(1 - share), 0.0
    of_teacher = number(share * temperature)
    p, q = numpy.empty(classes, y.dtype), numpy.empty(classes, y.dtype)
    for i in range(y.shape[0]):
        # In float64, or rounding of large logits hides a small divergence: compiled, the terms of a
        # sum are taken in another order than the one that stands here.
        largest, partition = _soften(y[i], softly, p)
        teacher_largest, teacher_partition = _soften(teacher[i], softly, q)
        for j in range(classes):
            log_p = (y[i, j] - largest) * softly - partition
            log_q = (teacher[i, j] - teacher_largest) * softly - teacher_partition
            total += q[j] * (log_q - log_p)
            gradient[i, j] = rest * gradient[i, j] + of_teacher * (p[j] - q[j])
    return total * temperature * temperature


@compiled
def _soften(y: Any, softly: Any, p: Any) -> tuple[Any, Any]:
    """Compute softmax(y / T); return the largest logit and log(sum(exp((y - largest) / T)))."""
    number = y.dtype.type
    least, largest, partition = number(-87), y[0], number(0)
    for j in range(1, y.size):
        largest = max(largest, y[j])
    for j in range(y.size):
        x = (y[j] - largest) * softly
        p[j] = exp(least if x < least else x)
        partition += p[j]
    for j in range(y.size):
        p[j] /= partition
    return numpy.float64(largest), numpy.float64(log(partition))
