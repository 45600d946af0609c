"""A fully connected layer with noise on its weights."""

import math
from typing import Any

import chainer.functions as F
import numpy
from chainer import Variable, as_variable

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


class VariationalDropoutLinearFunction(VariationalLayer):
    """Fused for the CPU."""

    def products(self, x: Any, mean: Any, variance: Any, b: Any) -> Any:
        self.x = x if self.alive is None else x[:, self.alive.inputs]
        self.squared_x = self.x * self.x
        self.has_bias = b is not None
        y = self._at_outputs(self.x.dot(mean.T))
        if b is not None:
            y += b
        self.slope = self._at_outputs(self.squared_x.dot(variance.T))
        draw(y, self.slope, self.noise)
        return y

    def product_gradients(self, g: Any, wants_x: bool) -> tuple[Any, Any, Any, Any]:
        g_b = g.sum(axis=0) if self.has_bias else None
        g_through_variance = g * self.slope
        if self.alive is not None:
            g, g_through_variance = (a[:, self.alive.outputs] for a in (g, g_through_variance))
        g_x = None
        if wants_x:
            g_x = g_through_variance.dot(self.variance)
            g_x *= self.x
            g_x *= 2
            g_x += g.dot(self.mean)
            if self.alive is not None:
                g_x = _spread(g_x, self.alive.inputs, self.alive.shape[1])
        return g_x, g.T.dot(self.x), g_through_variance.T.dot(self.squared_x), g_b

    def _at_outputs(self, y: Any) -> Any:
        if self.alive is None:
            return y
        return _spread(y, self.alive.outputs, self.alive.shape[0])


def _spread(columns: Any, places: Any, width: int) -> Any:
    """Put columns at their places among zeros."""
    wide = numpy.zeros((len(columns), width), columns.dtype)
    wide[:, places] = columns
    return wide


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

    Returns:
        Pre-activations with mean x W^T + b and variance (x * x) (sigma^2)^T, shape (batch...,
        out_size), dtype of x; and the KL divergence of the weights, shape ().

    Raises:
        ArgumentError: W and log_sigma2 have different shapes, or the noise another one than the result.

    Source: Molchanov et al., ICML 2017, equations 14 and 17.
    """
    check_same_shape(W, log_sigma2)
    batch = x.shape[:n_batch_axes]
    outputs = len(W) if alive is None else alive.shape[0]
    check_noise(noise, (*batch, outputs))
    flat_x = (
        x if x.ndim == 2 else F.reshape(x, (math.prod(batch), math.prod(x.shape[n_batch_axes:])))
    )
    inputs = [as_variable(v) for v in (flat_x, W, log_sigma2, b) if v is not None]
    if _fits(*(v.array for v in inputs), alive=alive):
        y, divergence = VariationalDropoutLinearFunction(
            threshold,
            mask_variance,
            noise if noise is None else noise.reshape(len(flat_x), outputs),
            alive,
        ).apply(inputs)
        return (y if y.shape[:-1] == batch else F.reshape(y, (*batch, outputs))), divergence
    check_not_compacted(x, alive)
    alpha = log_alpha(W, log_sigma2)
    mean, variance = weight_moments(W, alpha, threshold, mask_variance)
    y = local_reparameterisation(
        F.linear(x, mean, b, n_batch_axes=n_batch_axes),
        F.linear(x * x, variance, n_batch_axes=n_batch_axes),
        noise,
    )
    return y, kl_divergence(alpha)


def _fits(x: Any, W: Any, log_sigma2: Any, b: Any = None, *, alive: Alive | None) -> bool:
    """Whether the fused function may have the arrays; what Chainer would refuse goes to Chainer."""
    arrays = (x, W, log_sigma2) if b is None else (x, W, log_sigma2, b)
    outputs, inputs = W.shape if alive is None else alive.shape
    return is_fusable(*arrays) and x.shape[1:] == (inputs,) and (b is None or b.shape == (outputs,))
