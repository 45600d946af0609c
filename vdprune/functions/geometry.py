"""How the filters of a convolution go over its images: stride, padding and dilation."""

from typing import Any

import numpy
from chainer.utils.conv import get_conv_outsize

Geometry = tuple[tuple[int, int], tuple[int, int], tuple[int, int]]


def make_geometry(
    stride: int | tuple[int, int], pad: int | tuple[int, int], dilate: int | tuple[int, int]
) -> Geometry:
    """Make pairs of numbers for both directions.

    Args:
        stride: Step of the filters.
        pad: Zeros added around the images.
        dilate: Distance between neighbouring filter weights.

    Returns:
        Three pairs, of the height and the width.
    """
    return _pair(stride), _pair(pad), _pair(dilate)


def find_out_size(x: Any, W: Any, geometry: Geometry) -> tuple[int, int]:
    """Compute height and width of the outputs.

    Args:
        x: Images.
        W: Weights.
        geometry: Stride, padding and dilation, pairs.

    Returns:
        Both, below 1 if the filters are larger than the images.
    """
    height, width = (
        get_conv_outsize(length, k, stride, pad, d=dilate)
        for length, k, stride, pad, dilate in zip(x.shape[2:], W.shape[2:], *geometry, strict=True)
    )
    return height, width


def has_outputs(x: Any, W: Any, geometry: Geometry) -> bool:
    """Tell whether a convolution has outputs; Chainer refuses those that have none.

    Args:
        x: Images, an array of four dimensions.
        W: Weights, an array of four dimensions.
        geometry: Stride, padding and dilation, pairs.

    Returns:
        Whether strides and dilations are positive, no padding is negative, and the filters fit into the
        padded images.
    """
    stride, pad, dilate = geometry
    # first, for the size of the outputs takes two negative numbers for a positive one
    are_possible = min(stride + dilate) > 0 <= min(pad)
    return are_possible and min(find_out_size(x, W, geometry)) > 0


def _pair(value: int | tuple[int, int]) -> tuple[int, int]:
    first, second = (value, value) if isinstance(value, int | numpy.integer) else value
    return int(first), int(second)
