"""What a step of a network that is run forward does to each of its numbers in the end."""

from typing import Any

import numpy

from vdprune.kernels.compiled import compiled
from vdprune.kernels.inference_layout import (
    ACTIVATION,
    CLIPPED_RELU,
    ELU,
    LEAKY_RELU,
    PARAMETER,
    RELU,
    SIGMOID,
    TANH,
)

# See vdprune/kernels/cpu.py.
_TAKEN_FROM_ELSEWHERE = "980aa9ef4c5f5a95"

__all__ = ["activate"]


@compiled
def activate(step: Any, floats: Any, y: Any) -> None:
    """Apply a step's activation in place.

    Args:
        step: The step's row.
        floats: Where what the activation needs beside the number is, as a slope.
        y: Numbers, one-dimensional.
    """
    activation, parameter = step[ACTIVATION], floats[step[PARAMETER]]
    if activation == RELU:
        for i in range(y.size):
            y[i] = max(y[i], y.dtype.type(0))
    elif activation == LEAKY_RELU:
        for i in range(y.size):
            y[i] = y[i] if y[i] >= 0 else y[i] * parameter
    elif activation == CLIPPED_RELU:
        for i in range(y.size):
            y[i] = min(max(y[i], y.dtype.type(0)), parameter)
    elif activation == ELU:
        for i in range(y.size):
            y[i] = y[i] if y[i] >= 0 else parameter * numpy.expm1(y[i])
    elif activation == SIGMOID:
        for i in range(y.size):
            y[i] = numpy.tanh(y[i] * y.dtype.type(0.5)) * y.dtype.type(0.5) + y.dtype.type(0.5)
    elif activation == TANH:
        for i in range(y.size):
            y[i] = numpy.tanh(y[i])
