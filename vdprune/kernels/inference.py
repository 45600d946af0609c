"""A pruned network run forward, all of its steps in one call.

Values lie features first, examples last: a value of shape (channels, height, width) is an array
(channels, height, width, examples). So what a weight multiplies is a run of neighbouring numbers,
flattening costs nothing, and the largest of a window is found for all examples at once. All values lie
in one array, the arena, each at a place, counted in numbers of one example, that is known beforehand.

A step is a row of numbers: see `vdprune.runtime.steps`, which writes them.

Source of the sparse convolution: Park et al., "Faster CNNs with Direct Sparse Convolutions and Guided
Pruning", ICLR 2017, section 2.1, with examples next to each other where theirs are one at a time.
"""

import math
from typing import Any

import numpy
from numpy import uintp

from vdprune.kernels.compiled import compiled
from vdprune.kernels.sparse_convolution import add, add_four

# See vdprune/kernels/cpu.py.
_TAKEN_FROM_ELSEWHERE = "d8a45391afb3f040"

__all__ = ["read", "run"]

# What a step does.
LINEAR_SPARSE, LINEAR_DENSE, CONVOLUTION_SPARSE, CONVOLUTION_DENSE = 0, 1, 2, 3
MAX_POOLING, AVERAGE_POOLING, COPY, ADD, AFFINE, SOFTMAX, PAD = 4, 5, 6, 7, 8, 9, 10

# What it then does to each number.
NOTHING, RELU, LEAKY_RELU, CLIPPED_RELU, ELU, SIGMOID, TANH = 0, 1, 2, 3, 4, 5, 6

# Where in a step's row which number is.
KIND, ACTIVATION, SOURCE, TARGET = 0, 1, 2, 3
IN_CHANNELS, IN_HEIGHT, IN_WIDTH, OUT_CHANNELS, OUT_HEIGHT, OUT_WIDTH = 4, 5, 6, 7, 8, 9
KERNEL_Y, KERNEL_X, STRIDE_Y, STRIDE_X, PAD_Y, PAD_X, DILATE_Y, DILATE_X = (
    10,
    11,
    12,
    13,
    14,
    15,
    16,
    17,
)
WEIGHTS, BIASES, STARTS, PLACES, SCRATCH, ROWS = 18, 19, 20, 21, 22, 23
LENGTH = 24  # of a row

_MOST_FLOAT = numpy.float32(numpy.inf)


@compiled
def read(x: Any, pixels: Any, scales: Any, shifts: Any, arena: Any) -> None:
    """Put examples at the beginning of the arena.

    Args:
        x: Examples, shape (examples, features), contiguous, any numeric dtype.
        pixels: Which features the network reads, int64.
        scales: What each of them is multiplied by.
        shifts: What is then added to it.
        arena: Where `run` finds them.
    """
    n = x.shape[0]
    for i in range(pixels.size):
        row, pixel = arena[i * n : (i + 1) * n], pixels[i]
        scale, shift = scales[i], shifts[i]
        for k in range(n):
            row[k] = numpy.float32(x[k, pixel]) * scale + shift


@compiled
def run(
    steps: Any, parameters: Any, numbers: Any, floats: Any, arena: Any, last: int, result: Any
) -> None:
    """Run a network on the examples that `read` put into the arena.

    Args:
        steps: Its steps, shape (steps, LENGTH), int64.
        parameters: What activations need beside the number, as a slope; shape (steps,), float32.
        numbers: Indices of weights, int32.
        floats: Weights and biases, float32.
        arena: Room for all values of so many examples.
        last: Where the network's result is in it.
        result: Results, shape (examples, outputs).
    """
    n = result.shape[0]
    for number in range(steps.shape[0]):
        _step(steps[number], parameters[number], numbers, floats, arena, n)
    for i in range(result.shape[1]):
        for k in range(n):
            result[k, i] = arena[(last + i) * n + k]


