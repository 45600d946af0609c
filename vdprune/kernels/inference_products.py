"""Steps of a network that is run forward which multiply: linear layers and convolutions.

All take the step's row, the program's integers, its floats, the part of the arena with the step's input,
that for its result, and the number of examples: see `vdprune.kernels.inference`.

Source of the sparse convolution: Park et al., "Faster CNNs with Direct Sparse Convolutions and Guided
Pruning", ICLR 2017, section 2.1, with examples next to each other where theirs are one at a time.
"""

from typing import Any

import numpy
from numpy import uintp

from vdprune.kernels.compiled import compiled
from vdprune.kernels.inference_activations import activate
from vdprune.kernels.inference_layout import (
    BIASES,
    DILATE_X,
    DILATE_Y,
    IN_CHANNELS,
    IN_HEIGHT,
    IN_WIDTH,
    KERNEL_X,
    KERNEL_Y,
    OUT_CHANNELS,
    OUT_HEIGHT,
    OUT_PITCH,
    OUT_WIDTH,
    PLACES,
    ROWS,
    SLICE,
    STARTS,
    STRIDE_X,
    STRIDE_Y,
    WEIGHTS,
)
from vdprune.kernels.rows import copy_rows
from vdprune.kernels.weighted_sums import weighted_sum

# See vdprune/kernels/cpu.py.
_TAKEN_FROM_ELSEWHERE = "85c12605dfde119e"

__all__ = [
    "convolution_dense",
    "convolution_sparse",
    "linear_dense",
    "linear_sliced",
    "linear_sparse",
]


@compiled
def linear_sparse(step: Any, program: Any, floats: Any, x: Any, y: Any, n: int) -> None:
    """Add up for each output the inputs that have a weight."""
    starts, places = program[step[STARTS] :], program[step[PLACES] :]
    weights, biases = floats[step[WEIGHTS] :], floats[step[BIASES] :]
    for i in range(step[OUT_CHANNELS]):
        begin, end = starts[i], starts[i + 1]
        weighted_sum(weights, places, begin, end, x, 0, n, biases[i], y, i * n, n)
    activate(step, floats, y)


@compiled
def linear_sliced(step: Any, program: Any, floats: Any, x: Any, y: Any) -> None:
    """Add up for each output of one example the inputs that have a weight, some outputs side by side.

    Rows of about the same length are in one slice, filled up with zeros: where each row ends by itself,
    the processor guesses wrong once in nearly every row, which takes longer than to add it up.
    """
    one, two, three, four = uintp(1), uintp(2), uintp(3), uintp(SLICE)
    slices = uintp((step[OUT_CHANNELS] + SLICE - 1) // SLICE)
    starts, places = program[step[STARTS] :], program[step[PLACES] :]
    order = starts[slices + one :]
    weights, biases = floats[step[WEIGHTS] :], floats[step[BIASES] :]
    for number in range(slices):
        i = uintp(number) * four
        a, b, c, d = biases[i], biases[i + one], biases[i + two], biases[i + three]
        k, end = uintp(starts[number]), uintp(starts[uintp(number) + one])
        while k < end:
            a += weights[k] * x[uintp(places[k])]
            b += weights[k + one] * x[uintp(places[k + one])]
            c += weights[k + two] * x[uintp(places[k + two])]
            d += weights[k + three] * x[uintp(places[k + three])]
            k += four
        y[uintp(order[i])] = a
        y[uintp(order[i + one])] = b
        y[uintp(order[i + two])] = c
        y[uintp(order[i + three])] = d
    activate(step, floats, y)


@compiled
def linear_dense(step: Any, floats: Any, x: Any, y: Any, n: int) -> None:
    """Multiply all inputs by all weights."""
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
            for k in range(n):
                product[i, k] += biases[i]
    activate(step, floats, y)


@compiled
def convolution_sparse(
    step: Any, program: Any, floats: Any, x: Any, y: Any, scratch: Any, n: int
) -> None:
    """Add up shifted images, one for each weight; images have their padding already."""
    starts, places = program[step[STARTS] :], program[step[PLACES] :]
    weights, biases = floats[step[WEIGHTS] :], floats[step[BIASES] :]
    height, width, pitch, long = step[OUT_HEIGHT], step[OUT_WIDTH], step[OUT_PITCH], step[IN_WIDTH]
    for i in range(step[OUT_CHANNELS]):
        begin, end, bias = starts[i], starts[i + 1], biases[i]
        if step[STRIDE_Y] == step[STRIDE_X] == 1:
            # some rows at once, as long as the images': what is between their ends is worth nothing
            for top in range(0, height, step[ROWS]):
                rows, shift = min(step[ROWS], height - top), top * long
                size, place = ((rows - 1) * long + width) * n, (i * height + top) * pitch * n
                if pitch == long:
                    weighted_sum(weights, places, begin, end, x, shift, n, bias, y, place, size)
                else:
                    weighted_sum(weights, places, begin, end, x, shift, n, bias, scratch, 0, size)
                    copy_rows(scratch, 0, long * n, y, place, width * n, rows, width * n)
        else:
            for top in range(height):
                line, first = top * step[STRIDE_Y] * long, (i * height + top) * pitch
                for left in range(width):
                    shift, at = line + left * step[STRIDE_X], (first + left) * n
                    weighted_sum(weights, places, begin, end, x, shift, n, bias, y, at, n)
        activate(step, floats, y[i * height * pitch * n : (i + 1) * height * pitch * n])


@compiled
def convolution_dense(step: Any, floats: Any, x: Any, y: Any, scratch: Any, n: int) -> None:
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
                        place = ((c * height + line) * width + j * step[DILATE_X]) * n
                        out, pitch = k * length + row * out_width * n, step[STRIDE_X] * n
                        copy_rows(x, place, pitch, scratch, out, n, out_width, n)
                    k += 1
        numpy.dot(weights, columns, product)
        for f in range(filters):
            begin = (f * out_height + top) * out_width * n
            for k in range(length):
                y[begin + k] = product[f, k] + biases[f]
            activate(step, floats, y[begin : begin + length])
