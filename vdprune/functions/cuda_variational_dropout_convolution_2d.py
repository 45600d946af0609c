"""A two-dimensional convolution with noise on its weights, on a GPU; cuDNN has no part in it."""

import math
from typing import Any

from chainer.backends import cuda

from vdprune import kernels
from vdprune.functions.convolutional_layer import ConvolutionalLayer
from vdprune.functions.cuda_variational_layer import CudaVariationalLayer
from vdprune.functions.variational_layer import new_key

_MOST_BYTES = 2**28  # of images laid out at a time


class CudaVariationalDropoutConvolution2D(ConvolutionalLayer, CudaVariationalLayer):
    """Images are laid out once for means and variances, some at a time, and again on the way back."""

    def products(self, x: Any, b: Any) -> Any:
        rows = math.prod(self.W.shape[1:])
        self.factors = self.moments.reshape(2, self.groups, -1, rows)
        y = cuda.cupy.empty((len(x), self.output_places.size, *self.out_size), x.dtype)
        self.blocks, self.slopes, key = self._cut(x, rows), [], new_key()
        for block in self.blocks:
            products = cuda.cupy.matmul(self.factors, self._unfold(block))
            self.slopes.append(
                kernels.cuda.sample_pixels(
                    products.reshape(2, len(self.W), -1),
                    self.output_places,
                    b,
                    self.noise_scale,
                    None if self.noise is None else self.noise[block],
                    block.start,
                    key,
                    y[block],
                )
            )
        return y

    def product_gradients(self, g: Any, wants_x: bool) -> tuple[Any, Any, Any, Any]:
        make = cuda.cupy.empty_like if self.blocks else cuda.cupy.zeros_like
        g_factors = make(self.factors)
        g_x = cuda.cupy.empty_like(self.x) if wants_x else None
        for block, slopes in zip(self.blocks, self.slopes, strict=True):
            parts = kernels.cuda.part_pixel_gradients(g[block], slopes, self.output_numbers)
            parts = parts.reshape(2, self.groups, -1, slopes.shape[1])
            columns = self._unfold(block)
            for k in range(2):
                for group in range(self.groups):
                    operands = parts[k, group], columns[k, group].T
                    if block.start == 0:
                        cuda.cupy.dot(*operands, g_factors[k, group])
                    else:
                        g_factors[k, group] += cuda.cupy.dot(*operands)
                    if wants_x:  # the columns are done with
                        cuda.cupy.dot(self.factors[k, group].T, parts[k, group], columns[k, group])
            if g_x is not None:
                kernels.cuda.fold(
                    self.x[block], columns, self.input_places, *self._sizes(), g_x[block]
                )
        g_mean, g_variance = g_factors.reshape(2, *self.W.shape)
        return g_x, g_mean, g_variance, g.sum(axis=(0, 2, 3)) if self.has_bias else None

    def _unfold(self, block: slice) -> Any:
        columns = kernels.cuda.unfold(self.x[block], self.input_numbers, *self._sizes())
        rows = math.prod(self.W.shape[1:])
        return columns.reshape(2, self.groups, rows, -1)

    def _sizes(self) -> tuple[Any, ...]:
        return self.W.shape[2:], self.geometry, self.out_size

    def _cut(self, x: Any, rows: int) -> list[slice]:
        largest = max(self.groups * rows, self.output_places.size)
        per_image = 2 * largest * math.prod(self.out_size) * x.itemsize
        step = max(1, _MOST_BYTES // per_image)
        return [slice(i, min(i + step, len(x))) for i in range(0, len(x), step)]
