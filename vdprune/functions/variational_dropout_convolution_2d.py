"""A two-dimensional convolution with noise on its weights."""

import math
from typing import Any

import chainer.functions as F
import numpy
from chainer import Variable, as_variable
from chainer.utils.conv import get_conv_outsize

from vdprune.functions.kl_divergence import kl_divergence
from vdprune.functions.local_reparameterisation import local_reparameterisation
from vdprune.functions.log_alpha import check_same_shape, log_alpha
from vdprune.functions.variational_layer import (
    Alive,
    VariationalLayer,
    check_noise,
    check_not_compacted,
    draw,
    is_fusable,
)
from vdprune.functions.weight_moments import weight_moments

_Geometry = tuple[tuple[int, int], tuple[int, int], tuple[int, int]]
# of unfolded images at a time: they are still in cache when they are squared and multiplied
_BLOCK_BYTES = 2**22


class VariationalDropoutConvolution2DFunction(VariationalLayer):
    """Fused for the CPU: images are unfolded once for mean and variance, some at a time.

    Args:
        geometry: Stride, padding and dilation, pairs.
        groups: Number of groups of channels.
        threshold: Weights with a log alpha above it are masked.
        mask_variance: Whether their variance is masked, too.
        noise: Standard normal draws to use, or None for new ones.
        alive: Which filters and channels the weights are for; None for all.
    """

    def __init__(
        self,
        geometry: _Geometry,
        groups: int,
        threshold: float,
        mask_variance: bool,
        noise: Any,
        alive: Alive | None,
    ) -> None:
        super().__init__(threshold, mask_variance, noise, alive)
        self.geometry = geometry
        self.groups = groups

    def products(self, x: Any, mean: Any, variance: Any, b: Any) -> Any:
        self.x = x if self.alive is None else x.take(self.alive.inputs, axis=1)
        self.has_bias = b is not None
        self.ksize = mean.shape[2:]
        filters = len(mean) if self.alive is None else self.alive.shape[0]
        size = _out_size(x, mean, self.geometry)
        y = numpy.empty((len(x), filters, *size), x.dtype)
        self.slopes = []
        for block in self._blocks(size):
            columns = self._unfold(self.x[block], size)
            draws = self._at_filters(numpy.matmul(self._by_group(mean), columns))
            numpy.multiply(columns, columns, out=columns)
            slope = self._at_filters(numpy.matmul(self._by_group(variance), columns))
            draw(
                draws, slope, None if self.noise is None else self._filters_first(self.noise[block])
            )
            self.slopes.append(slope)
            draws = draws.reshape(filters, -1, *size).transpose(1, 0, 2, 3)
            if b is None:
                y[block] = draws
            else:
                numpy.add(draws, b[:, None, None], out=y[block])
        return y

    def product_gradients(self, g: Any, wants_x: bool) -> tuple[Any, Any, Any, Any]:
        mean, variance = self._by_group(self.mean), self._by_group(self.variance)
        g_mean, g_variance = numpy.zeros_like(mean), numpy.zeros_like(variance)
        g_x = numpy.zeros_like(self.x) if wants_x else None
        size = g.shape[2:]
        for block, slope in zip(self._blocks(size), self.slopes, strict=True):
            columns = self._unfold(self.x[block], size)
            g_block = self._filters_first(g[block])
            g_through_variance = g_block * slope
            if self.alive is not None:
                g_block, g_through_variance = (
                    array[:, self.alive.outputs] for array in (g_block, g_through_variance)
                )
            g_mean += numpy.matmul(g_block, columns.transpose(0, 2, 1))
            squares = columns * columns
            g_variance += numpy.matmul(g_through_variance, squares.transpose(0, 2, 1))
            if g_x is not None:
                g_columns = numpy.matmul(
                    variance.transpose(0, 2, 1), g_through_variance, out=squares
                )
                g_columns *= columns
                g_columns *= 2
                g_columns += numpy.matmul(mean.transpose(0, 2, 1), g_block)
                self._fold(g_columns, g_x[block], size)
        g_mean, g_variance = (g_W.reshape(self.mean.shape) for g_W in (g_mean, g_variance))
        if g_x is not None and self.alive is not None:
            g_inputs, g_x = g_x, numpy.zeros((len(g), self.alive.shape[1], *g_x.shape[2:]), g.dtype)
            g_x[:, self.alive.inputs] = g_inputs
        return g_x, g_mean, g_variance, g.sum(axis=(0, 2, 3)) if self.has_bias else None

    def _at_filters(self, y: Any) -> Any:
        """Put alive filters' outputs, in one group, at their places among zeros."""
        if self.alive is None:
            return y
        wide = numpy.zeros((1, self.alive.shape[0], y.shape[2]), y.dtype)
        wide[:, self.alive.outputs] = y
        return wide

    def _blocks(self, size: tuple[int, ...]) -> list[slice]:
        """Cut the batch into parts whose unfolded images fit into cache."""
        channels = self.x.shape[1]
        per_image = self.x.itemsize * channels * math.prod(self.ksize) * math.prod(size)
        step = max(1, _BLOCK_BYTES // per_image)
        return [slice(i, i + step) for i in range(0, len(self.x), step)]

    def _by_group(self, W: Any) -> Any:
        return W.reshape(self.groups, len(W) // self.groups, -1)

    def _filters_first(self, y: Any) -> Any:
        """From (images, filters, height, width) to (groups, filters / groups, the rest)."""
        return numpy.ascontiguousarray(y.transpose(1, 0, 2, 3)).reshape(
            self.groups, y.shape[1] // self.groups, -1
        )

    def _unfold(self, x: Any, size: tuple[int, ...]) -> Any:
        from vdprune.kernels.unfolding import unfold

        columns = numpy.empty((x.shape[1], *self.ksize, len(x), *size), x.dtype)
        unfold(x, *self.geometry, columns)
        rows = x.shape[1] // self.groups * math.prod(self.ksize)
        return columns.reshape(self.groups, rows, -1)

    def _fold(self, columns: Any, x: Any, size: tuple[int, ...]) -> None:
        from vdprune.kernels.unfolding import fold

        fold(columns.reshape(x.shape[1], *self.ksize, len(x), *size), *self.geometry, x)


def variational_dropout_convolution_2d(
    x: Any,
    W: Any,
    log_sigma2: Any,
    b: Any = None,
    stride: int | tuple[int, int] = 1,
    pad: int | tuple[int, int] = 0,
    dilate: int | tuple[int, int] = 1,
    groups: int = 1,
    threshold: float = 3.0,
    mask_variance: bool = True,
    noise: Any = None,
    alive: Alive | None = None,
) -> tuple[Variable, Variable]:
    """Convolution whose weights are noisy, the noise drawn for each output on its own.

    Args:
        x: Images, shape (batch, in_channels, height, width).
        W: Means theta of the weights, shape (out_channels, in_channels / groups, kh, kw).
        log_sigma2: Logarithms of their variances, same shape.
        b: Biases, shape (out_channels,); they carry no noise.
        stride: Step of the filters in pixels.
        pad: Zeros added around the images in pixels.
        dilate: Distance between neighbouring filter weights in pixels.
        groups: Number of groups of channels.
        threshold: Weights with a log alpha above it are masked: see `weight_moments`.
        mask_variance: Whether their variance is masked, too.
        noise: Standard normal draws, shape of the result; None for new ones.
        alive: Which filters and channels W and log_sigma2 are for, where the others have no weights,
            in a convolution of one group; None for all.

    Returns:
        Pre-activations with mean x * W + b and variance (x^2) * (sigma^2), where * convolves;
        shape (batch, out_channels, out_height, out_width), dtype of x; and the KL divergence of the
        weights, shape ().

    Raises:
        ArgumentError: W and log_sigma2 have different shapes, or the noise another one than the result.

    Source: Molchanov et al., ICML 2017, equations 14 and 18.
    """
    check_same_shape(W, log_sigma2)
    inputs = [as_variable(v) for v in (x, W, log_sigma2, b) if v is not None]
    geometry = (_pair(stride), _pair(pad), _pair(dilate))
    if _fits(*(v.array for v in inputs), geometry=geometry, groups=groups, alive=alive):
        filters = len(W) if alive is None else alive.shape[0]
        check_noise(noise, (len(x), filters, *_out_size(x, W, geometry)))
        y, divergence = VariationalDropoutConvolution2DFunction(
            geometry, groups, threshold, mask_variance, noise, alive
        ).apply(inputs)
        return y, divergence
    check_not_compacted(x, alive)
    alpha = log_alpha(W, log_sigma2)
    mean, variance = weight_moments(W, alpha, threshold, mask_variance)
    arguments = {"stride": stride, "pad": pad, "dilate": dilate, "groups": groups}
    y = local_reparameterisation(
        F.convolution_2d(x, mean, b, **arguments),
        F.convolution_2d(x * x, variance, None, **arguments),
        noise,
    )
    return y, kl_divergence(alpha)


def _fits(
    x: Any,
    W: Any,
    log_sigma2: Any,
    b: Any = None,
    *,
    geometry: _Geometry,
    groups: int,
    alive: Alive | None,
) -> bool:
    """Whether the fused function may have the arrays; what Chainer would refuse goes to Chainer."""
    arrays = (x, W, log_sigma2) if b is None else (x, W, log_sigma2, b)
    return (
        is_fusable(*arrays)
        and x.ndim == W.ndim == 4
        and x.shape[1] == (W.shape[1] * groups if alive is None else alive.shape[1])
        and len(W) % groups == 0
        and (b is None or len(b) == (len(W) if alive is None else alive.shape[0]))
        and min(_out_size(x, W, geometry)) > 0
    )


def _out_size(x: Any, W: Any, geometry: _Geometry) -> tuple[int, ...]:
    return tuple(
        get_conv_outsize(length, k, stride, pad, d=dilate)
        for length, k, stride, pad, dilate in zip(x.shape[2:], W.shape[2:], *geometry, strict=True)
    )


def _pair(value: int | tuple[int, int]) -> tuple[int, int]:
    first, second = (value, value) if isinstance(value, int | numpy.integer) else value
    return int(first), int(second)
