"""What a training step does to each weight and activation on the CPU, in few passes over memory.

All arrays are contiguous and of one dtype, float32 or float64. Compiled on the first call, then kept
on disk. A kernel uses one thread and lets other Python threads run meanwhile.
"""

from typing import Any

import numpy

from vdprune.kernels.compiled import compiled
from vdprune.kernels.constants import EPSILON, K2, K3, LOG_ALPHA_MAX, LOG_ALPHA_MIN
from vdprune.kernels.pointers import array_at
from vdprune.kernels.vector_math import exp, log

# Numba's files on disk are for this file's text alone: with this line that text changes with what
# the kernels take from constants.py and vector_math.py. A test says what it has to be.
_TAKEN_FROM_ELSEWHERE = "9642a864ec90c9d7"

__all__ = [
    "adam",
    "adam_of_all",
    "cross_entropy",
    "relu",
    "relu_gradient",
    "scale",
    "weight_gradients",
    "weight_moments",
]

_BLOCK = 2048  # weights at a time: what the passes over them hand on stays in the first cache
_E_K2 = float(numpy.exp(K2))
_K3_REST = K3 - 1.5


@compiled
def weight_moments(
    W: Any,
    log_sigma2: Any,
    threshold: float,
    mask_variance: bool,
    k1: float,
    mean: Any,
    variance: Any,
    alpha: Any,
    slope: Any,
) -> float:
    """Compute the masked mean and variance of weights, and their KL divergence.

    Args:
        W: Means theta of the weights, one-dimensional as all that follow.
        log_sigma2: Logarithms of their variances.
        threshold: Weights with a log alpha above it are masked.
        mask_variance: Whether their variance is masked, too.
        k1: Weight of the sigmoid in the divergence, which the prior decides.
        mean: Result: W, masked.
        variance: Result: alpha * W^2, masked if asked for.
        alpha: Result: exp(log alpha), log alpha being log_sigma2 - log(W^2 + 1e-8) clipped to
            [-8, 8]; negative where the weight is masked.
        slope: Result: derivative of the KL divergence by log alpha, 0 where that is clipped.

    Returns:
        The KL divergence, summed.
    """
    divergence = 0.0
    odds = numpy.empty(_BLOCK, W.dtype)
    for start in range(0, W.size, _BLOCK):
        part = slice(start, min(start + _BLOCK, W.size))
        size = part.stop - part.start
        _log_alpha(W[part], log_sigma2[part], odds)
        _alpha_and_power(odds[:size], alpha[part], slope[part])
        divergence += _moments(
            W[part],
            threshold,
            mask_variance,
            k1,
            mean[part],
            variance[part],
            alpha[part],
            slope[part],
            odds[:size],
        )
        odds[size:] = 1
        divergence += 0.5 * _log_of_product(odds)
    return divergence


# Three short loops are faster than one long one: the processor works on several of their rounds at once.
# An array that two arguments shared would keep a loop from being one of vectors.
@compiled
def _log_alpha(W: Any, log_sigma2: Any, log_alpha: Any) -> None:
    number = W.dtype.type
    epsilon, low, high = number(EPSILON), number(LOG_ALPHA_MIN), number(LOG_ALPHA_MAX)
    for i in range(W.size):
        value = log_sigma2[i] - log(W[i] * W[i] + epsilon)
        value = low if value < low else value
        log_alpha[i] = high if value > high else value


@compiled
def _alpha_and_power(log_alpha: Any, alpha: Any, power: Any) -> None:
    """Compute alpha and exp(k2) * alpha^k3, by alpha^1.5 and a power whose series is short."""
    number = log_alpha.dtype.type
    factor, rest, one = number(_E_K2), number(_K3_REST), number(1)
    second, third, fourth, fifth = number(1 / 2), number(1 / 6), number(1 / 24), number(1 / 120)
    for i in range(log_alpha.size):
        value = exp(log_alpha[i])
        x = rest * log_alpha[i]
        series = one + x * (one + x * (second + x * (third + x * (fourth + x * fifth))))
        alpha[i] = value
        power[i] = factor * value * numpy.sqrt(value) * series


