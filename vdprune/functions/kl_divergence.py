"""The KL divergence from the prior to the posterior of the weights."""

from typing import Any

from chainer import Variable
from chainer.backend import get_array_module

from vdprune.functions.first_order import FirstOrderFunction
from vdprune.functions.prior import LOG_UNIFORM, k1_of
from vdprune.kernels.constants import K2, K3


class KLDivergence(FirstOrderFunction):
    """Sum of the divergence over the weights."""

    def __init__(self, k1: float) -> None:
        super().__init__()
        self.k1 = k1

    def forward(self, inputs: tuple[Any, ...]) -> tuple[Any, ...]:
        (log_alpha,) = inputs
        xp = get_array_module(log_alpha)
        # k1 - k1 * sigmoid(z) is k1 * sigmoid(-z), which does not cancel where alpha is large.
        sigmoid = log_alpha * K3
        sigmoid += K2
        xp.exp(sigmoid, out=sigmoid)
        sigmoid += 1
        xp.reciprocal(sigmoid, out=sigmoid)
        # log_alpha is clipped, so neither its exponential nor the opposite's overflows.
        one_plus_inverse_alpha = xp.exp(-log_alpha)
        one_plus_inverse_alpha += 1
        kl = self.k1 * sigmoid.sum() + 0.5 * xp.log(one_plus_inverse_alpha).sum()
        self.retained = sigmoid, one_plus_inverse_alpha
        return (xp.asarray(kl, dtype=log_alpha.dtype),)

    def backward_arrays(
        self, indexes: tuple[int, ...], grad_outputs: tuple[Any, ...]
    ) -> tuple[Any, ...]:
        sigmoid, one_plus_inverse_alpha = self.retained
        (g,) = grad_outputs
        # sigmoid(-log_alpha) = 1 - 1 / (1 + exp(-log_alpha))
        g_log_alpha = 0.5 / one_plus_inverse_alpha
        g_log_alpha -= 0.5
        slope = sigmoid - 1
        slope *= sigmoid
        slope *= self.k1 * K3
        g_log_alpha += slope
        g_log_alpha *= g
        return (g_log_alpha,)


def kl_divergence(log_alpha: Any, prior: str = LOG_UNIFORM) -> Variable:
    """KL(q || p) of all weights, summed.

    For each weight, under the log-uniform prior,
    -KL ~ k1 * sigmoid(k2 + k3 * log_alpha) - 0.5 * log1p(exp(-log_alpha)) - k1. Under the prior of
    automatic relevance determination, a normal distribution of mean 0 for each weight, of the variance
    that makes the divergence smallest (which is theta^2 + sigma^2), KL = 0.5 * log1p(exp(-log_alpha)).

    Args:
        log_alpha: Log alpha of the weights, clipped as `log_alpha` does, any shape, floating point.
        prior: ``"log-uniform"`` or ``"ard"``.

    Returns:
        The sum over all weights in nats, shape (), same dtype.

    Raises:
        ArgumentError: There is no such prior.

    Source: Molchanov et al., ICML 2017, equation 14; Kharitonov et al., "Variational Dropout via
    Empirical Bayes", 2018, arXiv:1811.00596.
    """
    return KLDivergence(k1_of(prior)).apply((log_alpha,))[0]
