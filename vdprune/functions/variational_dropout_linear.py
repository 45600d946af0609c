"""A fully connected layer with noise on its weights."""

import math
from typing import Any

import chainer.functions as F
import numpy
from chainer import Variable, as_variable

from vdprune.functions.choice import MOST_ON_GPU, Fused, choose_fused
from vdprune.functions.cpu_variational_layer import CpuVariationalLayer
from vdprune.functions.cuda_variational_dropout_linear import CudaVariationalDropoutLinear
from vdprune.functions.kl_divergence import kl_divergence
from vdprune.functions.linear_layers import LinearLayers
from vdprune.functions.linear_plan import LinearLayer
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


class VariationalDropoutLinearFunction(CpuVariationalLayer):
    """A single one of `LinearLayers`."""

    def products(self, x: Any, b: Any) -> tuple[Any, float]:
        noise = self.noise
        if noise is not None:
            noise = noise.T if self.alive is None else noise.T[self.alive.outputs]
            noise = numpy.ascontiguousarray(noise, x.dtype)
        layer = LinearLayer(
            self.W,
            self.log_sigma2,
            b,
            self.alive,
            self.threshold,
            self.mask_variance,
            self.prior,
            self.noise_scale,
            new_key() if self.key is None else self.key,
            noise=noise,
        )
        self.layers = LinearLayers((layer,), x)
        return self.layers.forward()

    def product_gradients(
        self, g: Any, g_divergence: float, wants_x: bool
    ) -> tuple[Any, Any, Any, Any]:
        g_x, gradients = self.layers.backward(g, g_divergence, wants_x)
        return g_x, *gradients, *[None] * (3 - len(gradients))


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
    key: tuple[int, int] | None = None,
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
        key: Two numbers below 2^32 that new draws follow from; None for others each time. Not where the
            arrays are of other dtypes than float32 or float64, nor on a GPU.

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
            key,
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