@compiled
def _moments(
    W: Any,
    threshold: float,
    mask_variance: bool,
    k1: float,
    mean: Any,
    variance: Any,
    alpha: Any,
    slope: Any,
    odds: Any,
) -> float:
    """Do the rest; `slope` holds the power and `odds` log alpha, and becomes 1 + 1 / alpha."""
    number = W.dtype.type
    zero, half, one = number(0), number(0.5), number(1)
    low, high, limit = number(LOG_ALPHA_MIN), number(LOG_ALPHA_MAX), number(threshold)
    k1, k1_k3 = number(k1), number(k1 * K3)
    sigmoids = zero
    for i in range(W.size):
        w, value, power, log_alpha = W[i], alpha[i], slope[i], odds[i]
        # one division for three quotients
        inverse = one / (value * (one + value) * (one + power))
        sigmoid = inverse * value * (one + value)  # of -(k2 + k3 * log alpha)
        is_cut = log_alpha > limit
        is_clipped = log_alpha <= low or log_alpha >= high
        mean[i] = zero if is_cut else w
        variance[i] = zero if is_cut and mask_variance else value * w * w
        alpha[i] = -value if is_cut else value
        through_second = half * inverse * value * (one + power)  # 0.5 / (1 + alpha)
        by_log_alpha = k1_k3 * power * sigmoid * sigmoid + through_second
        slope[i] = zero if is_clipped else -by_log_alpha
        odds[i] = one + inverse * (one + value) * (one + power)
        sigmoids += sigmoid
    # k1 * sigmoid(-z) = k1 - k1 * sigmoid(z), without cancelling where alpha is large
    return k1 * sigmoids


@compiled
def _log_of_product(x: Any) -> float:
    """Sum logarithms of numbers from 1 to 3000, eight to a logarithm."""
    n = x.size // 8
    total = x.dtype.type(0)
    for i in range(n):
        first = x[i] * x[i + n] * x[i + 2 * n] * x[i + 3 * n]
        total += log(first * x[i + 4 * n] * x[i + 5 * n] * x[i + 6 * n] * x[i + 7 * n])
    return total


@compiled
def weight_gradients(
    W: Any,
    alpha: Any,
    slope: Any,
    mask_variance: bool,
    g_divergence: float,
    g_mean: Any,
    g_variance: Any,
) -> None:
    """Turn the gradients of `weight_moments`' results into those of its arguments, in place.

    Args:
        W: Means theta of the weights.
        alpha: As `weight_moments` left it.
        slope: As `weight_moments` left it.
        mask_variance: Whether the variance of masked weights is masked, too.
        g_divergence: Gradient of the KL divergence.
        g_mean: Gradient of the mean; becomes that of W.
        g_variance: Gradient of the variance; becomes that of log_sigma2.
    """
    number = W.dtype.type
    zero, one, two = number(0), number(1), number(2)
    epsilon, scale = number(EPSILON), number(g_divergence)
    for i in range(W.size):
        w, by_variance = W[i], g_variance[i]
        is_cut, is_clipped = alpha[i] < zero, slope[i] == zero
        alpha_w = zero if is_cut and mask_variance else abs(alpha[i]) * w
        inverse = one / (w * w + epsilon)
        # Where log alpha is not clipped, alpha * W^2 hardly depends on W: epsilon is all that is left
        # of two large terms.
        through_variance = two * alpha_w * by_variance * (one if is_clipped else epsilon * inverse)
        through_divergence = scale * slope[i]
        through_mean = zero if is_cut else g_mean[i]
        g_mean[i] = through_mean + through_variance - two * through_divergence * w * inverse
        g_variance[i] = zero if is_clipped else by_variance * alpha_w * w + through_divergence


