"""What a linear layer with noisy weights does on the CPU, for some of its outputs.

From the weights to the draws, and back: nothing of Python is needed in between, so that threads which
have some of the outputs each do not wait for each other. Some outputs at a time go through all of it, so
that what is made of their weights stays in the processor's cache.
"""

from typing import Any

import numpy
from numpy import uintp

from vdprune.kernels.compiled import compiled
from vdprune.kernels.cpu import weight_gradients, weight_moments
from vdprune.kernels.noise import sample_turned
from vdprune.kernels.products import TILE_ROWS, lay_out, make_panels, multiply

# See vdprune/kernels/cpu.py.
_TAKEN_FROM_ELSEWHERE = "b699f56562aa2a36"

__all__ = ["backward", "forward"]

_GROUP_BYTES = 2**17  # of the moments of the outputs that are gone through at a time


@compiled
def forward(
    panels: Any,
    squares: Any,
    W: Any,
    log_sigma2: Any,
    b: Any,
    threshold: float,
    mask_variance: bool,
    k1: float,
    alpha: Any,
    slope: Any,
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
        panels: Inputs, as `vdprune.kernels.products.lay_out_turned` lays them out.
        squares: Their squares.
        W: Means theta of the weights, shape (outputs, inputs).
        log_sigma2: Logarithms of their variances.
        b: Biases of the outputs.
        threshold: Weights with a log alpha above it are masked.
        mask_variance: Whether their variance is masked, too.
        k1: As `weight_moments` takes it.
        alpha: Result of `weight_moments`, shaped like W.
        slope: Another.
        outputs: Numbers of the outputs, uint32.
        noise_scale: As `vdprune.kernels.noise.sample` takes it.
        noise: Standard normal draws to use, shape (outputs, batch); empty for new ones.
        key0: First half of the key of the noise.
        key1: Second half.
        y: Result: the pre-activations, shape (batch, all outputs); these outputs' columns are written.
        slopes: Result: their slopes by the variance, shape (outputs, batch).

    Returns:
        The KL divergence of the weights, summed.
    """
    rows, inputs = W.shape
    batch = y.shape[0]
    group = _rows_of_a_group(inputs, W.itemsize)
    # two arrays: see _log_alpha in vdprune/kernels/cpu.py
    mean, variance = numpy.empty(group * inputs, W.dtype), numpy.empty(group * inputs, W.dtype)
    draws = numpy.empty((group, batch), W.dtype)
    divergence = 0.0
    for first in range(0, rows, group):
        last = min(first + group, rows)
        part, size = slice(first * inputs, last * inputs), (last - first) * inputs
        divergence += weight_moments(
            W.reshape(-1)[part],
            log_sigma2.reshape(-1)[part],
            threshold,
            mask_variance,
            k1,
            mean[:size],
            variance[:size],
            alpha.reshape(-1)[part],
            slope.reshape(-1)[part],
        )
        here = slopes[first:last]
        multiply(mean, inputs, 1, last - first, panels, batch, draws.reshape(-1))
        multiply(variance, inputs, 1, last - first, squares, batch, here.reshape(-1))
        given = noise[first:last]
        sample_turned(draws, here, outputs[first:last], noise_scale, given, key0, key1)
        for i in range(batch):
            for j in range(last - first):
                y[i, outputs[first + j]] = draws[j, i] + b[first + j]
    return divergence


@compiled
def _rows_of_a_group(inputs: int, itemsize: int) -> int:
    return max(1, _GROUP_BYTES // (2 * inputs * itemsize * TILE_ROWS)) * TILE_ROWS


@compiled
def backward(
    g: Any,
    x: Any,
    inputs: Any,
    W: Any,
    mask_variance: bool,
    alpha: Any,
    slope: Any,
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
        x: Inputs, shape (batch, all inputs).
        inputs: Numbers of those that the weights are for.
        W: Means theta of the weights.
        mask_variance: Whether the variance of masked weights is masked, too.
        alpha: As `forward` left it.
        slope: As `forward` left it.
        outputs: Numbers of the outputs.
        slopes: As `forward` left them.
        g_divergence: Gradient of the KL divergence.
        wants_x: Whether the gradient of the inputs is wanted.
        g_W: Result: gradient of W.
        g_log_sigma2: Result: gradient of log_sigma2.
        g_x: Result: what these outputs add to the gradient of the inputs.
    """
    rows, columns = W.shape
    batch = x.shape[0]
    g_mean, g_variance = numpy.empty_like(slopes), numpy.empty_like(slopes)
    for j in range(rows):
        for i in range(batch):
            g_mean[j, i] = g[i, outputs[j]]
        for i in range(batch):
            g_variance[j, i] = g_mean[j, i] * slopes[j, i]
    panels, squares = lay_out(x, inputs)
    group = _rows_of_a_group(columns, W.itemsize)
    for first in range(0, rows, group):
        last = min(first + group, rows)
        part = slice(first * columns, last * columns)
        to_W, to_log_sigma2 = g_W.reshape(-1)[part], g_log_sigma2.reshape(-1)[part]
        multiply(g_mean[first:last].reshape(-1), batch, 1, last - first, panels, columns, to_W)
        by_variance = g_variance[first:last].reshape(-1)
        multiply(by_variance, batch, 1, last - first, squares, columns, to_log_sigma2)
        weight_gradients(
            W.reshape(-1)[part],
            alpha.reshape(-1)[part],
            slope.reshape(-1)[part],
            mask_variance,
            g_divergence,
            to_W,
            to_log_sigma2,
        )
    if wants_x:
        means, variances = make_panels(columns, rows, x), make_panels(columns, rows, x)
        _lay_out_moments(W, alpha, mask_variance, means, variances)
        through_variance = numpy.empty_like(g_x)
        flat = through_variance.reshape(-1)
        multiply(g_mean.reshape(-1), 1, batch, batch, means, columns, g_x.reshape(-1))
        multiply(g_variance.reshape(-1), 1, batch, batch, variances, columns, flat)
        two = x.dtype.type(2)
        for i in range(batch):
            for j in range(columns):
                g_x[i, j] += two * x[i, inputs[j]] * through_variance[i, j]


@compiled
def _lay_out_moments(W: Any, alpha: Any, mask_variance: bool, means: Any, variances: Any) -> None:
    """Compute mean and variance of the weights once more, as right factors."""
    number = W.dtype.type
    zero, length, width = number(0), uintp(means.shape[1]), uintp(means.shape[2])
    columns, weights, alphas = uintp(W.shape[1]), W.reshape(-1), alpha.reshape(-1)
    to_means, to_variances = means.reshape(-1), variances.reshape(-1)
    for p in range(uintp(means.shape[0])):
        first = p * width
        here = min(width, columns - first)
        for k in range(length):
            place, at = (p * length + k) * width, k * columns + first
            for lane in range(here):
                w, value = weights[at + lane], alphas[at + lane]
                is_cut = value < zero
                to_means[place + lane] = zero if is_cut else w
                variance = zero if is_cut and mask_variance else abs(value) * w * w
                to_variances[place + lane] = variance
            for lane in range(here, width):
                to_means[place + lane] = to_variances[place + lane] = zero
