"""A convolution as a product of matrices, its images laid out for it."""

import math
from typing import Any

import numpy

from vdprune import kernels
from vdprune.functions.filters_first import FiltersFirst
from vdprune.functions.geometry import Geometry


class UnfoldedProducts(FiltersFirst):
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
        self.multiplications_per_image = W_shape[0] * self.numbers_per_image

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