@compiled
def relu(x: Any, y: Any) -> None:
    """Compute max(x, 0).

    Args:
        x: Numbers, one-dimensional.
        y: Result; NaN stays NaN.
    """
    zero = x.dtype.type(0)
    for i in range(x.size):
        y[i] = zero if x[i] < zero else x[i]


@compiled
def relu_gradient(y: Any, g: Any, g_x: Any) -> None:
    """Carry a gradient back through max(x, 0).

    Args:
        y: The result of that, one-dimensional as all that follow.
        g: Its gradient.
        g_x: Result: the gradient of x.
    """
    number = y.dtype.type
    zero, one = number(0), number(1)
    for i in range(y.size):
        g_x[i] = g[i] * (one if y[i] > zero else zero)


@compiled
def cross_entropy(y: Any, t: Any, gradient: Any) -> tuple[float, int]:
    """Compute the cross entropy of logits, softmax included.

    Args:
        y: Logits, shape (rows, classes).
        t: Labels, shape (rows,).
        gradient: Result: derivative of the sum of the cross entropies by y.

    Returns:
        The sum, and how often the label is the largest logit; (0, -1) if a label is not a class.
    """
    number = y.dtype.type
    least, total, right = number(-87), 0.0, 0
    for i in range(y.shape[0]):
        label = t[i]
        if label < 0 or label >= y.shape[1]:
            return 0.0, -1
        best, largest = 0, y[i, 0]
        for j in range(1, y.shape[1]):
            if y[i, j] > largest:
                best, largest = j, y[i, j]
        partition = number(0)
        for j in range(y.shape[1]):
            x = y[i, j] - largest
            gradient[i, j] = exp(least if x < least else x)
            partition += gradient[i, j]
        for j in range(y.shape[1]):
            gradient[i, j] /= partition
        total += log(partition) - (y[i, label] - largest)
        gradient[i, label] -= number(1)
        right += best == label
    return total, right


@compiled
def scale(x: Any, factor: float, mean: Any, y: Any) -> None:
    """Multiply examples by a number and take their mean away.

    Args:
        x: Examples, shape (batch, numbers), any dtype.
        factor: The number.
        mean: What is taken away, shape (numbers,).
        y: Result, shaped like x.
    """
    number = y.dtype.type
    by = number(factor)
    for i in range(x.shape[0]):
        for j in range(x.shape[1]):
            y[i, j] = number(x[i, j]) * by - mean[j]


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
        data: The parameter, one-dimensional as all that follow.
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
    fade1, fade2 = number(1 - beta1), number(1 - beta2)
    least, size = number(epsilon), number(rate)
    for i in range(data.size):
        m[i] += fade1 * (gradient[i] - m[i])
        v[i] += fade2 * (gradient[i] * gradient[i] - v[i])
        data[i] -= size * m[i] / (numpy.sqrt(v[i]) + least)


@compiled
def adam_of_all(
    thread: int,
    threads: int,
    parameters: Any,
    like: Any,
    beta1: float,
    beta2: float,
    epsilon: float,
    rate: float,
) -> None:
    """Take a step of `adam` for many parameters; of each a thread has a part, unless it is small.

    Args:
        thread: Number of the thread that does this.
        threads: How many do.
        parameters: A row of int64 for each: its address, its gradient's, those of its moments, its size.
        like: An array of its dtype.
        beta1: As for `adam`, as all that follow.
        beta2: Decay of the second moment.
        epsilon: Keeps the quotient finite.
        rate: Step size.
    """
    for number in range(parameters.shape[0]):
        row = parameters[number]
        units = (row[4] + _BLOCK - 1) // _BLOCK
        first = units * thread // threads * _BLOCK
        size = min(units * (thread + 1) // threads * _BLOCK, row[4]) - first
        if size > 0:
            place = first * like.itemsize
            adam(
                array_at(row[0] + place, (size,), like),
                array_at(row[1] + place, (size,), like),
                array_at(row[2] + place, (size,), like),
                array_at(row[3] + place, (size,), like),
                beta1,
                beta2,
                epsilon,
                rate,
            )
