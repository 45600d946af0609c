"""Convolutions of stride 1 with 3x3 filters in 16 matrix products of a ninth each, for 4/9 of the work.

Winograd's F(2x2, 3x3): the four outputs of a 2x2 tile come from the 4x4 pixels around it by 16
multiplications instead of 36. Pixels, filters and outputs are changed into other bases in which that
is so; a product of matrices per element of the basis then sums over the channels.

Inside, channels come last, so that all loops are over neighbours: images have the shape (images, height,
width, channels), with their padding and whole tiles, and bases (16, images, tiles down, tiles across,
channels). Each function ending in "back" is the transpose of the one before.

Source: Lavin and Gray, "Fast Algorithms for Convolutional Neural Networks", CVPR 2016, section 4.1.
"""

from typing import Any

import numpy
from numpy import uintp

from vdprune.kernels.compiled import compiled

__all__ = [
    "FILTER_BASIS",
    "channels_first",
    "channels_last",
    "transform_inputs",
    "transform_inputs_back",
    "transform_outputs",
    "transform_outputs_back",
]

_G = numpy.array([[1, 0, 0], [0.5, 0.5, 0.5], [0.5, -0.5, 0.5], [0, 0, 1]])
# What makes the 16 numbers of the other basis from the 9 of a filter.
FILTER_BASIS = numpy.kron(_G, _G)
_CHANNELS = uintp(8)  # transposed together: as many as a vector has


@compiled
def channels_last(x: Any, top: int, left: int, y: Any) -> None:
    """Lay out images with their channels last.

    Args:
        x: Images, shape (images, channels, height, width).
        top: Row of the result where they begin.
        left: Column of the result where they begin.
        y: Result; zeros to begin with, for what is around them stays as it is.
    """
    images, channels, height, width = x.shape
    height, width = min(height, y.shape[1] - top), min(width, y.shape[2] - left)
    step, plane = uintp(channels), uintp(x.shape[2] * x.shape[3])
    source, target = x.reshape(-1), y.reshape(-1)
    for n in range(images):
        for row in range(height):
            place = uintp(((n * y.shape[1] + top + row) * y.shape[2] + left) * channels)
            start = uintp((n * channels * x.shape[2] + row) * x.shape[3])
            for first in range(uintp(0), step, _CHANNELS):
                count = min(step - first, _CHANNELS)
                for k in range(uintp(width)):
                    for c in range(first, first + count):
                        target[place + k * step + c] = source[start + c * plane + k]


@compiled
def channels_first(y: Any, top: int, left: int, x: Any) -> None:
    """Take back what `channels_last` laid out.

    Args:
        y: Images with channels last.
        top: Row where they begin.
        left: Column where they begin.
        x: Result.
    """
    images, channels, height, width = x.shape
    step, plane = uintp(channels), uintp(height * width)
    source, target = y.reshape(-1), x.reshape(-1)
    for n in range(images):
        for row in range(height):
            place = uintp(((n * y.shape[1] + top + row) * y.shape[2] + left) * channels)
            start = uintp((n * channels * height + row) * width)
            for first in range(uintp(0), step, _CHANNELS):
                count = min(step - first, _CHANNELS)
                for k in range(uintp(width)):
                    for c in range(first, first + count):
                        target[start + c * plane + k] = source[place + k * step + c]


@compiled
def transform_inputs(x: Any, is_squared: bool, basis: Any) -> None:
    """Change the pixels around each tile into the other basis.

    Args:
        x: Images, padded, shape (images, 2 * down + 2, 2 * across + 2, channels).
        is_squared: Whether the pixels are squared first, in place.
        basis: Result.
    """
    _, images, down, across, channels = basis.shape
    c, size = uintp(channels), uintp(images * down * across * channels)
    row_size = uintp((2 * across + 2) * channels)
    mixed = numpy.empty((4, (2 * across + 2) * channels), x.dtype)
    flat, out = x.reshape(-1), basis.reshape(-1)
    if is_squared:
        for k in range(flat.size):
            flat[k] *= flat[k]
    tile = uintp(0)
    for n in range(images):
        for r in range(down):
            a = uintp(n * x.shape[1] + 2 * r) * row_size
            b, d, e = a + row_size, a + uintp(2) * row_size, a + uintp(3) * row_size
            _minus(flat, a, d, mixed[0], uintp(0), row_size)
            _plus(flat, b, d, mixed[1], uintp(0), row_size)
            _minus(flat, d, b, mixed[2], uintp(0), row_size)
            _minus(flat, b, e, mixed[3], uintp(0), row_size)
            for t in range(uintp(across)):
                p = uintp(2) * t * c
                q, s, u = p + c, p + uintp(2) * c, p + uintp(3) * c
                for i in range(uintp(4)):
                    first = uintp(4) * i * size + tile
                    _minus(mixed[i], p, s, out, first, c)
                    _plus(mixed[i], q, s, out, first + size, c)
                    _minus(mixed[i], s, q, out, first + uintp(2) * size, c)
                    _minus(mixed[i], q, u, out, first + uintp(3) * size, c)
                tile += c


