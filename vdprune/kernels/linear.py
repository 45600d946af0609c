"""What a linear layer with noisy weights does on the CPU, for some of its outputs.

From the weights to the draws, and back: nothing of Python is needed in between, so that threads which
have some of the outputs each do not wait for each other.
"""

from typing import Any

import numpy

from vdprune.kernels.compiled import compiled
from vdprune.kernels.cpu import weight_gradients, weight_moments
from vdprune.kernels.noise import sample

# See vdprune/kernels/cpu.py.
_TAKEN_FROM_ELSEWHERE = "0ff5156150ee46ff"

__all__ = ["backward", "forward", "select"]


@compiled
def select(x: Any, inputs: Any, selected: Any, squared: Any) -> None:
    """Take some of the inputs, and square them.

    Args:
        x: Inputs, shape (batch, all inputs).
        inputs: Numbers of those to take.
        selected: Result, shape (batch, inputs).
        squared: Result: its squares.
    """
    for i in range(x.shape[0]):
        for j in range(inputs.size):
            value = x[i, inputs[j]]
            selected[i, j] = value
            squared[i, j] = value * value


@compiled
def forward(
    x: Any,
    squared_x: Any,
    weights: Any,
    b: Any,
    threshold: float,
    mask_variance: bool,
    k1: float,
    moments: Any,
    outputs: Any,
    noise_scale: float,
    noise: Any,
    key0: int,
    key1: int,
    y: Any,
    slopes: Any,
) -> float:
    """Draw pre-activations.

    Args:
        x: Inputs, shape (batch, inputs).
        squared_x: Their squares.
        weights: W and log_sigma2 of the outputs, shape (outputs, inputs) each.
        b: Biases of the outputs.
        threshold: Weights with a log alpha above it are masked.
        mask_variance: Whether their variance is masked, too.
        k1: As `weight_moments` takes it.
        moments: Results: mean, variance, alpha and slope of `weight_moments`, shaped like W.
        outputs: Numbers of the outputs, uint32.
        noise_scale: As `vdprune.kernels.noise.sample` takes it.
        noise: Standard normal draws to use, shape (batch, outputs); empty for new ones.
        key0: First half of the key of the noise.
        key1: Second half.
        y: Result: the pre-activations, shape (batch, all outputs); these outputs' columns are written.
        slopes: Result: their slopes by the variance, shape (batch, outputs).

    Returns:
        The KL divergence of the weights, summed.
    """
    W, log_sigma2 = weights
    mean, variance, alpha, slope = moments
    divergence = weight_moments(
        W.reshape(-1),
        log_sigma2.reshape(-1),
        threshold,
        mask_variance,
        k1,
        mean.reshape(-1),
        variance.reshape(-1),
        alpha.reshape(-1),
        slope.reshape(-1),
    )
    draws = numpy.dot(x, mean.T)
    numpy.dot(squared_x, variance.T, slopes)
    sample(draws, slopes, outputs, noise_scale, noise, key0, key1)
    for i in range(draws.shape[0]):
        for j in range(draws.shape[1]):
            y[i, outputs[j]] = draws[i, j] + b[j]
    return divergence


@compiled
def backward(
    g: Any,
    x: Any,
    squared_x: Any,
    W: Any,
    mask_variance: bool,
    moments: Any,
    outputs: Any,
    slopes: Any,
    g_divergence: float,
    wants_x: bool,
    g_W: Any,
    g_log_sigma2: Any,
    g_x: Any,
) -> None:
    """Compute the gradients of what `forward` was given.

    Args:
        g: Gradient of the pre-activations, shape (batch, all outputs).
        x: Inputs.
        squared_x: Their squares.
        W: Means theta of the weights.
        mask_variance: Whether the variance of masked weights is masked, too.
        moments: As `forward` left them.
        outputs: Numbers of the outputs.
        slopes: As `forward` left them.
        g_divergence: Gradient of the KL divergence.
        wants_x: Whether the gradient of the inputs is wanted.
        g_W: Result: gradient of W.
        g_log_sigma2: Result: gradient of log_sigma2.
        g_x: Result: what these outputs add to the gradient of the inputs.
    """
    mean, variance, alpha, slope = moments
    g_mean, g_variance = numpy.empty_like(slopes), numpy.empty_like(slopes)
    for i in range(slopes.shape[0]):
        for j in range(slopes.shape[1]):
            g_mean[i, j] = g[i, outputs[j]]
            g_variance[i, j] = g_mean[i, j] * slopes[i, j]
    numpy.dot(g_mean.T, x, g_W)
    numpy.dot(g_variance.T, squared_x, g_log_sigma2)
    weight_gradients(
        W.reshape(-1),
        alpha.reshape(-1),
        slope.reshape(-1),
        mask_variance,
        g_divergence,
        g_W.reshape(-1),
        g_log_sigma2.reshape(-1),
    )
    if wants_x:
        numpy.dot(g_mean, mean, g_x)
        through_variance = numpy.dot(g_variance, variance)
        two = x.dtype.type(2)
        for i in range(x.shape[0]):
            for j in range(x.shape[1]):
                g_x[i, j] += two * x[i, j] * through_variance[i, j]
