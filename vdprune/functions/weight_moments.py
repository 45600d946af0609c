"""Mean and variance of the weights, those above the threshold masked."""

from typing import Any

from chainer import Variable
from chainer.backend import get_array_module

from vdprune.functions.first_order import FirstOrderFunction
from vdprune.functions.log_alpha import is_kept


class WeightMoments(FirstOrderFunction):
    """(W, alpha * W^2), masked."""

    def __init__(self, threshold: float, mask_variance: bool) -> None:
        super().__init__()
        self.threshold = threshold
        self.mask_variance = mask_variance

    def forward(self, inputs: tuple[Any, ...]) -> tuple[Any, ...]:
        W, log_alpha = inputs
        xp = get_array_module(W)
        self.kept = is_kept(log_alpha, self.threshold)
        mean = W * self.kept
        self.deviation_slope = xp.exp(log_alpha)  # half of d variance / dW: alpha * W
        self.deviation_slope *= mean if self.mask_variance else W
        variance = self.deviation_slope * W
        self.retain_outputs((1,))
        return mean, variance

    def backward_arrays(
        self, indexes: tuple[int, ...], grad_outputs: tuple[Any, ...]
    ) -> tuple[Any, ...]:
        (variance,) = self.get_retained_outputs()
        g_mean, g_variance = grad_outputs
        g_W = g_log_alpha = None
        if g_mean is not None:
            g_W = g_mean * self.kept
        if g_variance is not None:
            g_log_alpha = g_variance * variance.array
            through_variance = g_variance * self.deviation_slope
            through_variance *= 2
            g_W = through_variance if g_W is None else g_W + through_variance
        return tuple((g_W, g_log_alpha)[index] for index in indexes)


def weight_moments(
    W: Any, log_alpha: Any, threshold: float = 3.0, mask_variance: bool = False
) -> tuple[Variable, Variable]:
    """Mean and variance of each weight as training sees them.

    Args:
        W: Means theta of the weights, any shape, floating point.
        log_alpha: Their log alpha, same shape and dtype.
        threshold: The mean of a weight with a log alpha above it is zero.
        mask_variance: Whether its variance is zero, too. If not, a weight that was cut still feels
            the data through its noise and can come back.

    Returns:
        The means and the variances alpha * W^2, same shape and dtype.

    Source: the code of the authors of Molchanov et al., ICML 2017, which leaves the variance in
    linear layers and masks it in convolutions.
    """
    mean, variance = WeightMoments(threshold, mask_variance).apply((W, log_alpha))
    return mean, variance