@compiled
def _step(step: Any, parameter: Any, numbers: Any, floats: Any, arena: Any, n: int) -> None:
    kind = step[KIND]
    inputs = step[IN_CHANNELS] * step[IN_HEIGHT] * step[IN_WIDTH]
    outputs = step[OUT_CHANNELS] * step[OUT_HEIGHT] * step[OUT_WIDTH]
    x = arena[step[SOURCE] * n : (step[SOURCE] + inputs) * n]
    y = arena[step[TARGET] * n : (step[TARGET] + outputs) * n]
    scratch = arena[step[SCRATCH] * n :]
    if kind == LINEAR_SPARSE:
        _linear_sparse(step, parameter, numbers, floats, x, y, n)
    elif kind == LINEAR_DENSE:
        _linear_dense(step, parameter, floats, x, y, n)
    elif kind == CONVOLUTION_SPARSE:
        _convolution_sparse(step, parameter, numbers, floats, x, y, scratch, n)
    elif kind == CONVOLUTION_DENSE:
        _convolution_dense(step, parameter, floats, x, y, scratch, n)
    elif kind == MAX_POOLING:
        _max_pooling(step, parameter, x, y, n)
    elif kind == AVERAGE_POOLING:
        _average_pooling(step, parameter, x, y, n)
    elif kind == COPY:
        y[:] = x
        _activate(y, step[ACTIVATION], parameter)
    elif kind == ADD:
        for i in range(y.size):
            y[i] += x[i]
        _activate(y, step[ACTIVATION], parameter)
    elif kind == AFFINE:
        _affine(step, parameter, floats, x, y, n)
    elif kind == SOFTMAX:
        _softmax(x, y, n)
    else:
        _pad(step, x, y, n)


@compiled
def _activate(y: Any, activation: int, parameter: Any) -> None:
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


@compiled
def _linear_sparse(
    step: Any, parameter: Any, numbers: Any, floats: Any, x: Any, y: Any, n: int
) -> None:
    starts, places = numbers[step[STARTS] :], numbers[step[PLACES] :]
    weights, biases = floats[step[WEIGHTS] :], floats[step[BIASES] :]
    for i in range(step[OUT_CHANNELS]):
        begin, end = starts[i], starts[i + 1]
        if n == 1:
            total = biases[i]
            for k in range(begin, end):
                total += weights[k] * x[uintp(places[k])]
            y[i] = total
        else:
            row = y[i * n : (i + 1) * n]
            row[:] = biases[i]
            _add_rows(weights, places, begin, end, x, 0, n, row)
    _activate(y, step[ACTIVATION], parameter)


@compiled
def _add_rows(
    weights: Any, places: Any, begin: int, end: int, x: Any, shift: int, n: int, row: Any
) -> None:
    """Add to a row the runs of x that begin at places, each times its weight."""
    k = begin
    while k + 4 <= end:
        where = (
            uintp((places[k] + shift) * n),
            uintp((places[k + 1] + shift) * n),
            uintp((places[k + 2] + shift) * n),
            uintp((places[k + 3] + shift) * n),
        )
        add_four(weights[k : k + 4], x, where, row)
        k += 4
    while k < end:
        add(weights[k], x, uintp((places[k] + shift) * n), row)
        k += 1


@compiled
def _linear_dense(step: Any, parameter: Any, floats: Any, x: Any, y: Any, n: int) -> None:
    outputs, inputs = step[OUT_CHANNELS], step[IN_CHANNELS]
    biases = floats[step[BIASES] :]
    weights = floats[step[WEIGHTS] : step[WEIGHTS] + outputs * inputs].reshape(outputs, inputs)
    if n == 1:  # a library's product would wake its threads
        for i in range(outputs):
            row, total = weights[i], biases[i]
            for k in range(inputs):
                total += row[k] * x[k]
            y[i] = total
    else:
        product = y.reshape(outputs, n)
        numpy.dot(weights, x.reshape(inputs, n), product)
        for i in range(outputs):
            product[i] += biases[i]
    _activate(y, step[ACTIVATION], parameter)


