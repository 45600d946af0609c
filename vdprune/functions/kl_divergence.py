"""The KL divergence from the log-uniform prior to the posterior of the weights."""

from typing import Any

from chainer import Variable
from chainer.backend import get_array_module

from vdprune.functions.first_order import FirstOrderFunction
from vdprune.kernels.constants import K1, K2, K3


class KLDivergence(FirstOrderFunction):
    """Sum of the approximated divergence over the weights."""

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
        kl = K1 * sigmoid.sum() + 0.5 * xp.log(one_plus_inverse_alpha).sum()
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
        slope *= K1 * K3
        g_log_alpha += slope
        g_log_alpha *= g
        return (g_log_alpha,)


def kl_divergence(log_alpha: Any) -> Variable:
    """KL(q || p) of all weights under the log-uniform prior, summed.

    -KL ~ k1 * sigmoid(k2 + k3 * log_alpha) - 0.5 * log1p(exp(-log_alpha)) - k1 for each weight.

    Args:
        log_alpha: Log alpha of the weights, clipped as `log_alpha` does, any shape, floating point.

    Returns:
        The sum over all weights in nats, shape (), same dtype.

    Source: Molchanov et al., ICML 2017, equation 14.
    """
    return KLDivergence().apply((log_alpha,))[0]
