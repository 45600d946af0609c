"""A fully connected layer with noise on its weights."""

from typing import Any

import chainer.functions as F
from chainer import Variable

from vdprune.functions.local_reparameterisation import local_reparameterisation
from vdprune.functions.weight_moments import weight_moments


def variational_dropout_linear(
    x: Any,
    W: Any,
    log_alpha: Any,
    b: Any = None,
    n_batch_axes: int = 1,
    threshold: float = 3.0,
    mask_variance: bool = False,
    noise: Any = None,
) -> Variable:
    """Linear layer whose weights are drawn anew for each example.

    Args:
        x: Inputs, shape (batch..., in_size), as for ``chainer.functions.linear``.
        W: Means theta of the weights, shape (out_size, in_size).
        log_alpha: Their log alpha, same shape.
        b: Biases, shape (out_size,); they carry no noise.
        n_batch_axes: How many leading axes of x are batch axes.
        threshold: Weights with a log alpha above it are masked: see `weight_moments`.
        mask_variance: Whether their variance is masked, too.
        noise: Standard normal draws, shape of the result: see `local_reparameterisation`.

    Returns:
        Pre-activations with mean x W^T + b and variance (x * x) (sigma^2)^T, shape (batch...,
        out_size), dtype of x.

    Source: Molchanov et al., ICML 2017, equation 17.
    """
    mean, variance = weight_moments(W, log_alpha, threshold, mask_variance)
    return local_reparameterisation(
        F.linear(x, mean, b, n_batch_axes=n_batch_axes),
        F.linear(x * x, variance, n_batch_axes=n_batch_axes),
        noise,
    )