@compiled
def _convolution_sparse(
    step: Any, parameter: Any, numbers: Any, floats: Any, x: Any, y: Any, scratch: Any, n: int
) -> None:
    """Add up shifted images, one for each weight; images have their padding already."""
    starts, places = numbers[step[STARTS] :], numbers[step[PLACES] :]
    weights, biases = floats[step[WEIGHTS] :], floats[step[BIASES] :]
    height, width = step[OUT_HEIGHT], step[OUT_WIDTH]
    if step[STRIDE_Y] == step[STRIDE_X] == 1:
        # some rows at once, as long as those of the images: what is between their ends is worth nothing
        long = step[IN_WIDTH]
        for i in range(step[OUT_CHANNELS]):
            for top in range(0, height, step[ROWS]):
                rows = min(step[ROWS], height - top)
                sums = scratch[: ((rows - 1) * long + width) * n]
                sums[:] = biases[i]
                _add_rows(weights, places, starts[i], starts[i + 1], x, top * long, n, sums)
                _activate(sums, step[ACTIVATION], parameter)
                for row in range(rows):
                    base = (i * height + top + row) * width * n
                    begin = row * long * n
                    y[base : base + width * n] = sums[begin : begin + width * n]
        return
    for i in range(step[OUT_CHANNELS]):
        for top in range(height):
            base = (i * height + top) * width * n
            row = y[base : base + width * n]
            row[:] = biases[i]
            line = top * step[STRIDE_Y] * step[IN_WIDTH]
            for left in range(width):
                part = row[left * n : (left + 1) * n]
                shift = line + left * step[STRIDE_X]
                _add_rows(weights, places, starts[i], starts[i + 1], x, shift, n, part)
            _activate(row, step[ACTIVATION], parameter)


@compiled
def _convolution_dense(
    step: Any, parameter: Any, floats: Any, x: Any, y: Any, scratch: Any, n: int
) -> None:
    """Unfold some rows of images, which have their padding already, and multiply them."""
    channels, height, width = step[IN_CHANNELS], step[IN_HEIGHT], step[IN_WIDTH]
    filters, out_height, out_width = step[OUT_CHANNELS], step[OUT_HEIGHT], step[OUT_WIDTH]
    kernel_y, kernel_x = step[KERNEL_Y], step[KERNEL_X]
    count = channels * kernel_y * kernel_x
    weights = floats[step[WEIGHTS] : step[WEIGHTS] + filters * count].reshape(filters, count)
    biases = floats[step[BIASES] :]
    for top in range(0, out_height, step[ROWS]):
        rows = min(step[ROWS], out_height - top)
        length = rows * out_width * n
        columns = scratch[: count * length].reshape(count, length)
        product = scratch[count * length : (count + filters) * length].reshape(filters, length)
        k = 0
        for c in range(channels):
            for i in range(kernel_y):
                for j in range(kernel_x):
                    for row in range(rows):
                        line = (top + row) * step[STRIDE_Y] + i * step[DILATE_Y]
                        place = (c * height + line) * width + j * step[DILATE_X]
                        target = columns[k, row * out_width * n : (row + 1) * out_width * n]
                        for left in range(out_width):
                            begin = uintp((place + left * step[STRIDE_X]) * n)
                            for e in range(uintp(n)):
                                target[uintp(left * n) + e] = x[begin + e]
                    k += 1
        numpy.dot(weights, columns, product)
        for f in range(filters):
            begin = (f * out_height + top) * out_width * n
            part = y[begin : begin + length]
            part[:] = product[f] + biases[f]
            _activate(part, step[ACTIVATION], parameter)


@compiled
def _max_pooling(step: Any, parameter: Any, x: Any, y: Any, n: int) -> None:
    is_pair = (
        step[KERNEL_Y] == step[KERNEL_X] == 2
        and step[PAD_Y] == step[PAD_X] == 0
        and (step[OUT_HEIGHT] - 1) * step[STRIDE_Y] + 2 <= step[IN_HEIGHT]
        and (step[OUT_WIDTH] - 1) * step[STRIDE_X] + 2 <= step[IN_WIDTH]
    )
    for c in range(step[OUT_CHANNELS]):
        for top in range(step[OUT_HEIGHT]):
            line = (c * step[OUT_HEIGHT] + top) * step[OUT_WIDTH] * n
            out = y[line : line + step[OUT_WIDTH] * n]
            if is_pair:
                first = (c * step[IN_HEIGHT] + top * step[STRIDE_Y]) * step[IN_WIDTH]
                _most_of_four(x, first, step[IN_WIDTH], step[STRIDE_X], n, out)
            else:
                _most_of_windows(step, x, c, top, n, out)
    _activate(y, step[ACTIVATION], parameter)


