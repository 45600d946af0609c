"""A two-dimensional convolution with noise on its weights."""

import math
from functools import partial
from typing import Any

import chainer.functions as F
import numpy
from chainer import Variable, as_variable
from chainer.utils.conv import get_conv_outsize

from vdprune import kernels
from vdprune.functions.kl_divergence import kl_divergence
from vdprune.functions.local_reparameterisation import local_reparameterisation
from vdprune.functions.log_alpha import check_same_shape, log_alpha
from vdprune.functions.variational_layer import (
    Alive,
    VariationalLayer,
    check_noise,
    check_not_compacted,
    is_fusable,
    new_key,
)
from vdprune.functions.weight_moments import weight_moments
from vdprune.threads import get_team

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

    def products(self, x: Any, b: Any) -> tuple[Any, float]:
        self.x = x if self.alive is None else x.take(self.alive.inputs, axis=1)
        self.has_bias = b is not None
        self.ksize = self.W.shape[2:]
        self.out_size = _out_size(x, self.W, self.geometry)
        filters = len(self.W) if self.alive is None else self.alive.shape[0]
        y = numpy.empty((len(x), filters, *self.out_size), x.dtype)
        key = new_key()
        divergence = kernels.cpu.weight_moments(
            *self.flat("W", "log_sigma2"),
            self.threshold,
            self.mask_variance,
            *self.flat("mean", "variance", "alpha", "slope"),
        )
        self.blocks = self._cut_into_blocks()
        self.slopes: list[Any] = [None] * len(self.blocks)
        get_team().run(
            [partial(self._block_of_products, i, b, y, key) for i in range(len(self.blocks))]
        )
        return y, divergence

    def _block_of_products(self, i: int, b: Any, y: Any, key: tuple[int, int]) -> None:
        block, filters = self.blocks[i], y.shape[1]
        columns = self._unfold(self.x[block])
        draws = self._at_filters(numpy.matmul(self._by_group(self.mean), columns))
        numpy.multiply(columns, columns, out=columns)
        slope = self._at_filters(numpy.matmul(self._by_group(self.variance), columns))
        pixels = math.prod(self.out_size)
        numbers = numpy.arange(block.start * pixels, block.stop * pixels, dtype=numpy.uint32)
        noise = numpy.empty((0, 0), y.dtype)
        if self.noise is not None:
            noise = self._filters_first(self.noise[block].astype(y.dtype)).reshape(filters, -1)
        flat_draws, flat_slope = (array.reshape(filters, -1) for array in (draws, slope))
        kernels.cpu.sample(flat_draws, flat_slope, numbers, noise, *key)
        self.slopes[i] = slope
        draws = draws.reshape(filters, -1, *self.out_size).transpose(1, 0, 2, 3)
        if b is None:
            y[block] = draws
        else:
            numpy.add(draws, b[:, None, None], out=y[block])

    def product_gradients(
        self, g: Any, g_divergence: float, wants_x: bool
    ) -> tuple[Any, Any, Any, Any]:
        g_x = numpy.empty_like(self.x) if wants_x else None
        parts = get_team().run(
            [partial(self._block_of_gradients, i, g, g_x) for i in range(len(self.blocks))]
        )
        g_mean, g_variance = numpy.zeros_like(self.W), numpy.zeros_like(self.W)
        for part_of_mean, part_of_variance in parts:
            g_mean += part_of_mean.reshape(self.W.shape)
            g_variance += part_of_variance.reshape(self.W.shape)
        self.gradients_of_weights(g_divergence, g_mean, g_variance)
        if g_x is not None and self.alive is not None:
            g_inputs, g_x = g_x, numpy.zeros((len(g), self.alive.shape[1], *g_x.shape[2:]), g.dtype)
            g_x[:, self.alive.inputs] = g_inputs
        return g_x, g_mean, g_variance, g.sum(axis=(0, 2, 3)) if self.has_bias else None

    def _block_of_gradients(self, i: int, g: Any, g_x: Any) -> tuple[Any, Any]:
        block = self.blocks[i]
        columns = self._unfold(self.x[block])
        g = self._filters_first(g[block])
        g_through_variance = g * self.slopes[i]
        if self.alive is not None:
            g, g_through_variance = (a[:, self.alive.outputs] for a in (g, g_through_variance))
        g_mean = numpy.matmul(g, columns.transpose(0, 2, 1))
        numpy.multiply(columns, columns, out=columns)
        g_variance = numpy.matmul(g_through_variance, columns.transpose(0, 2, 1))
        if g_x is not None:
            # a column holds copies of pixels: what multiplies it multiplies them, after folding
            g_block = self._fold(self.variance, g_through_variance, block, columns)
            g_block *= self.x[block]
            g_block *= 2
            g_block += self._fold(self.mean, g, block, columns)
            g_x[block] = g_block
        return g_mean, g_variance

    def _at_filters(self, y: Any) -> Any:
        """Put alive filters' outputs, in one group, at their places among zeros."""
        if self.alive is None:
            return y
        wide = numpy.zeros((1, self.alive.shape[0], y.shape[2]), y.dtype)
        wide[:, self.alive.outputs] = y
        return wide

    def _cut_into_blocks(self) -> list[slice]:
        """Cut the batch into parts whose unfolded images fit into cache, one a thread at least."""
        channels = self.x.shape[1]
        per_image = self.x.itemsize * channels * math.prod(self.ksize) * math.prod(self.out_size)
        products = 2 * len(self.W) * per_image // self.x.itemsize * len(self.x)
        fair = -(-len(self.x) // len(get_team().split(len(self.x), products)))
        step = max(1, min(_BLOCK_BYTES // per_image, fair))
        return [slice(i, min(i + step, len(self.x))) for i in range(0, len(self.x), step)]

    def _by_group(self, W: Any) -> Any:
        return W.reshape(self.groups, len(W) // self.groups, -1)

    def _filters_first(self, y: Any) -> Any:
        """From (images, filters, height, width) to (groups, filters / groups, the rest)."""
        return numpy.ascontiguousarray(y.transpose(1, 0, 2, 3)).reshape(
            self.groups, y.shape[1] // self.groups, -1
        )

    def _unfold(self, x: Any) -> Any:
        columns = numpy.empty((x.shape[1], *self.ksize, len(x), *self.out_size), x.dtype)
        kernels.unfolding.unfold(x, *self.geometry, columns)
        rows = x.shape[1] // self.groups * math.prod(self.ksize)
        return columns.reshape(self.groups, rows, -1)

    def _fold(self, W: Any, g: Any, block: slice, columns: Any) -> Any:
        """Carry gradients of some images' outputs back through weights; the columns are written over."""
        numpy.matmul(self._by_group(W).transpose(0, 2, 1), g, out=columns)
        x = numpy.zeros_like(self.x[block])
        kernels.unfolding.fold(
            columns.reshape(x.shape[1], *self.ksize, len(x), *self.out_size), *self.geometry, x
        )
        return x


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