@compiled
def transform_inputs_back(basis: Any, x: Any) -> None:
    """Carry gradients back through `transform_inputs`.

    Args:
        basis: Gradients of its result.
        x: Result, shaped like the padded images.
    """
    _, images, down, across, channels = basis.shape
    c, size = uintp(channels), uintp(images * down * across * channels)
    row_size = uintp((2 * across + 2) * channels)
    mixed = numpy.empty((4, (2 * across + 2) * channels), x.dtype)
    flat, out = basis.reshape(-1), x.reshape(-1)
    out[:] = 0
    tile = uintp(0)
    for n in range(images):
        for r in range(down):
            mixed[:] = 0
            for t in range(uintp(across)):
                p = uintp(2) * t * c
                for i in range(uintp(4)):
                    first = uintp(4) * i * size + tile
                    second, third = first + size, first + uintp(2) * size
                    fourth = first + uintp(3) * size
                    _spread_back(flat, first, second, third, fourth, mixed[i], p, c)
                tile += c
            a = uintp(n * x.shape[1] + 2 * r) * row_size
            lines = mixed.reshape(-1)
            _spread_back(
                lines,
                uintp(0),
                row_size,
                uintp(2) * row_size,
                uintp(3) * row_size,
                out,
                a,
                row_size,
            )


@compiled
def transform_outputs(basis: Any, y: Any) -> None:
    """Change products into the outputs of each tile.

    Args:
        basis: Products.
        y: Result, shape (images, 2 * down, 2 * across, channels).
    """
    _, images, down, across, channels = basis.shape
    c, row_size = uintp(channels), uintp(across * channels)
    size = uintp(images * down) * row_size
    mixed = numpy.empty((2, 4 * across * channels), y.dtype)
    flat, out = basis.reshape(-1), y.reshape(-1)
    first, line = uintp(0), uintp(0)
    for _ in range(images * down):
        for j in range(uintp(4)):
            p = first + j * size
            q, r, s = p + uintp(4) * size, p + uintp(8) * size, p + uintp(12) * size
            _sum(flat, p, q, r, mixed[0], j * row_size, row_size)
            _difference(flat, q, r, s, mixed[1], j * row_size, row_size)
        for a in range(2):
            for t in range(uintp(across)):
                p = t * c
                q, r, s = p + row_size, p + uintp(2) * row_size, p + uintp(3) * row_size
                _sum(mixed[a], p, q, r, out, line, c)
                _difference(mixed[a], q, r, s, out, line + c, c)
                line += uintp(2) * c
        first += row_size


@compiled
def transform_outputs_back(g: Any, basis: Any) -> None:
    """Carry gradients back through `transform_outputs`.

    Args:
        g: Gradients of the outputs, shape (images, 2 * down, 2 * across, channels).
        basis: Result.
    """
    _, images, down, across, channels = basis.shape
    c, row_size = uintp(channels), uintp(across * channels)
    size = uintp(images * down) * row_size
    mixed = numpy.empty((2, 4 * across * channels), g.dtype)
    lines = mixed.reshape(-1)
    flat, out = g.reshape(-1), basis.reshape(-1)
    first, line = uintp(0), uintp(0)
    for _ in range(images * down):
        for a in range(2):
            for t in range(uintp(across)):
                _spread(flat, line, line + c, mixed[a], t * c, row_size, c)
                line += uintp(2) * c
        for j in range(uintp(4)):
            even = j * row_size
            odd = even + uintp(4) * row_size
            _spread(lines, even, odd, out, first + j * size, uintp(4) * size, row_size)
        first += row_size


@compiled
def _plus(x: Any, a: Any, b: Any, out: Any, start: Any, count: Any) -> None:
    for k in range(count):
        out[start + k] = x[a + k] + x[b + k]


@compiled
def _minus(x: Any, a: Any, b: Any, out: Any, start: Any, count: Any) -> None:
    for k in range(count):
        out[start + k] = x[a + k] - x[b + k]


@compiled
def _sum(x: Any, a: Any, b: Any, c: Any, out: Any, start: Any, count: Any) -> None:
    for k in range(count):
        out[start + k] = x[a + k] + x[b + k] + x[c + k]


@compiled
def _difference(x: Any, a: Any, b: Any, c: Any, out: Any, start: Any, count: Any) -> None:
    for k in range(count):
        out[start + k] = x[a + k] - x[b + k] - x[c + k]


@compiled
def _spread(x: Any, even: Any, odd: Any, out: Any, start: Any, step: Any, count: Any) -> None:
    """Carry two outputs back to the four that they were made of."""
    for k in range(count):
        out[start + k] = x[even + k]
    _plus(x, even, odd, out, start + step, count)
    _minus(x, even, odd, out, start + uintp(2) * step, count)
    last = start + uintp(3) * step
    for k in range(count):
        out[last + k] = -x[odd + k]


@compiled
def _spread_back(x: Any, p: Any, q: Any, r: Any, s: Any, out: Any, start: Any, count: Any) -> None:
    """Carry four elements of the basis back to what they were made of, which lies together."""
    for k in range(count):
        out[start + k] += x[p + k]
    start += count
    for k in range(count):
        out[start + k] += x[q + k] - x[r + k] + x[s + k]
    start += count
    for k in range(count):
        out[start + k] += x[q + k] - x[p + k] + x[r + k]
    start += count
    for k in range(count):
        out[start + k] -= x[s + k]
