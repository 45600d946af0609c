"""Steps of a network that is run forward which sum up windows of images.

They take what those of `vdprune.kernels.inference_products` do.
"""

from typing import Any

import numpy
from numpy import uintp

from vdprune.kernels.compiled import compiled
from vdprune.kernels.inference_activations import activate
from vdprune.kernels.inference_layout import (
    IN_HEIGHT,
    IN_WIDTH,
    KERNEL_X,
    KERNEL_Y,
    OUT_CHANNELS,
    OUT_HEIGHT,
    OUT_WIDTH,
    PAD_X,
    PAD_Y,
    STRIDE_X,
    STRIDE_Y,
)
from vdprune.kernels.rows import fill
from vdprune.kernels.window_maxima import larger, most_of_squares

# See vdprune/kernels/cpu.py.
_TAKEN_FROM_ELSEWHERE = "b4e157c71d601ad6"

__all__ = ["average_pooling", "max_pooling"]

_MOST_FLOAT = numpy.float32(numpy.inf)


@compiled
def max_pooling(step: Any, floats: Any, x: Any, y: Any, n: int) -> None:
    """Find the largest pixel of each window; NaN is larger than any number, as for NumPy."""
    is_pair = (
        step[KERNEL_Y] == step[KERNEL_X] == 2
        and step[PAD_Y] == step[PAD_X] == 0
        and (step[OUT_HEIGHT] - 1) * step[STRIDE_Y] + 2 <= step[IN_HEIGHT]
        and (step[OUT_WIDTH] - 1) * step[STRIDE_X] + 2 <= step[IN_WIDTH]
    )
    height, width, long = step[OUT_HEIGHT], step[OUT_WIDTH], step[IN_WIDTH]
    for c in range(step[OUT_CHANNELS]):
        first, line = c * step[IN_HEIGHT] * long, c * height * width
        if is_pair and n == 1 and step[STRIDE_X] == step[STRIDE_Y] == 2:
            most_of_squares(x, first, long, y, line, height, width)
        elif is_pair:
            for top in range(height):
                row = first + top * step[STRIDE_Y] * long
                _most_of_four(x, row, long, step[STRIDE_X], n, y, (line + top * width) * n, width)
        else:
            for top in range(height):
                begin = (line + top * width) * n
                _most_of_windows(step, x, c, top, n, y[begin : begin + width * n])
    activate(step, floats, y)


@compiled
def _most_of_four(
    x: Any, first: int, long: int, stride: int, n: int, y: Any, line: int, width: int
) -> None:
    """Find the largest pixels of a row of windows of 2x2, the first of which begins at a pixel."""
    a, c = uintp(first * n), uintp((first + long) * n)
    across, count = uintp(stride * n), uintp(n)
    b, d = a + count, c + count
    for left in range(uintp(width)):
        k, base = left * across, uintp(line) + left * count
        for e in range(count):
            above = larger(x[a + k + e], x[b + k + e])
            y[base + e] = larger(above, larger(x[c + k + e], x[d + k + e]))


@compiled
def _most_of_windows(step: Any, x: Any, c: int, top: int, n: int, out: Any) -> None:
    """Find the largest pixels of a row of windows, some of which may reach beyond the image."""
    height, width = step[IN_HEIGHT], step[IN_WIDTH]
    first = top * step[STRIDE_Y] - step[PAD_Y]
    fill(out, -_MOST_FLOAT)
    for left in range(step[OUT_WIDTH]):
        second, base = left * step[STRIDE_X] - step[PAD_X], uintp(left * n)
        for i in range(max(first, 0), min(first + step[KERNEL_Y], height)):
            for j in range(max(second, 0), min(second + step[KERNEL_X], width)):
                begin = uintp(((c * height + i) * width + j) * n)
                for e in range(uintp(n)):
                    out[base + e] = larger(out[base + e], x[begin + e])


@compiled
def average_pooling(step: Any, floats: Any, x: Any, y: Any, n: int) -> None:
    """Find the mean of each window; what is beyond the image counts as zeros."""
    height, width = step[IN_HEIGHT], step[IN_WIDTH]
    share = x.dtype.type(1 / (step[KERNEL_Y] * step[KERNEL_X]))
    fill(y, y.dtype.type(0))
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
    activate(step, floats, y)
