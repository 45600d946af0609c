"""Images unfolded for a convolution as a matrix product, and folded back (im2col and col2im).

Columns have the shape (channels, kh, kw, images, out_height, out_width): what one filter weight meets
lies together, so that all images go through one matrix product. Indices are unsigned, for Numba takes
signed ones to count from the end if they are negative, and then can't move several numbers at once.
"""

from typing import Any

from numba import njit
from numpy import uintp

from vdprune.kernels.compiled import compiled

__all__ = ["fold", "unfold"]


@compiled
def unfold(
    x: Any, stride: tuple[int, int], pad: tuple[int, int], dilate: tuple[int, int], columns: Any
) -> None:
    """Lay out what each filter weight meets.

    Args:
        x: Images, shape (images, channels, height, width), contiguous.
        stride: Step of the filters.
        pad: Zeros added around the images.
        dilate: Distance between neighbouring filter weights.
        columns: Result, contiguous.
    """
    channels, kh, kw, images, out_height, out_width = columns.shape
    height, width = x.shape[2:]
    source, target = x.reshape(-1), columns.reshape(-1)
    start, length, step = uintp(0), uintp(out_width), uintp(stride[1])
    for c in range(channels):
        for i in range(kh):
            for j in range(kw):
                shift = j * dilate[1] - pad[1]
                first, last = inside(shift, stride[1], width, out_width)
                for n in range(images):
                    for row in range(out_height):
                        y = row * stride[0] - pad[0] + i * dilate[0]
                        is_outside = y < 0 or y >= height
                        begin = length if is_outside else uintp(first)
                        end = length if is_outside else uintp(last)
                        for k in range(begin):
                            target[start + k] = 0
                        if not is_outside:
                            place = ((n * channels + c) * height + y) * width
                            base = uintp(place + first * stride[1] + shift)
                            _read(source, base, step, target, start + begin, end - begin)
                        for k in range(end, length):
                            target[start + k] = 0
                        start += length


@compiled
def fold(
    columns: Any, stride: tuple[int, int], pad: tuple[int, int], dilate: tuple[int, int], x: Any
) -> None:
    """Add up what filter weights met, where they met it: the gradient of `unfold`.

    Args:
        columns: As `unfold` lays them out, contiguous.
        stride: Step of the filters.
        pad: Zeros added around the images.
        dilate: Distance between neighbouring filter weights.
        x: Result, zeros to begin with, shape (images, channels, height, width), contiguous.
    """
    channels, kh, kw, images, out_height, out_width = columns.shape
    height, width = x.shape[2:]
    target, source = x.reshape(-1), columns.reshape(-1)
    start, length, step = uintp(0), uintp(out_width), uintp(stride[1])
    for c in range(channels):
        for i in range(kh):
            for j in range(kw):
                shift = j * dilate[1] - pad[1]
                first, last = inside(shift, stride[1], width, out_width)
                for n in range(images):
                    for row in range(out_height):
                        y = row * stride[0] - pad[0] + i * dilate[0]
                        if 0 <= y < height:
                            place = ((n * channels + c) * height + y) * width
                            base = uintp(place + first * stride[1] + shift)
                            count = uintp(last - first)
                            _add(source, start + uintp(first), count, target, base, step)
                        start += length


@njit(inline="always")
def _read(source: Any, base: Any, step: Any, target: Any, start: Any, count: Any) -> None:
    if step == uintp(1):  # neighbours stay neighbours: one vector move
        for k in range(count):
            target[start + k] = source[base + k]
    else:
        for k in range(count):
            target[start + k] = source[base + k * step]


@njit(inline="always")
def _add(source: Any, start: Any, count: Any, target: Any, base: Any, step: Any) -> None:
    if step == uintp(1):
        for k in range(count):
            target[base + k] += source[start + k]
    else:
        for k in range(count):
            target[base + k * step] += source[start + k]


@compiled
def inside(shift: int, stride: int, width: int, out_width: int) -> tuple[int, int]:
    """Tell which outputs k have 0 <= k * stride + shift < width."""
    first = min(max(0, (-shift + stride - 1) // stride), out_width)
    last = min(max(first, (width - shift + stride - 1) // stride), out_width)
    return first, last
