"""A fully connected layer with noise on its weights."""

import functools
import math
from functools import partial
from typing import Any

import chainer.functions as F
import numpy
from chainer import Variable, as_variable

from vdprune import kernels
from vdprune.functions.choice import MOST_ON_GPU, Fused, choose_fused
from vdprune.functions.cpu_variational_layer import CpuVariationalLayer
from vdprune.functions.cuda_variational_dropout_linear import CudaVariationalDropoutLinear
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


class VariationalDropoutLinearFunction(CpuVariationalLayer):
    """The outputs are shared among threads."""

    def products(self, x: Any, b: Any) -> tuple[Any, float]:
        self.x, self.has_bias, key = x, b is not None, new_key()
        width = len(self.W) if self.alive is None else self.alive.shape[0]
        y = numpy.empty((len(x), width), x.dtype)
        if b is None:
            b = numpy.zeros(width, x.dtype)
        if self.alive is None:
            self.input_numbers, self.output_numbers = _numbers(x.shape[1], width)
        else:
            self.input_numbers, self.output_numbers = self.alive.inputs, self.alive.output_numbers
            y[:] = b  # which is all that an output without weights has
            b = b[self.output_numbers]
        noise = numpy.empty((0, 0), y.dtype)
        if self.noise is not None:
            noise = numpy.ascontiguousarray(self.noise.T[self.output_numbers], y.dtype)
        panels, squares = kernels.products.lay_out_turned(x, self.input_numbers)
        team = get_team()
        # 150 is what else is done to a weight, in multiplications
        self.parts = team.split(len(self.W), self.W.size * (2 * len(x) + 150))
        self.slopes = numpy.empty((len(self.W), len(x)), x.dtype)
        tasks = [
            partial(
                kernels.linear.forward,
                panels,
                squares,
                self.W[rows],
                self.log_sigma2[rows],
                b[rows],
                self.threshold,
                self.mask_variance,
                self.k1,
                self.alpha[rows],
                self.slope[rows],
                self.output_numbers[rows],
                self.noise_scale,
                noise[rows],
                *key,
                y,
                self.slopes[rows],
            )
            for rows in self.parts
        ]
        return y, sum(team.run(tasks, use_blas=False))

    def product_gradients(
        self, g: Any, g_divergence: float, wants_x: bool
    ) -> tuple[Any, Any, Any, Any]:
        g_W, g_log_sigma2 = numpy.empty_like(self.W), numpy.empty_like(self.W)
        shape = (len(g), len(self.input_numbers)) if wants_x else (0, 0)
        parts_of_g_x = [numpy.empty(shape, g.dtype) for _ in self.parts]
        tasks = [
            partial(
                kernels.linear.backward,
                g,
                self.x,
                self.input_numbers,
                self.W[rows],
                self.mask_variance,
                self.alpha[rows],
                self.slope[rows],
                self.output_numbers[rows],
                self.slopes[rows],
                g_divergence,
                wants_x,
                g_W[rows],
                g_log_sigma2[rows],
                g_x,
            )
            for rows, g_x in zip(self.parts, parts_of_g_x, strict=True)
        ]
        get_team().run(tasks, use_blas=False)
        g_x = sum(parts_of_g_x[1:], start=parts_of_g_x[0]) if wants_x else None
        if wants_x and self.alive is not None:
            g_inputs, g_x = g_x, numpy.zeros((len(g), self.alive.shape[1]), g.dtype)
            g_x[:, self.alive.inputs] = g_inputs
        return g_x, g_W, g_log_sigma2, g.sum(axis=0) if self.has_bias else None


@functools.lru_cache(maxsize=64)
def _numbers(inputs: int, outputs: int) -> tuple[Any, Any]:
    return numpy.arange(inputs), numpy.arange(outputs, dtype="u4")


def variational_dropout_linear(
    x: Any,
    W: Any,
    log_sigma2: Any,
    b: Any = None,
    n_batch_axes: int = 1,
    threshold: float = 3.0,
    mask_variance: bool = False,
    noise: Any = None,
    alive: Alive | None = None,
    prior: str = LOG_UNIFORM,
    noise_scale: float = 1.0,
) -> tuple[Variable, Variable]:
    """Linear layer whose weights are drawn anew for each example.

    Args:
        x: Inputs, shape (batch..., in_size), as for ``chainer.functions.linear``.
        W: Means theta of the weights, shape (out_size, in_size).
        log_sigma2: Logarithms of their variances, same shape.
        b: Biases, shape (out_size,); they carry no noise.
        n_batch_axes: How many leading axes of x are batch axes.
        threshold: Weights with a log alpha above it are masked: see `weight_moments`.
        mask_variance: Whether their variance is masked, too.
        noise: Standard normal draws, shape of the result; None for new ones.
        alive: Which outputs and inputs W and log_sigma2 are for, where the others have no weights;
            None for all.
        prior: Prior of the weights, ``"log-uniform"`` or ``"ard"``: see `kl_divergence`.
        noise_scale: What standard normal draws are multiplied by to get the noise; with 0 there is none.

    Returns:
        Pre-activations with mean x W^T + b and variance (x * x) (sigma^2)^T, shape (batch...,
        out_size), dtype of x; and the KL divergence of the weights, shape ().

    Raises:
        ArgumentError: W and log_sigma2 have different shapes, or the noise another one than the result;
            or there is no such prior.

    Source: Molchanov et al., ICML 2017, equations 14 and 17.
    """
    check_same_shape(W, log_sigma2)
    batch = x.shape[:n_batch_axes]
    outputs = len(W) if alive is None else alive.shape[0]
    check_noise(noise, (*batch, outputs))
    flat_x = x
    if x.ndim != 2:
        flat = math.prod(batch), math.prod(x.shape[n_batch_axes:])
        flat_x = F.reshape(x, flat) if isinstance(x, Variable) else x.reshape(flat)
    inputs = [as_variable(v) for v in (flat_x, W, log_sigma2, b) if v is not None]
    fused = _choose(*[v.raw_array for v in inputs], alive=alive)
    if fused is not None:
        function = _FUSED[fused](
            threshold,
            mask_variance,
            noise if noise is None else noise.reshape(len(flat_x), outputs),
            alive,
            prior,
            noise_scale,
        )
        y, divergence = function.apply(inputs)
        return (y if y.shape[:-1] == batch else F.reshape(y, (*batch, outputs))), divergence
    check_not_compacted(x, alive)
    alpha = log_alpha(W, log_sigma2)
    mean, variance = weight_moments(W, alpha, threshold, mask_variance)
    y = local_reparameterisation(
        F.linear(x, mean, b, n_batch_axes=n_batch_axes),
        F.linear(x * x, variance, n_batch_axes=n_batch_axes),
        noise,
        noise_scale,
    )
    return y, kl_divergence(alpha, prior)


_FUSED: dict[Fused, Any] = {
    "cpu": VariationalDropoutLinearFunction,
    "cuda": CudaVariationalDropoutLinear,
}


def _choose(x: Any, W: Any, log_sigma2: Any, b: Any = None, *, alive: Alive | None) -> Fused | None:
    """Choose a fused function; what Chainer would refuse goes to Chainer."""
    arrays = (x, W, log_sigma2) if b is None else (x, W, log_sigma2, b)
    outputs, inputs = W.shape if alive is None else alive.shape
    fits = x.shape[1:] == (inputs,) and (b is None or b.shape == (outputs,))
    fused = choose_fused(*arrays) if fits else None
    return None if fused == "cuda" and len(x) * outputs > MOST_ON_GPU else fused
