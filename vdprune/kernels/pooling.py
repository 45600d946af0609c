"""Maxima of windows of images, and their gradient."""

from typing import Any

import numpy
from numpy import uintp

from vdprune.kernels.compiled import compiled
from vdprune.kernels.unfolding import inside

# See vdprune/kernels/cpu.py.
_TAKEN_FROM_ELSEWHERE = "c220cfddf045103a"

__all__ = ["max_pool", "max_unpool"]

_Pair = tuple[int, int]


@compiled
def max_pool(x: Any, ksize: _Pair, stride: _Pair, pad: _Pair, y: Any, positions: Any) -> None:
    """Find the largest pixel of each window; NaN is larger than any number, as for NumPy.

    Args:
        x: Planes, shape (planes, height, width).
        ksize: Height and width of a window.
        stride: Step of the windows.
        pad: Rows and columns of -inf around the planes.
        y: Result, shape (planes, out height, out width).
        positions: Result: where in its window each was found, row by row; same shape.
    """
    planes, height, width = x.shape
    out_height, out_width = y.shape[1:]
    flat_x = x.reshape(-1)
    # What each window has at one place, gathered first: comparing is fast where neighbours are compared.
    seen = numpy.empty(out_height * out_width, x.dtype)
    for p in range(planes):
        best, position = y[p].reshape(-1), positions[p].reshape(-1)
        best[:] = -numpy.inf
        position[:] = 0
        for i in range(ksize[0]):
            top, bottom = inside(i - pad[0], stride[0], height, out_height)
            for j in range(ksize[1]):
                left, right = inside(j - pad[1], stride[1], width, out_width)
                if bottom - top < out_height or right - left < out_width:
                    seen[:] = -numpy.inf
                for row in range(top, bottom):
                    line = p * height + row * stride[0] - pad[0] + i
                    base = uintp(line * width + left * stride[1] - pad[1] + j)
                    start = uintp(row * out_width + left)
                    for k in range(uintp(right - left)):
                        seen[start + k] = flat_x[base + k * uintp(stride[1])]
                _keep_larger(seen, i * ksize[1] + j, best, position)


@compiled
def _keep_larger(seen: Any, here: int, best: Any, position: Any) -> None:
    for k in range(seen.size):
        value, other = seen[k], best[k]
        is_larger = (value > other) | ((value != value) & (other == other))
        best[k] = value if is_larger else other
        position[k] = here if is_larger else position[k]


@compiled
def max_unpool(g: Any, positions: Any, ksize: _Pair, stride: _Pair, pad: _Pair, g_x: Any) -> None:
    """Carry gradients of maxima back to where they were found.

    Args:
        g: Gradients, shape (planes, out height, out width).
        positions: As `max_pool` left them.
        ksize: Height and width of a window.
        stride: Step of the windows.
        pad: Rows and columns around the planes.
        g_x: Result, zeros to begin with, shape (planes, height, width).
    """
    planes, height, width = g_x.shape
    for p in range(planes):
        for row in range(g.shape[1]):
            for column in range(g.shape[2]):
                position = positions[p, row, column]
                y = row * stride[0] - pad[0] + position // ksize[1]
                x = column * stride[1] - pad[1] + position % ksize[1]
                if 0 <= y < height and 0 <= x < width:
                    g_x[p, y, x] += g[p, row, column]
