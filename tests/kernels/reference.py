"""The kernels once more, in plain NumPy and float64: what the compiled ones are checked against."""

from typing import Any

import numpy

Array = numpy.ndarray

K1 = 0.63576  # of the log-uniform prior; with 0 in its place the divergence is that of ARD's


def weight_moments(
    W: Array, log_sigma2: Array, threshold: float, mask_variance: bool, k1: float = K1
) -> tuple[Array, Array, Array, float]:
    """Return mean, variance, log alpha and KL divergence."""
    W, log_sigma2 = W.astype("f8"), log_sigma2.astype("f8")
    log_alpha = numpy.clip(log_sigma2 - numpy.log(W**2 + 1e-8), -8, 8)
    is_cut = log_alpha > threshold
    variance = numpy.exp(log_alpha) * W**2
    sigmoid = 1 / (1 + numpy.exp(-(1.87320 + 1.48695 * log_alpha)))
    divergence = k1 - k1 * sigmoid + 0.5 * numpy.log1p(numpy.exp(-log_alpha))
    return (
        numpy.where(is_cut, 0, W),
        numpy.where(is_cut & mask_variance, 0, variance),
        log_alpha,
        float(divergence.sum()),
    )


def divergence_slope(log_alpha: Array, k1: float = K1) -> Array:
    """Return the derivative of a weight's KL divergence by its log alpha, 0 where that is clipped."""
    sigmoid = 1 / (1 + numpy.exp(-(1.87320 + 1.48695 * log_alpha)))
    slope = -k1 * 1.48695 * sigmoid * (1 - sigmoid) - 0.5 / (1 + numpy.exp(log_alpha))
    return numpy.where(abs(log_alpha) < 8, slope, 0)


def philox(counter: tuple[int, int], key: tuple[int, int]) -> list[int]:
    """Philox4x32-10 with Python's integers."""
    a, b, c, d = *counter, 0, 0
    key0, key1 = key
    for _ in range(10):
        left, right = 0xD2511F53 * a, 0xCD9E8D57 * c
        a, b, c, d = (
            (right >> 32) ^ b ^ key0,
            right % 2**32,
            (left >> 32) ^ d ^ key1,
            left % 2**32,
        )
        key0, key1 = (key0 + 0x9E3779B9) % 2**32, (key1 + 0xBB67AE85) % 2**32
    return [a, b, c, d]


def normals(rows: int, columns: list[int], key: tuple[int, int]) -> Array:
    """Return the noise that `sample` adds: Box and Muller on Philox, four rows to a counter."""
    quarter = -(-rows // 4)
    drawn = numpy.empty((4, quarter, len(columns)))
    for i in range(quarter):
        for j, column in enumerate(columns):
            words = philox((column, i), key)
            for k in (0, 2):
                uniform = ((words[k] >> 8) + 0.5) / 2**24
                angle = 2 * numpy.pi * words[k + 1] / 2**32
                radius = numpy.sqrt(-2 * numpy.log(uniform))
                drawn[k, i, j] = radius * numpy.sin(angle)
                drawn[k + 1, i, j] = radius * numpy.cos(angle)
    return drawn.reshape(4 * quarter, len(columns))[:rows]


def cross_entropy(y: Array, t: Array) -> tuple[float, int, Array]:
    """Return the sum, how often the label is the largest logit, and the gradient."""
    y = y.astype("f8")
    odds = numpy.exp(y - y.max(axis=1, keepdims=True))
    p = odds / odds.sum(axis=1, keepdims=True)
    is_label = numpy.arange(y.shape[1]) == t[:, None]
    return float(-numpy.log(p[is_label]).sum()), int((y.argmax(axis=1) == t).sum()), p - is_label


def distil(y: Array, teacher: Array, temperature: float) -> tuple[float, Array]:
    """Return T^2 times the sum of the divergences from a teacher, and the gradient of that."""
    log_p, log_q = (_log_softmax(logits.astype("f8") / temperature) for logits in (y, teacher))
    p, q = numpy.exp(log_p), numpy.exp(log_q)
    return float((q * (log_q - log_p)).sum() * temperature**2), temperature * (p - q)


def _log_softmax(y: Array) -> Array:
    y = y - y.max(axis=1, keepdims=True)
    return y - numpy.log(numpy.exp(y).sum(axis=1, keepdims=True))


def adam(
    data: Array, gradient: Array, m: Array, v: Array, betas: tuple[float, float], rate: float
) -> tuple[Array, Array, Array]:
    """Return parameter and moments after a step, the epsilon being 1e-8."""
    m = m + (1 - betas[0]) * (gradient - m)
    v = v + (1 - betas[1]) * (gradient**2 - v)
    return data - rate * m / (numpy.sqrt(v) + 1e-8), m, v


def unfold(x: Array, ksize: Any, stride: Any, pad: Any, dilate: Any) -> Array:
    """Return columns of shape (channels, kh, kw, images, out_height, out_width)."""
    x = numpy.pad(x, ((0, 0), (0, 0), (pad[0], pad[0]), (pad[1], pad[1])))
    reach = [(k - 1) * d + 1 for k, d in zip(ksize, dilate, strict=True)]
    windows = numpy.lib.stride_tricks.sliding_window_view(x, reach, axis=(2, 3))
    windows = windows[:, :, :: stride[0], :: stride[1], :: dilate[0], :: dilate[1]]
    return windows.transpose(1, 4, 5, 0, 2, 3)


def max_pool(x: Array, ksize: Any, stride: Any, pad: Any, size: Any) -> tuple[Array, Array]:
    """Return the maxima of windows and their positions, ``size`` being how many there are each way."""
    reach = [(n - 1) * s + k for n, s, k in zip(size, stride, ksize, strict=True)]
    wide = numpy.full(
        (len(x), *(max(r, n + p) for r, n, p in zip(reach, x.shape[1:], pad, strict=True))),
        -numpy.inf,
    )
    wide[:, pad[0] : pad[0] + x.shape[1], pad[1] : pad[1] + x.shape[2]] = x
    windows = numpy.lib.stride_tricks.sliding_window_view(wide, ksize, axis=(1, 2))
    windows = windows[:, :: stride[0], :: stride[1]][:, : size[0], : size[1]]
    flat = windows.reshape(*windows.shape[:3], -1)
    return flat.max(axis=3), flat.argmax(axis=3)
