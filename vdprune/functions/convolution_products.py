"""Two ways to turn a convolution into products of matrices.

Both lay out weights, inputs and outputs as stacks of matrices, of which pairs are multiplied, and carry
gradients back through that. They do so for some images at a time. Outputs are rows of pixels, ordered
as `vdprune.kernels.convolution` says.
"""

import math
from typing import Any

import numpy
from chainer.utils.conv import get_conv_outsize

from vdprune import kernels
from vdprune.threads import split

Geometry = tuple[tuple[int, int], tuple[int, int], tuple[int, int]]
# Channels and filters from which on fewer multiplications are worth a change of bases.
_LEAST_CHANNELS = 16
# of laid out images at a time: they are still in cache when they are multiplied
_BLOCK_BYTES = 2**20
# More than threads, so that none waits long for another; few, for each sums up gradients of weights.
_MOST_TASKS = 8


class UnfoldedProducts:
    """What each filter weight meets is laid out in a row: one product for each group of channels.

    Args:
        W_shape: Shape of the weights.
        geometry: Stride, padding and dilation, pairs.
        groups: Number of groups of channels.
        out_size: Height and width of the outputs.
    """

    def __init__(
        self,
        W_shape: tuple[int, ...],
        geometry: Geometry,
        groups: int,
        out_size: tuple[int, ...],
    ) -> None:
        self.W_shape, self.geometry, self.groups = W_shape, geometry, groups
        self.out_size, self.pixels = out_size, math.prod(out_size)
        self.rows = math.prod(W_shape[1:])
        self.numbers_per_image = groups * self.rows * self.pixels

    def steps(self, images: int) -> tuple[int, int]:
        """Tell how rows of outputs are ordered."""
        return images, 1

    def weights(self, W: Any) -> Any:
        """Lay out weights."""
        return W.reshape(self.groups, -1, self.rows)

    def weights_back(self, g: Any) -> Any:
        """Carry gradients back through `weights`."""
        return g.reshape(self.W_shape)

    def inputs(self, x: Any) -> Any:
        """Lay out images."""
        columns = numpy.empty((x.shape[1], *self.W_shape[2:], len(x), *self.out_size), x.dtype)
        kernels.unfolding.unfold(x, *self.geometry, columns)
        return columns.reshape(self.groups, self.rows, -1)

    def square(self, columns: Any) -> None:
        """Replace what `inputs` laid out by the same of squared images."""
        numpy.multiply(columns, columns, out=columns)

    def outputs(self, weights: Any, columns: Any, images: int) -> Any:
        """Multiply weights and inputs."""
        return numpy.matmul(weights, columns).reshape(-1, self.pixels)

    def images_first(self, rows: Any, images: int) -> Any:
        """Order rows of outputs as a layer does, shape (images, filters, pixels)."""
        return rows.reshape(-1, images, self.pixels).transpose(1, 0, 2)

    def images_first_back(self, y: Any) -> Any:
        """Take back what `images_first` ordered."""
        return y.transpose(1, 0, 2).reshape(-1, self.pixels)

    def outputs_back(self, g: Any, images: int) -> Any:
        """Lay out gradients of the outputs."""
        return g.reshape(self.groups, self.W_shape[0] // self.groups, -1)

    def weights_gradient(self, g: Any, columns: Any) -> Any:
        """Multiply gradients of the outputs, laid out, and inputs."""
        return numpy.matmul(g, columns.transpose(0, 2, 1))

    def inputs_gradient(self, weights: Any, g: Any, x: Any, columns: Any) -> Any:
        """Carry gradients of the outputs back to images; what `inputs` laid out is written over."""
        numpy.matmul(weights.transpose(0, 2, 1), g, out=columns)
        g_x = numpy.zeros_like(x)
        kernels.unfolding.fold(
            columns.reshape(x.shape[1], *self.W_shape[2:], len(x), *self.out_size),
            *self.geometry,
            g_x,
        )
        return g_x


class WinogradProducts:
    """Filters of 3x3 weights with stride 1 take 4/9 of the products: see `vdprune.kernels.winograd`.

    Args:
        W_shape: Shape of the weights.
        pad: Zeros added around the images.
        out_size: Height and width of the outputs.
    """

    def __init__(
        self, W_shape: tuple[int, ...], pad: tuple[int, int], out_size: tuple[int, ...]
    ) -> None:
        self.W_shape, self.pad = W_shape, pad
        self.out_size, self.pixels = out_size, math.prod(out_size)
        self.down, self.across = ((length + 1) // 2 for length in out_size)
        self.numbers_per_image = 16 * self.W_shape[1] * self.down * self.across

    def steps(self, images: int) -> tuple[int, int]:
        """Tell how rows of outputs are ordered."""
        return 1, self.W_shape[0]

    def weights(self, W: Any) -> Any:
        """Lay out weights."""
        basis = kernels.winograd.FILTER_BASIS.astype(W.dtype)
        return numpy.dot(basis, W.reshape(-1, 9).T).reshape(16, *self.W_shape[:2])

    def weights_back(self, g: Any) -> Any:
        """Carry gradients back through `weights`."""
        basis = kernels.winograd.FILTER_BASIS.astype(g.dtype)
        return numpy.dot(g.reshape(16, -1).T, basis).reshape(self.W_shape)

    def inputs(self, x: Any) -> Any:
        """Lay out images: as they are, padded and with channels last, and in the other basis."""
        shape = len(x), 2 * self.down + 2, 2 * self.across + 2, x.shape[1]
        padded = numpy.zeros(shape, x.dtype)
        kernels.winograd.channels_last(x, *self.pad, padded)
        columns = numpy.empty((16, len(x) * self.down * self.across, x.shape[1]), x.dtype)
        kernels.winograd.transform_inputs(padded, False, self._as_basis(columns, len(x)))
        return padded, columns

    def square(self, laid_out: Any) -> None:
        """Replace what `inputs` laid out by the same of squared images."""
        padded, columns = laid_out
        kernels.winograd.transform_inputs(padded, True, self._as_basis(columns, len(padded)))

    def outputs(self, weights: Any, laid_out: Any, images: int) -> Any:
        """Multiply weights and inputs."""
        products = numpy.matmul(laid_out[1], weights.transpose(0, 2, 1))
        y = self._empty_outputs(images, products)
        kernels.winograd.transform_outputs(self._as_basis(products, images), y)
        rows = numpy.empty((images, self.W_shape[0], *self.out_size), y.dtype)
        kernels.winograd.channels_first(y, 0, 0, rows)
        return rows.reshape(images * self.W_shape[0], -1)

    def images_first(self, rows: Any, images: int) -> Any:
        """Order rows of outputs as a layer does, shape (images, filters, pixels)."""
        return rows.reshape(images, self.W_shape[0], -1)

    def images_first_back(self, y: Any) -> Any:
        """Take back what `images_first` ordered."""
        return numpy.ascontiguousarray(y).reshape(len(y) * self.W_shape[0], -1)

    def outputs_back(self, g: Any, images: int) -> Any:
        """Lay out gradients of the outputs."""
        rows = g.reshape(images, self.W_shape[0], *self.out_size)
        y = self._empty_outputs(images, g)
        y[:, self.out_size[0] :] = 0
        y[:, :, self.out_size[1] :] = 0
        kernels.winograd.channels_last(rows, 0, 0, y)
        products = numpy.empty((16, images * self.down * self.across, rows.shape[1]), g.dtype)
        kernels.winograd.transform_outputs_back(y, self._as_basis(products, images))
        return products

    def weights_gradient(self, g: Any, laid_out: Any) -> Any:
        """Multiply gradients of the outputs, laid out, and inputs."""
        return numpy.matmul(g.transpose(0, 2, 1), laid_out[1])

    def inputs_gradient(self, weights: Any, g: Any, x: Any, laid_out: Any) -> Any:
        """Carry gradients of the outputs back to images; what `inputs` laid out is written over."""
        padded, columns = laid_out
        numpy.matmul(g, weights, out=columns)
        kernels.winograd.transform_inputs_back(self._as_basis(columns, len(x)), padded)
        g_x = numpy.empty_like(x)
        kernels.winograd.channels_first(padded, *self.pad, g_x)
        return g_x

    def _empty_outputs(self, images: int, products: Any) -> Any:
        shape = images, 2 * self.down, 2 * self.across, self.W_shape[0]
        return numpy.empty(shape, products.dtype)

    def _as_basis(self, products: Any, images: int) -> Any:
        return products.reshape(16, images, self.down, self.across, -1)


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


def choose_products(
    W_shape: tuple[int, ...], geometry: Geometry, groups: int, out_size: tuple[int, ...]
) -> UnfoldedProducts | WinogradProducts:
    """Choose the faster way.

    Args:
        W_shape: Shape of the weights.
        geometry: Stride, padding and dilation, pairs.
        groups: Number of groups of channels.
        out_size: Height and width of the outputs.

    Returns:
        The way.
    """
    stride, pad, dilate = geometry
    is_plain = W_shape[2:] == (3, 3) and stride == dilate == (1, 1) and groups == 1
    if is_plain and min(W_shape[:2]) >= _LEAST_CHANNELS:
        return WinogradProducts(W_shape, pad, out_size)
    return UnfoldedProducts(W_shape, geometry, groups, out_size)


def cut_into_tasks(
    images: int, itemsize: int, way: UnfoldedProducts | WinogradProducts, products: int
) -> list[list[slice]]:
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
    tasks = split(images, products * way.W_shape[0] * per_image * images, _MOST_TASKS)
    step = max(1, _BLOCK_BYTES // (per_image * itemsize))
    return [
        [slice(i, min(i + step, task.stop)) for i in range(task.start, task.stop, step)]
        for task in tasks
    ]
