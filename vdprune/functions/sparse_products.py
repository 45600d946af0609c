"""A convolution of stride 1 as sums of shifted images, for the weights that are not masked alone."""

import math
from typing import Any

import numpy

from vdprune import kernels
from vdprune.functions.filters_first import FiltersFirst
from vdprune.functions.geometry import Geometry


class SparseProducts(FiltersFirst):
    """Images lie in rows as `vdprune.kernels.sparse_convolution` has them, with their padding.

    Args:
        kept: Which weights there are, shape of W, bool.
        geometry: Stride, which has to be 1, padding and dilation, pairs.
        out_size: Height and width of the outputs.
    """

    def __init__(self, kept: Any, geometry: Geometry, out_size: tuple[int, ...]) -> None:
        _, self.pad, dilate = geometry
        self.W_shape, self.out_size, self.pixels = kept.shape, out_size, math.prod(out_size)
        self.places = numpy.flatnonzero(kept)
        # contiguous, as the kernels were compiled for
        filters, self.channels, down, across = map(
            numpy.ascontiguousarray, numpy.unravel_index(self.places, kept.shape)
        )
        self.size = padded_size(kept.shape, geometry, out_size)
        self.shifts = down * dilate[0] * self.size[1] + across * dilate[1]
        # more than any shift: rows of inputs go on by that much, and those of gradients begin with it
        self.reach = self.size[0] * self.size[1]
        self.starts = _starts(filters, kept.shape[0])
        self.by_channel = numpy.argsort(self.channels, kind="stable")
        self.starts_of_channels = _starts(self.channels, kept.shape[1])
        self.filters_by_channel = filters[self.by_channel]
        self.shifts_by_channel = self.reach - self.shifts[self.by_channel]
        self.numbers_per_image = sum(kept.shape[:2]) * math.prod(self.size)
        self.multiplications_per_image = self.places.size * math.prod(self.size)

    def weights(self, W: Any) -> Any:
        """Lay out weights: those that there are."""
        return W.reshape(-1)[self.places]

    def weights_back(self, g: Any) -> Any:
        """Carry gradients back through `weights`."""
        g_W = numpy.zeros(math.prod(self.W_shape), g.dtype)
        g_W[self.places] = g
        return g_W.reshape(self.W_shape)

    def inputs(self, x: Any) -> Any:
        """Lay out images."""
        laid_out = numpy.zeros((x.shape[1], len(x) * math.prod(self.size) + self.reach), x.dtype)
        self._images(laid_out[:, : -self.reach], x.shape)[...] = x.transpose(1, 0, 2, 3)
        return laid_out

    def square(self, laid_out: Any) -> None:
        """Replace what `inputs` laid out by the same of squared images."""
        numpy.multiply(laid_out, laid_out, out=laid_out)

    def outputs(self, weights: Any, laid_out: Any, images: int) -> Any:
        """Multiply weights and inputs."""
        y = numpy.empty((self.W_shape[0], images * math.prod(self.size)), laid_out.dtype)
        kernels.sparse_convolution.sum_shifted(
            weights, self.starts, self.channels, self.shifts, laid_out, y
        )
        return self._outputs(y, images).reshape(-1, self.pixels)

    def outputs_back(self, g: Any, images: int) -> Any:
        """Lay out gradients of the outputs, after more zeros than any shift."""
        laid_out = numpy.zeros(
            (self.W_shape[0], self.reach + images * math.prod(self.size)), g.dtype
        )
        self._outputs(laid_out[:, self.reach :], images)[...] = g.reshape(
            -1, images, *self.out_size
        )
        return laid_out

    def weights_gradient(self, g: Any, laid_out: Any) -> Any:
        """Multiply gradients of the outputs, laid out, and inputs."""
        g_weights = numpy.empty(self.places.size, g.dtype)
        kernels.sparse_convolution.correlate(
            g, self.reach, self.starts, self.channels, self.shifts, laid_out, g_weights
        )
        return g_weights

    def inputs_gradient(self, weights: Any, g: Any, x: Any, laid_out: Any) -> Any:
        """Carry gradients of the outputs back to images."""
        g_x = numpy.empty((x.shape[1], len(x) * math.prod(self.size)), g.dtype)
        kernels.sparse_convolution.sum_shifted(
            weights[self.by_channel],
            self.starts_of_channels,
            self.filters_by_channel,
            self.shifts_by_channel,
            g,
            g_x,
        )
        return numpy.ascontiguousarray(self._images(g_x, x.shape).transpose(1, 0, 2, 3))

    def _images(self, rows: Any, shape: tuple[int, ...]) -> Any:
        """View rows of padded images as images, shape (channels, images, height, width)."""
        images, channels, height, width = shape
        (top, left), planes = self.pad, rows.reshape(channels, images, *self.size)
        return planes[:, :, top : top + height, left : left + width]

    def _outputs(self, rows: Any, images: int) -> Any:
        """View rows of padded images as outputs, shape (filters, images, height, width)."""
        planes = rows.reshape(-1, images, *self.size)
        return planes[:, :, : self.out_size[0], : self.out_size[1]]


def padded_size(
    W_shape: tuple[int, ...], geometry: Geometry, out_size: tuple[int, ...]
) -> tuple[int, ...]:
    """Compute the size of images with their padding, as far as filters of stride 1 reach.

    Args:
        W_shape: Shape of the weights.
        geometry: Stride, which has to be 1, padding and dilation, pairs.
        out_size: Height and width of the outputs.

    Returns:
        Height and width.
    """
    lengths = zip(out_size, W_shape[2:], geometry[2], strict=True)
    return tuple(length + (k - 1) * dilate for length, k, dilate in lengths)


def _starts(numbers: Any, count: int) -> Any:
    """Tell where in ascending order each number's part begins, and where the last one's ends."""
    return numpy.concatenate([[0], numpy.cumsum(numpy.bincount(numbers, minlength=count))])
