"""A pruned network run forward, all of its steps in one call.

Values lie features first, examples last: a value of shape (channels, height, width) is an array
(channels, height, width, examples). So what a weight multiplies is a run of neighbouring numbers,
flattening costs nothing, and the largest of a window is found for all examples at once. All values lie
in one array, the arena, each at a place, counted in numbers of one example, that is known beforehand.

What is done is written down in a program, see `vdprune.kernels.inference_layout`, which
`vdprune.runtime.steps` writes.
"""

import math
from typing import Any

import numpy
from numpy import uintp

from vdprune.kernels.compiled import compiled
from vdprune.kernels.inference_activations import activate
from vdprune.kernels.inference_layout import (
    ADD,
    AFFINE,
    AVERAGE_POOLING,
    BIASES,
    CONVOLUTION_DENSE,
    CONVOLUTION_SPARSE,
    COPY,
    EXAMPLES,
    FEATURES,
    FLOATS,
    HEADER,
    IN_CHANNELS,
    IN_HEIGHT,
    IN_WIDTH,
    KIND,
    LAST,
    LENGTH,
    LINEAR_DENSE,
    LINEAR_SLICED,
    LINEAR_SPARSE,
    MAX_POOLING,
    OUT_CHANNELS,
    OUT_HEIGHT,
    OUT_PITCH,
    OUT_WIDTH,
    PAD_X,
    PAD_Y,
    ROOM,
    SCALES,
    SCRATCH,
    SOFTMAX,
    SOURCE,
    STEPS,
    TARGET,
    WEIGHTS,
)
from vdprune.kernels.inference_pooling import average_pooling, max_pooling
from vdprune.kernels.inference_products import (
    convolution_dense,
    convolution_sparse,
    linear_dense,
    linear_sliced,
    linear_sparse,
)
from vdprune.kernels.rows import copy_rows, fill
from vdprune.kernels.turning import turn
from vdprune.kernels.vector_math import exp

# See vdprune/kernels/cpu.py.
_TAKEN_FROM_ELSEWHERE = "699c4975dcb80ff4"

__all__ = ["run", "to_probabilities"]

_LEAST = numpy.float32(-87)  # that `exp` takes: what is less is next to nothing beside 1


@compiled
def run(x: Any, program: Any, result: Any) -> None:
    """Run a network on some examples.

    Args:
        x: Examples, shape (examples, features), contiguous, float32 or uint8.
        program: The program, int32; one array of all takes less time to be handed over than two.
        result: Results, shape (examples, outputs), float32.
    """
    floats = program[program[FLOATS] :].view(numpy.float32)
    count, most = x.shape[0], program[EXAMPLES]
    arena = numpy.empty(program[ROOM] * min(count, most), numpy.float32)
    for begin in range(0, count, most):
        end = min(begin + most, count)
        _read(x[begin:end], program, floats, arena)
        _run(program, floats, arena, result[begin:end])


@compiled
def to_probabilities(y: Any) -> None:
    """Turn logits into probabilities, in place.

    Args:
        y: Logits, shape (examples, classes), float32.
    """
    for k in range(y.shape[0]):
        row = y[k]
        most, total = row[0], numpy.float32(0)
        for i in range(row.size):
            most = max(most, row[i])
        for i in range(row.size):
            row[i] = exp(max(row[i] - most, _LEAST))
            total += row[i]
        for i in range(row.size):
            row[i] /= total


@compiled
def _read(x: Any, program: Any, floats: Any, arena: Any) -> None:
    """Put examples at the beginning of the arena, scaled and shifted."""
    features = program[FEATURES]
    first = HEADER + program[STEPS] * LENGTH
    pixels = program[first : first + features]
    scales = floats[program[SCALES] : program[SCALES] + features]
    shifts = floats[program[SCALES] + features : program[SCALES] + 2 * features]
    if program[EXAMPLES] > 1:
        turn(x, pixels, scales, shifts, arena)
        return
    for i in range(uintp(features)):  # all that there are
        arena[i] = numpy.float32(x[0, i]) * scales[i] + shifts[i]


@compiled
def _run(program: Any, floats: Any, arena: Any, result: Any) -> None:
    n = result.shape[0]
    for number in range(program[STEPS]):
        first = HEADER + number * LENGTH
        _step(program[first : first + LENGTH], program, floats, arena, n)
    last = program[LAST]
    for i in range(result.shape[1]):
        for k in range(n):
            result[k, i] = arena[(last + i) * n + k]


@compiled
def _step(step: Any, program: Any, floats: Any, arena: Any, n: int) -> None:
    kind = step[KIND]
    inputs = step[IN_CHANNELS] * step[IN_HEIGHT] * step[IN_WIDTH]
    outputs = step[OUT_CHANNELS] * step[OUT_HEIGHT] * step[OUT_PITCH]
    x = arena[step[SOURCE] * n : (step[SOURCE] + inputs) * n]
    y = arena[step[TARGET] * n : (step[TARGET] + outputs) * n]
    scratch = arena[step[SCRATCH] * n :]
    if kind == LINEAR_SLICED:
        linear_sliced(step, program, floats, x, y)
    elif kind == LINEAR_SPARSE:
        linear_sparse(step, program, floats, x, y, n)
    elif kind == LINEAR_DENSE:
        linear_dense(step, floats, x, y, n)
    elif kind == CONVOLUTION_SPARSE:
        convolution_sparse(step, program, floats, x, y, scratch, n)
    elif kind == CONVOLUTION_DENSE:
        convolution_dense(step, floats, x, y, scratch, n)
    elif kind == MAX_POOLING:
        max_pooling(step, floats, x, y, n)
    elif kind == AVERAGE_POOLING:
        average_pooling(step, floats, x, y, n)
    elif kind == COPY:
        copy_rows(x, 0, 0, y, 0, 0, 1, x.size)
        activate(step, floats, y)
    elif kind == ADD:
        for i in range(y.size):
            y[i] += x[i]
        activate(step, floats, y)
    elif kind == AFFINE:
        _affine(step, floats, x, y, n)
    elif kind == SOFTMAX:
        _softmax(x, y, n)
    else:
        _pad(step, x, y, n)


@compiled
def _affine(step: Any, floats: Any, x: Any, y: Any, n: int) -> None:
    length = step[IN_HEIGHT] * step[IN_WIDTH] * n
    for c in range(step[IN_CHANNELS]):
        scale, shift = floats[step[WEIGHTS] + c], floats[step[BIASES] + c]
        for i in range(c * length, (c + 1) * length):
            y[i] = x[i] * scale + shift
    activate(step, floats, y)


@compiled
def _softmax(x: Any, y: Any, n: int) -> None:
    for k in range(n):
        most, total = x[k], x.dtype.type(0)
        for i in range(k, x.size, n):
            most = max(most, x[i])
        for i in range(k, x.size, n):
            y[i] = math.exp(x[i] - most)
            total += y[i]
        for i in range(k, x.size, n):
            y[i] /= total


@compiled
def _pad(step: Any, x: Any, y: Any, n: int) -> None:
    height, width = step[IN_HEIGHT], step[IN_WIDTH] * n
    pitch = step[OUT_WIDTH] * n
    fill(y, y.dtype.type(0))
    for c in range(step[IN_CHANNELS]):
        place = (c * step[OUT_HEIGHT] + step[PAD_Y]) * pitch + step[PAD_X] * n
        copy_rows(x, c * height * width, width, y, place, pitch, height, width)
