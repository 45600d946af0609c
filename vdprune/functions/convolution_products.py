"""The ways to turn a convolution into products, and the choice of the fastest.

Each lays out weights, inputs and outputs, multiplies them, and carries gradients back through that.
They do so for some images at a time. Outputs are rows of pixels, ordered as
`vdprune.kernels.convolution` says.
"""

import math
from typing import Any

import numpy

from vdprune.functions.geometry import Geometry
from vdprune.functions.sparse_products import SparseProducts, padded_size
from vdprune.functions.unfolded_products import UnfoldedProducts
from vdprune.functions.winograd_products import WinogradProducts
from vdprune.threads import split

Products = SparseProducts | UnfoldedProducts | WinogradProducts

# Channels and filters from which on fewer multiplications are worth a change of bases.
_LEAST_CHANNELS = 16
# of laid out images at a time: they are still in cache when they are multiplied
_BLOCK_BYTES = 2**20
# More than threads, so that none waits long for another; few, for each sums up gradients of weights.
_MOST_TASKS = 8
# Share of a dense layer's multiplications up to which a sparse one's are faster: unfolded, Winograd.
_MOST_SPARSE = 0.6, 0.3


def choose_products(
    W_shape: tuple[int, ...],
    geometry: Geometry,
    groups: int,
    out_size: tuple[int, ...],
    kept: Any = None,
) -> Products:
    """Choose the fastest way.

    Args:
        W_shape: Shape of the weights.
        geometry: Stride, padding and dilation, pairs.
        groups: Number of groups of channels.
        out_size: Height and width of the outputs.
        kept: Which weights count, shape of W, bool: the others are 0 and no gradients of theirs are
            wanted; None for all.

    Returns:
        The way.
    """
    stride, pad, dilate = geometry
    is_plain = W_shape[2:] == (3, 3) and stride == dilate == (1, 1) and groups == 1
    is_winograd = is_plain and min(W_shape[:2]) >= _LEAST_CHANNELS
    if kept is not None and stride == (1, 1) and groups == 1:
        padded = math.prod(padded_size(W_shape, geometry, out_size))
        most = _MOST_SPARSE[is_winograd] * kept.size * math.prod(out_size)
        if numpy.count_nonzero(kept) * padded <= most:
            return SparseProducts(kept, geometry, out_size)
    if is_winograd:
        return WinogradProducts(W_shape, pad, out_size)
    return UnfoldedProducts(W_shape, geometry, groups, out_size)


def cut_into_tasks(images: int, itemsize: int, way: Products, products: int) -> list[list[slice]]:
    """Cut a batch into tasks for threads, and each into blocks that fit into cache laid out.

    Sums of gradients over the batch are sums over the tasks' sums, whatever thread did them.

    Args:
        images: How many there are.
        itemsize: Bytes of a number.
        way: How they are laid out.
        products: How often what is laid out is multiplied by all filters.

    Returns:
        The tasks, one at least, each with its blocks.
    """
    per_image = way.numbers_per_image
    tasks = split(images, products * way.multiplications_per_image * images, _MOST_TASKS)
    step = max(1, _BLOCK_BYTES // (per_image * itemsize))
    return [
        [slice(i, min(i + step, task.stop)) for i in range(task.start, task.stop, step)]
        for task in tasks
    ]
