"""A convolution of 3x3 weights as products of matrices in a basis where there are fewer of them."""

import math
from typing import Any

import numpy

from vdprune import kernels


class WinogradProducts:
    """Filters of 3x3 weights with stride 1 take 1/4 or 4/9 of it: see `vdprune.kernels.winograd`.

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
        # large tiles take fewer multiplications, unless too much of them is beyond the edges
        self.tile = min(2, 4, key=lambda tile: (tile + 2) ** 2 * math.prod(_count(tile, out_size)))
        self.down, self.across = _count(self.tile, out_size)
        self.products = (self.tile + 2) ** 2
        self.numbers_per_image = self.products * self.W_shape[1] * self.down * self.across
        self.multiplications_per_image = W_shape[0] * self.numbers_per_image

    def steps(self, images: int) -> tuple[int, int]:
        """Tell how rows of outputs are ordered."""
        return 1, self.W_shape[0]

    def weights(self, W: Any) -> Any:
        """Lay out weights."""
        basis = kernels.winograd.FILTER_BASES[self.tile].astype(W.dtype)
        return numpy.dot(basis, W.reshape(-1, 9).T).reshape(self.products, *self.W_shape[:2])

    def weights_back(self, g: Any) -> Any:
        """Carry gradients back through `weights`."""
        basis = kernels.winograd.FILTER_BASES[self.tile].astype(g.dtype)
        return numpy.dot(g.reshape(self.products, -1).T, basis).reshape(self.W_shape)

    def inputs(self, x: Any) -> Any:
        """Lay out images: as they are, padded and with channels last, and in the other basis."""
        shape = len(x), self.tile * self.down + 2, self.tile * self.across + 2, x.shape[1]
        padded = numpy.zeros(shape, x.dtype)
        kernels.winograd.channels_last(x, *self.pad, padded)
        columns = numpy.empty(
            (self.products, len(x) * self.down * self.across, x.shape[1]), x.dtype
        )
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
        products = numpy.empty(
            (self.products, images * self.down * self.across, rows.shape[1]), g.dtype
        )
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
        shape = images, self.tile * self.down, self.tile * self.across, self.W_shape[0]
        return numpy.empty(shape, products.dtype)

    def _as_basis(self, products: Any, images: int) -> Any:
        return products.reshape(self.products, images, self.down, self.across, -1)


def _count(tile: int, out_size: tuple[int, ...]) -> tuple[int, int]:
    """Count the tiles of the outputs, down and across."""
    height, width = out_size
    return -(-height // tile), -(-width // tile)
