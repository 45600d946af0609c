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
    if _are_squares(ksize, stride, pad, x.shape, y.shape):
        _pool_squares(x, y, positions)
        return
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
        is_larger = _is_larger(value, other)
        best[k] = value if is_larger else other
        position[k] = here if is_larger else position[k]


@compiled
def _are_squares(ksize: _Pair, stride: _Pair, pad: _Pair, shape: Any, out_shape: Any) -> bool:
    """Whether windows are two by two and lie next to each other, and fill the planes' width."""
    is_plain = ksize == (2, 2) and stride == (2, 2) and pad == (0, 0)
    return is_plain and shape[2] == 2 * out_shape[2] and shape[1] >= 2 * out_shape[1]


@compiled
def _pool_squares(x: Any, y: Any, positions: Any) -> None:
    """Do what `max_pool` does with windows of two by two: first their columns, then those.

    Rows of a small plane are shorter than what can be compared at once, so what comes of the columns
    goes on as one row.
    """
    planes, _, width = x.shape
    out_height, windows = y.shape[1], y.shape[1] * y.shape[2]
    columns = numpy.empty(out_height * width, x.dtype)
    lower = numpy.empty(out_height * width, numpy.bool_)
    for p in range(planes):
        for row in range(out_height):
            above, below = x[p, 2 * row], x[p, 2 * row + 1]
            found, is_below = columns[row * width :], lower[row * width :]
            for k in range(uintp(width)):
                a, b = above[k], below[k]
                is_below[k] = _is_larger(b, a)
                found[k] = b if is_below[k] else a
        best, position = y[p].reshape(-1), positions[p].reshape(-1)
        for k in range(uintp(windows)):
            left, right = uintp(2) * k, uintp(2) * k + uintp(1)
            a, b = columns[left], columns[right]
            # of equal ones the first is wanted, row by row
            is_right = _is_larger(b, a) | (~_is_larger(a, b) & lower[left] & ~lower[right])
            best[k] = b if is_right else a
            position[k] = 2 * (lower[right] if is_right else lower[left]) + is_right


@compiled
def _is_larger(value: Any, other: Any) -> Any:
    return (value > other) | ((value != value) & (other == other))


@compiled
def _unpool_squares(g: Any, positions: Any, g_x: Any) -> None:
    """Do what `max_unpool` does with windows of two by two, without dividing."""
    planes, height, width = g_x.shape
    flat = g_x.reshape(-1)
    for p in range(planes):
        for row in range(g.shape[1]):
            line = uintp((p * height + 2 * row) * width)
            for k in range(uintp(g.shape[2])):
                position = uintp(positions[p, row, k])
                down, right = position >> uintp(1), position & uintp(1)
                flat[line + down * uintp(width) + uintp(2) * k + right] += g[p, row, k]


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
    if _are_squares(ksize, stride, pad, g_x.shape, g.shape):
        _unpool_squares(g, positions, g_x)
        return
    for p in range(planes):
        for row in range(g.shape[1]):
            for column in range(g.shape[2]):
                position = positions[p, row, column]
                y = row * stride[0] - pad[0] + position // ksize[1]
                x = column * stride[1] - pad[1] + position % ksize[1]
                if 0 <= y < height and 0 <= x < width:
                    g_x[p, y, x] += g[p, row, column]
