"""The gradient of a weight's mean under two parameterisations, and how much it varies."""

from dataclasses import dataclass
from typing import Any

import vdprune  # noqa: F401  before chainer: it makes Chainer work on today's Python and NumPy

# isort: split
import chainer.functions as F
import numpy

from vdprune import VariationalDropoutChain
from vdprune.kernels.constants import EPSILON


@dataclass(frozen=True)
class LayerVariances:
    """How much the gradients of a layer's means vary.

    Args:
        name: The layer's name.
        log_alpha: Log alpha of its weights.
        additive: Variance of each weight's gradient with its sigma^2 held fixed.
        multiplicative: The same with its alpha held fixed.
    """

    name: str
    log_alpha: Any
    additive: Any
    multiplicative: Any


class RunningVariance:
    """Variance of each number of an array over the samples seen, by Welford's method."""

    def __init__(self) -> None:
        self.count = 0
        self._mean: Any = 0.0
        self._squares: Any = 0.0

    def add(self, sample: Any) -> None:
        """Take a sample.

        Args:
            sample: Array of float64, of one shape for all samples.
        """
        self.count += 1
        difference = sample - self._mean
        self._mean = self._mean + difference / self.count
        self._squares = self._squares + difference * (sample - self._mean)

    def variance(self) -> Any:
        """Unbiased variance of what was seen, two samples at least."""
        return self._squares / (self.count - 1)


def multiplicative_gradient(W: Any, g_W: Any, g_log_sigma2: Any) -> Any:
    """Turn gradients at fixed sigma^2 into the gradient of the means at fixed alpha.

    log_sigma2 = log_alpha + log(W^2 + 1e-8), so with log_alpha held fixed the chain rule adds
    g_log_sigma2 * 2 * W / (W^2 + 1e-8). Where log alpha is clipped, log_sigma2 has no effect: its
    gradient is 0, and g_W is that at fixed alpha already.

    Args:
        W: Means theta of the weights.
        g_W: Gradient of the means with log_sigma2 held fixed, same shape.
        g_log_sigma2: Gradient of log_sigma2, same shape.

    Returns:
        Array of the same shape.
    """
    return g_W + g_log_sigma2 * 2 * W / (W * W + EPSILON)


def measure_variances(
    model: VariationalDropoutChain, x: Any, t: Any, batches: int, batch_size: int
) -> list[LayerVariances]:
    """Measure how much the gradient of the cross entropy varies from one training step to the next.

    Each sample is a batch drawn anew with noise of its own; both gradients come from the same one. The
    gradient of the KL divergence is the same in each step, so it is left out. NumPy's global generator
    is left as it was.

    Args:
        model: The network, on the CPU.
        x: Training examples.
        t: Their labels.
        batches: How many samples to take, two at least.
        batch_size: Examples in a batch.

    Returns:
        The variances, layer by layer.
    """
    links = model.named_variational_links()
    additive, multiplicative = ({name: RunningVariance() for name, _ in links} for _ in range(2))
    state = numpy.random.get_state()
    for _ in range(batches):
        rows = numpy.random.choice(len(x), batch_size, replace=False)
        model.cleargrads()
        F.softmax_cross_entropy(model(x[rows]), t[rows]).backward()
        for name, link in links:
            W, g_W, g_log_sigma2 = (
                array.astype(numpy.float64)
                for array in (link.W.array, link.W.grad, link.log_sigma2.grad)
            )
            additive[name].add(g_W)
            multiplicative[name].add(multiplicative_gradient(W, g_W, g_log_sigma2))
    model.cleargrads()
    numpy.random.set_state(state)
    return [
        LayerVariances(
            name,
            link.log_alpha().array,
            additive[name].variance(),
            multiplicative[name].variance(),
        )
        for name, link in links
    ]
