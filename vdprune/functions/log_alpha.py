"""log alpha: how noisy a weight is."""

from typing import Any

from chainer import Variable
from chainer.backend import get_array_module

from vdprune.errors import ArgumentError
from vdprune.functions.first_order import FirstOrderFunction
from vdprune.kernels.constants import EPSILON, LOG_ALPHA_MAX, LOG_ALPHA_MIN


class LogAlpha(FirstOrderFunction):
    """log_sigma2 - log(W^2 + 1e-8), clipped; the gradient is zero where it is clipped."""

    def forward(self, inputs: tuple[Any, ...]) -> tuple[Any, ...]:
        W, log_sigma2 = inputs
        xp = get_array_module(W)
        y = W * W
        y += EPSILON
        self.slope = W / y  # half of d log(W^2 + 1e-8) / dW
        xp.log(y, out=y)
        xp.subtract(log_sigma2, y, out=y)
        self.is_inside = (y >= LOG_ALPHA_MIN) & (y <= LOG_ALPHA_MAX)
        xp.clip(y, LOG_ALPHA_MIN, LOG_ALPHA_MAX, out=y)
        return (y,)

    def backward_arrays(
        self, indexes: tuple[int, ...], grad_outputs: tuple[Any, ...]
    ) -> tuple[Any, ...]:
        g_log_sigma2 = grad_outputs[0] * self.is_inside
        g_W = g_log_sigma2 * self.slope
        g_W *= -2
        return tuple((g_W, g_log_sigma2)[index] for index in indexes)


def log_alpha(W: Any, log_sigma2: Any) -> Variable:
    """Logarithm of a weight's noise variance over the square of its mean.

    Args:
        W: Means theta of the weights, any shape, floating point.
        log_sigma2: Logarithm of their variances, same shape and dtype.

    Returns:
        log_sigma2 - log(W^2 + 1e-8), clipped to [-8, 8]; same shape and dtype.

    Raises:
        ArgumentError: The two shapes differ.

    Source: Molchanov et al., "Variational Dropout Sparsifies Deep Neural Networks", ICML 2017,
    section 4.2 (additive noise reparameterization); the constants are those of the authors' code.
    """
    check_same_shape(W, log_sigma2)
    return LogAlpha().apply((W, log_sigma2))[0]


def check_same_shape(W: Any, log_sigma2: Any) -> None:
    """Make sure that each weight has one variance.

    Args:
        W: Means theta of the weights.
        log_sigma2: Logarithms of their variances.

    Raises:
        ArgumentError: The two have different shapes.
    """
    if W.shape != log_sigma2.shape:
        raise ArgumentError(
            f"log_sigma2 has shape {log_sigma2.shape}, W has {W.shape}: each weight has one "
            "variance, so the two must be the same"
        )


def is_kept(log_alpha: Any, threshold: float) -> Any:
    """Tell which weights survive the threshold.

    Args:
        log_alpha: Array of log alpha, any shape.
        threshold: A weight with a log alpha above it counts as zero.

    Returns:
        Array of bool, same shape.
    """
    return log_alpha <= threshold
