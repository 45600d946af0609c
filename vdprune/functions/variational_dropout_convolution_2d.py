"""A two-dimensional convolution with noise on its weights."""

import math
from functools import partial
from typing import Any

import chainer.functions as F
import numpy
from chainer import Variable, as_variable

from vdprune import kernels
from vdprune.functions.choice import MOST_ON_GPU, Fused, choose_fused, has_cudnn
from vdprune.functions.convolution_products import choose_products, cut_into_tasks
from vdprune.functions.convolutional_layer import ConvolutionalLayer
from vdprune.functions.cpu_variational_layer import CpuVariationalLayer
from vdprune.functions.cuda_variational_dropout_convolution_2d import (
    CudaVariationalDropoutConvolution2D,
)
from vdprune.functions.geometry import Geometry, find_out_size, has_outputs, make_geometry
from vdprune.functions.kl_divergence import kl_divergence
from vdprune.functions.local_reparameterisation import local_reparameterisation
from vdprune.functions.log_alpha import check_same_shape, log_alpha
from vdprune.functions.prior import LOG_UNIFORM
from vdprune.functions.variational_layer import (
    Alive,
    check_noise,
    check_not_compacted,
    new_key,
)
from vdprune.functions.weight_moments import weight_moments
from vdprune.threads import get_team


class VariationalDropoutConvolution2DFunction(ConvolutionalLayer, CpuVariationalLayer):
    """Images are laid out once for mean and variance, some at a time."""

    def products(self, x: Any, b: Any) -> tuple[Any, float]:
        self.x = x if self.alive is None else x.take(self.alive.inputs, axis=1)
        self.has_bias = b is not None
        filters = len(self.W) if self.alive is None else self.alive.shape[0]
        y = numpy.empty((len(x), filters, *self.out_size), x.dtype)
        key = new_key()
        mean, variance, self.alpha, self.slope = (numpy.empty_like(self.W) for _ in range(4))
        divergence = kernels.cpu.weight_moments(
            *_flat(self.W, self.log_sigma2),
            self.threshold,
            self.mask_variance,
            self.k1,
            *_flat(mean, variance, self.alpha, self.slope),
        )
        kept = ~(self.alpha < 0) if self.mask_variance else None
        self.way = choose_products(self.W.shape, self.geometry, self.groups, self.out_size, kept)
        self.factors = self.way.weights(mean), self.way.weights(variance)
        self.tasks = cut_into_tasks(len(x), x.itemsize, self.way, products=2)
        shape = len(x), filters, math.prod(self.out_size)
        self.slopes = numpy.empty(shape, y.dtype)
        noise: Any = numpy.empty((0, 0, 0), y.dtype)
        if self.noise is not None:
            noise = numpy.ascontiguousarray(self.noise, y.dtype).reshape(shape)
        if b is None:
            b = numpy.zeros(filters, x.dtype)
        tasks = [partial(self._draw, task, b, noise, key, y.reshape(shape)) for task in self.tasks]
        get_team().run(tasks)
        return y, divergence

    def _draw(self, task: list[slice], b: Any, noise: Any, key: tuple[int, int], y: Any) -> None:
        mean, variance = self.factors
        places = self._places_of_filters()
        for block in task:
            x = self.x[block]
            laid_out = self.way.inputs(x)
            means = self.way.outputs(mean, laid_out, len(x))
            self.way.square(laid_out)
            variances = self.way.outputs(variance, laid_out, len(x))
            kernels.convolution.sample(
                means,
                variances,
                self.way.steps(len(x)),
                places,
                b,
                block.start,
                self.noise_scale,
                noise[block],
                *key,
                y[block],
                self.slopes[block],
            )

    def product_gradients(
        self, g: Any, g_divergence: float, wants_x: bool
    ) -> tuple[Any, Any, Any, Any]:
        g_x = numpy.empty_like(self.x) if wants_x else None
        flat_g = g.reshape(self.slopes.shape)
        tasks = [partial(self._carry_back, task, flat_g, g_x) for task in self.tasks]
        g_mean, g_variance, g_b = (sum(parts) for parts in zip(*get_team().run(tasks), strict=True))
        kernels.cpu.weight_gradients(
            *_flat(self.W, self.alpha, self.slope),
            self.mask_variance,
            g_divergence,
            *_flat(g_mean, g_variance),
        )
        if g_x is not None and self.alive is not None:
            g_inputs, g_x = g_x, numpy.zeros((len(g), self.alive.shape[1], *g_x.shape[2:]), g.dtype)
            g_x[:, self.alive.inputs] = g_inputs
        return g_x, g_mean, g_variance, g_b if self.has_bias else None

    def _carry_back(self, task: list[slice], g: Any, g_x: Any) -> tuple[Any, Any, Any]:
        """Compute some images' gradients; return what they add to those of the weights and biases."""
        mean, variance = self.factors
        g_mean, g_variance = numpy.zeros_like(mean), numpy.zeros_like(variance)
        g_b = numpy.zeros(g.shape[1], g.dtype)
        for block in task:
            x = self.x[block]
            g_means, g_variances = self._part(g[block], self.slopes[block], g_b)
            laid_out = self.way.inputs(x)
            g_mean += self.way.weights_gradient(g_means, laid_out)
            self.way.square(laid_out)
            g_variance += self.way.weights_gradient(g_variances, laid_out)
            if g_x is not None:
                # what multiplies a pixel multiplies all its copies among the columns, so it can wait
                by_square = self.way.inputs_gradient(variance, g_variances, x, laid_out)
                by_x = self.way.inputs_gradient(mean, g_means, x, laid_out)
                kernels.convolution.combine(*_flat(x, by_x, by_square, g_x[block]))
        return self.way.weights_back(g_mean), self.way.weights_back(g_variance), g_b

    def _part(self, g: Any, slopes: Any, g_b: Any) -> tuple[Any, Any]:
        """Lay out what comes back to the means of outputs and to their variances."""
        filters = numpy.arange(len(self.W)) if self.alive is None else self.alive.outputs
        parts = numpy.empty((2, len(g) * len(filters), g.shape[2]), g.dtype)
        steps = self.way.steps(len(g))
        kernels.convolution.part_gradients(g, slopes, filters, steps, *parts, g_b)
        return self.way.outputs_back(parts[0], len(g)), self.way.outputs_back(parts[1], len(g))

    def _places_of_filters(self) -> Any:
        """Number the filters with weights; the others get -1."""
        if self.alive is None:
            return numpy.arange(len(self.W))
        places = numpy.full(self.alive.shape[0], -1)
        places[self.alive.outputs] = numpy.arange(len(self.W))
        return places


