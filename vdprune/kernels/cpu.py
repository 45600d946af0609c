"""What a training step does to each weight and pre-activation on the CPU, one pass over memory each.

All arrays are one-dimensional, contiguous and of one dtype, float32 or float64. Compiled on the first
call, then kept on disk; one thread.
"""

from typing import Any

import numpy

from vdprune.kernels.compiled import compiled
from vdprune.kernels.constants import EPSILON, K1, K2, K3, LOG_ALPHA_MAX, LOG_ALPHA_MIN
from vdprune.kernels.vector_math import exp, four_normals, log

# Numba's files on disk are for this file's text alone: with this line that text changes with what
# the kernels take from constants.py and vector_math.py. A test says what it has to be.
_TAKEN_FROM_ELSEWHERE = "f37018a46cd958b7"

__all__ = ["adam", "sample", "weight_gradients", "weight_moments"]

_BLOCK = 4096  # weights whose divergence is summed in their own dtype before it goes to float64


@compiled
def weight_moments(
    W: Any,
    log_sigma2: Any,
    threshold: float,
    mask_variance: bool,
    mean: Any,
    variance: Any,
    log_alpha: Any,
) -> float:
    """Compute log alpha, the masked mean and variance, and the KL divergence of weights.

    Args:
        W: Means theta of the weights.
        log_sigma2: Logarithms of their variances.
        threshold: Weights with a log alpha above it are masked.
        mask_variance: Whether their variance is masked, too.
        mean: Result: W, masked.
        variance: Result: alpha * W^2, masked if asked for.
        log_alpha: Result: log_sigma2 - log(W^2 + 1e-8), clipped to [-8, 8].

    Returns:
        The KL divergence, summed.
    """
    divergence = 0.0
    for start in range(0, W.size, _BLOCK):
        part = slice(start, start + _BLOCK)
        divergence += _moments_of_block(
            W[part],
            log_sigma2[part],
            threshold,
            mask_variance,
            mean[part],
            variance[part],
            log_alpha[part],
        )
    return divergence


@compiled
def _moments_of_block(
    W: Any,
    log_sigma2: Any,
    threshold: float,
    mask_variance: bool,
    mean: Any,
    variance: Any,
    log_alpha: Any,
) -> float:
    number = W.dtype.type
    zero, half, one, epsilon = number(0), number(0.5), number(1), number(EPSILON)
    low, high, limit = number(LOG_ALPHA_MIN), number(LOG_ALPHA_MAX), number(threshold)
    k1, k2, k3 = number(K1), number(K2), number(K3)
    divergence = zero
    for i in range(W.size):
        square = W[i] * W[i]
        value = log_sigma2[i] - log(square + epsilon)
        value = low if value < low else value
        value = high if value > high else value
        alpha = exp(value)
        is_cut = value > limit
        log_alpha[i] = value
        mean[i] = zero if is_cut else W[i]
        variance[i] = zero if is_cut and mask_variance else alpha * square
        # k1 * sigmoid(-z) = k1 - k1 * sigmoid(z), without cancelling where alpha is large
        divergence += k1 / (one + exp(k2 + k3 * value)) + half * log(one + one / alpha)
    return divergence


@compiled
def weight_gradients(
    W: Any,
    log_alpha: Any,
    variance: Any,
    threshold: float,
    mask_variance: bool,
    g_divergence: float,
    g_mean: Any,
    g_variance: Any,
) -> None:
    """Turn the gradients of `weight_moments`' results into those of its arguments, in place.

    Args:
        W: Means theta of the weights.
        log_alpha: As `weight_moments` left it.
        variance: As `weight_moments` left it.
        threshold: Weights with a log alpha above it are masked.
        mask_variance: Whether their variance is masked, too.
        g_divergence: Gradient of the KL divergence.
        g_mean: Gradient of the mean; becomes that of W.
        g_variance: Gradient of the variance; becomes that of log_sigma2.
    """
    number = W.dtype.type
    zero, half, one, two = number(0), number(0.5), number(1), number(2)
    low, high, limit = number(LOG_ALPHA_MIN), number(LOG_ALPHA_MAX), number(threshold)
    k2, k3, slope = number(K2), number(K3), number(K1 * K3)
    epsilon, scale = number(EPSILON), number(g_divergence)
    for i in range(W.size):
        value = log_alpha[i]
        alpha = exp(value)
        is_cut = value > limit
        is_clipped = value <= low or value >= high
        sigmoid = one / (one + exp(k2 + k3 * value))
        through_divergence = -scale * (slope * sigmoid * (one - sigmoid) + half / (one + alpha))
        inverse = one / (W[i] * W[i] + epsilon)
        # Where log alpha is not clipped, alpha * W^2 hardly depends on W: epsilon is all that is left
        # of two large terms.
        through_variance = zero if is_cut and mask_variance else two * alpha * W[i] * g_variance[i]
        through_variance *= one if is_clipped else epsilon * inverse
        through_mean = zero if is_cut else g_mean[i]
        through_log_alpha = zero if is_clipped else two * through_divergence * W[i] * inverse
        g_mean[i] = through_mean + through_variance - through_log_alpha
        g_variance[i] = zero if is_clipped else g_variance[i] * variance[i] + through_divergence


@compiled
def sample(mean: Any, variance: Any, key0: int, key1: int) -> None:
    """Draw from normal distributions, in place.

    Element i + k * n of 4 * n gets the kth normal of counter i, so that the loop over i is one of
    vectors.

    Args:
        mean: Means; become mean + sqrt(variance + 1e-8) * noise.
        variance: Variances; become noise / (2 * sqrt(variance + 1e-8)), the slope of the above.
        key0: First half of the key of the noise, below 2^32.
        key1: Second half.
    """
    number = mean.dtype.type
    half, epsilon = number(0.5), number(EPSILON)
    first, second = numpy.uint32(key0), numpy.uint32(key1)
    size = mean.size
    n = (size + 3) // 4
    for i in range(n):
        normals = four_normals(numpy.uint32(i), first, second)
        for k in range(4):
            j = i + k * n
            if j < size:
                noise = number(normals[k])
                deviation = numpy.sqrt(variance[j] + epsilon)
                mean[j] += deviation * noise
                variance[j] = half * noise / deviation


@compiled
def adam(
    data: Any,
    gradient: Any,
    m: Any,
    v: Any,
    beta1: float,
    beta2: float,
    epsilon: float,
    rate: float,
) -> None:
    """Take a step of Adam, in place.

    Args:
        data: The parameter.
        gradient: Its gradient.
        m: First moment.
        v: Second moment.
        beta1: Decay of the first moment.
        beta2: Decay of the second moment.
        epsilon: Keeps the quotient finite.
        rate: Step size with its bias correction.

    Source: Kingma and Ba, "Adam: a method for stochastic optimization", ICLR 2015.
    """
    number = data.dtype.type
    fade1, fade2, least, size = (
        number(1 - beta1),
        number(1 - beta2),
        number(epsilon),
        number(rate),
    )
    for i in range(data.size):
        m[i] += fade1 * (gradient[i] - m[i])
        v[i] += fade2 * (gradient[i] * gradient[i] - v[i])
        data[i] -= size * m[i] / (numpy.sqrt(v[i]) + least)
