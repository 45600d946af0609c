"""Convolutions of stride 1 with 3x3 filters in products of matrices for 1/4 or 4/9 of the work.

Winograd's F(4x4, 3x3) and F(2x2, 3x3): the 16 outputs of a 4x4 tile come from the 6x6 pixels around it
by 36 multiplications instead of 144, the four of a 2x2 tile from 4x4 pixels by 16 instead of 36. Pixels,
filters and outputs are changed into other bases in which that is so; a product of matrices per element
of the basis then sums over the channels.

Inside, channels come last, so that all loops are over neighbours: images have the shape (images, height,
width, channels), with their padding and whole tiles, and bases (36 or 16, images, tiles down, tiles
across, channels). Each function ending in "back" is the transpose of the one before.

Source: Lavin and Gray, "Fast Algorithms for Convolutional Neural Networks", CVPR 2016, sections 4.1 and
4.3.
"""

from typing import Any

import numpy
from numpy import uintp

from vdprune.kernels.compiled import compiled
from vdprune.kernels.winograd_lines import inputs, inputs_back, outputs, outputs_back

# See vdprune/kernels/cpu.py.
_TAKEN_FROM_ELSEWHERE = "14d01920e81961cd"

__all__ = [
    "FILTER_BASES",
    "channels_first",
    "channels_last",
    "transform_inputs",
    "transform_inputs_back",
    "transform_outputs",
    "transform_outputs_back",
]

_G = {
    2: numpy.array([[1, 0, 0], [0.5, 0.5, 0.5], [0.5, -0.5, 0.5], [0, 0, 1]]),
    4: numpy.array([[6, 0, 0], [-4, -4, -4], [-4, 4, -4], [1, 2, 4], [1, -2, 4], [0, 0, 24]]) / 24,
}
# By the size of tiles: what makes the 16 or 36 numbers of the other basis from the 9 of a filter.
FILTER_BASES = {tile: numpy.kron(G, G) for tile, G in _G.items()}
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
        x: Images, padded, shape (images, tile * down + 2, tile * across + 2, channels).
        is_squared: Whether the pixels are squared first, in place.
        basis: Result.
    """
    side, tile = _sizes(basis)
    _, images, down, across, channels = basis.shape
    c, size = uintp(channels), uintp(images * down * across * channels)
    row_size = (tile * uintp(across) + uintp(2)) * c
    mixed = numpy.empty(side * row_size, x.dtype)
    flat, out = x.reshape(-1), basis.reshape(-1)
    if is_squared:
        for k in range(flat.size):
            flat[k] *= flat[k]
    place = uintp(0)
    for n in range(images):
        for r in range(uintp(down)):
            first = (uintp(n * x.shape[1]) + tile * r) * row_size
            inputs(tile, flat, first, row_size, mixed, uintp(0), row_size, row_size)
            for t in range(uintp(across)):
                for i in range(side):
                    source = i * row_size + tile * t * c
                    inputs(tile, mixed, source, c, out, i * side * size + place, size, c)
                place += c


@compiled
def transform_inputs_back(basis: Any, x: Any) -> None:
    """Carry gradients back through `transform_inputs`.

    Args:
        basis: Gradients of its result.
        x: Result, shaped like the padded images.
    """
    side, tile = _sizes(basis)
    _, images, down, across, channels = basis.shape
    c, size = uintp(channels), uintp(images * down * across * channels)
    row_size = (tile * uintp(across) + uintp(2)) * c
    mixed = numpy.empty(side * row_size, x.dtype)
    flat, out = basis.reshape(-1), x.reshape(-1)
    out[:] = 0
    place = uintp(0)
    for n in range(images):
        for r in range(uintp(down)):
            mixed[:] = 0
            for t in range(uintp(across)):
                for i in range(side):
                    target = i * row_size + tile * t * c
                    inputs_back(tile, flat, i * side * size + place, size, mixed, target, c, c)
                place += c
            first = (uintp(n * x.shape[1]) + tile * r) * row_size
            inputs_back(tile, mixed, uintp(0), row_size, out, first, row_size, row_size)


@compiled
def transform_outputs(basis: Any, y: Any) -> None:
    """Change products into the outputs of each tile.

    Args:
        basis: Products.
        y: Result, shape (images, tile * down, tile * across, channels).
    """
    side, tile = _sizes(basis)
    _, images, down, across, channels = basis.shape
    c, row_size = uintp(channels), uintp(across * channels)
    size = uintp(images * down) * row_size
    mixed = numpy.empty(tile * side * row_size, y.dtype)
    flat, out = basis.reshape(-1), y.reshape(-1)
    first, line = uintp(0), uintp(0)
    for _ in range(images * down):
        for j in range(side):
            source, step = first + j * size, side * size
            outputs(tile, flat, source, step, mixed, j * row_size, side * row_size, row_size)
        for a in range(tile):
            for t in range(uintp(across)):
                source = a * side * row_size + t * c
                outputs(tile, mixed, source, row_size, out, line, c, c)
                line += tile * c
        first += row_size


@compiled
def transform_outputs_back(g: Any, basis: Any) -> None:
    """Carry gradients back through `transform_outputs`.

    Args:
        g: Gradients of the outputs, shape (images, tile * down, tile * across, channels).
        basis: Result.
    """
    side, tile = _sizes(basis)
    _, images, down, across, channels = basis.shape
    c, row_size = uintp(channels), uintp(across * channels)
    size = uintp(images * down) * row_size
    mixed = numpy.empty(tile * side * row_size, g.dtype)
    flat, out = g.reshape(-1), basis.reshape(-1)
    first, line = uintp(0), uintp(0)
    for _ in range(images * down):
        for a in range(tile):
            for t in range(uintp(across)):
                target = a * side * row_size + t * c
                outputs_back(tile, flat, line, c, mixed, target, row_size, c)
                line += tile * c
        for j in range(side):
            target, step = first + j * size, side * size
            outputs_back(tile, mixed, j * row_size, side * row_size, out, target, step, row_size)
        first += row_size


@compiled
def _sizes(basis: Any) -> tuple[Any, Any]:
    """Return how many pixels a side of a tile has with those around it, and without."""
    side = uintp(4) if basis.shape[0] == 16 else uintp(6)
    return side, side - uintp(2)