def _flat(*arrays: Any) -> list[Any]:
    return [array.reshape(-1) for array in arrays]


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
    prior: str = LOG_UNIFORM,
    noise_scale: float = 1.0,
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
        prior: Prior of the weights, ``"log-uniform"`` or ``"ard"``: see `kl_divergence`.
        noise_scale: What standard normal draws are multiplied by to get the noise; with 0 there is none.

    Returns:
        Pre-activations with mean x * W + b and variance (x^2) * (sigma^2), where * convolves;
        shape (batch, out_channels, out_height, out_width), dtype of x; and the KL divergence of the
        weights, shape ().

    Raises:
        ArgumentError: W and log_sigma2 have different shapes, or the noise another one than the result;
            or there is no such prior.

    Source: Molchanov et al., ICML 2017, equations 14 and 18.
    """
    check_same_shape(W, log_sigma2)
    inputs = [as_variable(v) for v in (x, W, log_sigma2, b) if v is not None]
    geometry = make_geometry(stride, pad, dilate)
    fused = _choose(*(v.array for v in inputs), geometry=geometry, groups=groups, alive=alive)
    if fused is not None:
        filters = len(W) if alive is None else alive.shape[0]
        out_size = find_out_size(x, W, geometry)
        check_noise(noise, (len(x), filters, *out_size))
        y, divergence = _FUSED[fused](
            geometry,
            groups,
            out_size,
            threshold,
            mask_variance,
            noise,
            alive,
            prior,
            noise_scale,
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
        noise_scale,
    )
    return y, kl_divergence(alpha, prior)


_FUSED: dict[Fused, Any] = {
    "cpu": VariationalDropoutConvolution2DFunction,
    "cuda": CudaVariationalDropoutConvolution2D,
}


def _choose(
    x: Any,
    W: Any,
    log_sigma2: Any,
    b: Any = None,
    *,
    geometry: Geometry,
    groups: int,
    alive: Alive | None,
) -> Fused | None:
    """Choose a fused function; what Chainer would refuse goes to Chainer, and cuDNN's to cuDNN."""
    arrays = (x, W, log_sigma2) if b is None else (x, W, log_sigma2, b)
    fits = (
        x.ndim == W.ndim == 4
        and x.shape[1] == (W.shape[1] * groups if alive is None else alive.shape[1])
        and len(W) % groups == 0
        and W.size
        and (b is None or b.shape == (len(W) if alive is None else alive.shape[0],))
        and has_outputs(x, W, geometry)
    )
    fused = choose_fused(*arrays) if fits else None
    if fused != "cuda" or alive is not None:
        return fused
    pixels = math.prod(find_out_size(x, W, geometry))
    per_image = max(x.shape[1] * math.prod(W.shape[2:]), len(W)) * pixels
    return None if has_cudnn() or per_image > MOST_ON_GPU else fused