@compiled
def _most_of_four(x: Any, first: int, width: int, stride: int, n: int, out: Any) -> None:
    """Find the largest pixels of windows of 2x2, the first of which begins at a pixel."""
    a, c = uintp(first * n), uintp((first + width) * n)
    if n == 1:
        step = uintp(stride)
        for i in range(uintp(out.size)):
            k = i * step
            above = _larger(x[a + k], x[a + k + uintp(1)])
            out[i] = _larger(above, _larger(x[c + k], x[c + k + uintp(1)]))
        return
    b, d, step = a + uintp(n), c + uintp(n), uintp(stride * n)
    for left in range(uintp(out.size // n)):
        k = left * step
        base = left * uintp(n)
        for e in range(uintp(n)):
            above = _larger(x[a + k + e], x[b + k + e])
            out[base + e] = _larger(above, _larger(x[c + k + e], x[d + k + e]))


@compiled
def _most_of_windows(step: Any, x: Any, c: int, top: int, n: int, out: Any) -> None:
    """Find the largest pixels of a row of windows, some of which may reach beyond the image."""
    height, width = step[IN_HEIGHT], step[IN_WIDTH]
    first = top * step[STRIDE_Y] - step[PAD_Y]
    out[:] = -_MOST_FLOAT
    for left in range(step[OUT_WIDTH]):
        second, base = left * step[STRIDE_X] - step[PAD_X], uintp(left * n)
        for i in range(max(first, 0), min(first + step[KERNEL_Y], height)):
            for j in range(max(second, 0), min(second + step[KERNEL_X], width)):
                begin = uintp(((c * height + i) * width + j) * n)
                for e in range(uintp(n)):
                    out[base + e] = _larger(out[base + e], x[begin + e])


@compiled
def _larger(a: Any, b: Any) -> Any:
    """The larger of two numbers; NaN is larger than any, as for NumPy."""
    return a if (a > b) | (a != a) else b


@compiled
def _average_pooling(step: Any, parameter: Any, x: Any, y: Any, n: int) -> None:
    height, width = step[IN_HEIGHT], step[IN_WIDTH]
    share = x.dtype.type(1 / (step[KERNEL_Y] * step[KERNEL_X]))
    y[:] = 0
    base = uintp(0)
    for c in range(step[OUT_CHANNELS]):
        for top in range(step[OUT_HEIGHT]):
            first = top * step[STRIDE_Y] - step[PAD_Y]
            for left in range(step[OUT_WIDTH]):
                second = left * step[STRIDE_X] - step[PAD_X]
                for i in range(max(first, 0), min(first + step[KERNEL_Y], height)):
                    for j in range(max(second, 0), min(second + step[KERNEL_X], width)):
                        begin = uintp(((c * height + i) * width + j) * n)
                        for e in range(uintp(n)):
                            y[base + e] += x[begin + e] * share
                base += uintp(n)
    _activate(y, step[ACTIVATION], parameter)


@compiled
def _affine(step: Any, parameter: Any, floats: Any, x: Any, y: Any, n: int) -> None:
    length = step[IN_HEIGHT] * step[IN_WIDTH] * n
    for c in range(step[IN_CHANNELS]):
        scale, shift = floats[step[WEIGHTS] + c], floats[step[BIASES] + c]
        for i in range(c * length, (c + 1) * length):
            y[i] = x[i] * scale + shift
    _activate(y, step[ACTIVATION], parameter)


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
    height, width = step[IN_HEIGHT], step[IN_WIDTH]
    y[:] = 0
    for c in range(step[IN_CHANNELS]):
        for i in range(height):
            begin = (c * step[OUT_HEIGHT] + i + step[PAD_Y]) * step[OUT_WIDTH] + step[PAD_X]
            row = (c * height + i) * width
            y[begin * n : (begin + width) * n] = x[row * n : (row + width) * n]
