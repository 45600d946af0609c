"""What a linear layer and a convolution with noisy weights have in common, fused for the CPU."""

from dataclasses import dataclass
from typing import Any

import numpy

from vdprune.errors import ArgumentError
from vdprune.functions.first_order import FirstOrderFunction


@dataclass(frozen=True)
class Alive:
    """Outputs and inputs of a layer that have weights left; the others' weights are not there.

    Args:
        outputs: Numbers of the outputs, ascending.
        inputs: Numbers of the inputs, ascending.
        shape: How many outputs and inputs the layer has in all.
    """

    outputs: Any
    inputs: Any
    shape: tuple[int, int]

    def is_all(self) -> bool:
        """Whether nothing is dead."""
        return (len(self.outputs), len(self.inputs)) == tuple(self.shape)


class VariationalLayer(FirstOrderFunction):
    """From inputs, weights and biases to pre-activations and KL divergence, in one graph node.

    A derived class computes `products` and their gradients. What happens to each weight and each
    pre-activation takes one compiled pass forward and one backward.

    Args:
        threshold: Weights with a log alpha above it are masked.
        mask_variance: Whether their variance is masked, too.
        noise: Standard normal draws to use, shape of the pre-activations; None for new ones.
        alive: Which outputs and inputs the weights are for; None for all.
    """

    def __init__(
        self, threshold: float, mask_variance: bool, noise: Any, alive: Alive | None
    ) -> None:
        super().__init__()
        self.alive = alive
        self.threshold = threshold
        self.mask_variance = mask_variance
        self.noise = noise

    def products(self, x: Any, mean: Any, variance: Any, b: Any) -> Any:
        """Compute the pre-activations.

        Args:
            x: Inputs.
            mean: Masked means of the weights.
            variance: Masked variances of the weights.
            b: Biases, or None.

        Returns:
            The sampled pre-activations.
        """
        raise NotImplementedError

    def product_gradients(self, g: Any, wants_x: bool) -> tuple[Any, Any, Any, Any]:
        """Compute the gradients of what `products` was given.

        Args:
            g: Gradient of the pre-activations.
            wants_x: Whether the gradient of the inputs is wanted.

        Returns:
            Gradients of x (or None), mean, variance and b (None without biases).
        """
        raise NotImplementedError

    def forward(self, inputs: tuple[Any, ...]) -> tuple[Any, ...]:
        from vdprune.kernels import cpu

        x, W, log_sigma2, *rest = (numpy.ascontiguousarray(array) for array in inputs)
        self.W = W
        self.mean, self.variance, self.log_alpha = (numpy.empty_like(W) for _ in range(3))
        divergence = cpu.weight_moments(
            W.reshape(-1),
            log_sigma2.reshape(-1),
            self.threshold,
            self.mask_variance,
            self.mean.reshape(-1),
            self.variance.reshape(-1),
            self.log_alpha.reshape(-1),
        )
        y = self.products(x, self.mean, self.variance, rest[0] if rest else None)
        return y, numpy.asarray(divergence, W.dtype)

    def backward_arrays(
        self, indexes: tuple[int, ...], grad_outputs: tuple[Any, ...]
    ) -> tuple[Any, ...]:
        from vdprune.kernels import cpu

        g_y, g_divergence = grad_outputs
        g_x = g_b = None
        if g_y is None:
            g_W, g_log_sigma2 = numpy.zeros_like(self.W), numpy.zeros_like(self.W)
        else:
            g_x, g_W, g_log_sigma2, g_b = self.product_gradients(g_y, 0 in indexes)
        cpu.weight_gradients(
            self.W.reshape(-1),
            self.log_alpha.reshape(-1),
            self.variance.reshape(-1),
            self.threshold,
            self.mask_variance,
            0.0 if g_divergence is None else float(g_divergence),
            g_W.reshape(-1),
            g_log_sigma2.reshape(-1),
        )
        return tuple((g_x, g_W, g_log_sigma2, g_b)[index] for index in indexes)


def is_fusable(*arrays: Any) -> bool:
    """Tell whether arrays can go through a `VariationalLayer`.

    Args:
        *arrays: The inputs.

    Returns:
        Whether all are NumPy arrays of one dtype, float32 or float64.
    """
    dtype = arrays[0].dtype
    return dtype in (numpy.float32, numpy.float64) and all(
        isinstance(array, numpy.ndarray) and array.dtype == dtype for array in arrays
    )


def check_noise(noise: Any, shape: tuple[int, ...]) -> None:
    """Make sure that there is one draw for each pre-activation.

    Args:
        noise: The draws, or None.
        shape: Shape of the pre-activations.

    Raises:
        ArgumentError: The noise has another shape.
    """
    if noise is not None and noise.shape != shape:
        raise ArgumentError(
            f"noise has shape {noise.shape}, the pre-activations have {shape}: give one draw "
            "for each of them"
        )


def check_not_compacted(x: Any, alive: Alive | None) -> None:
    """Refuse inputs that the fused function can't take where there is no other way.

    Args:
        x: The inputs.
        alive: What the weights are for, or None.

    Raises:
        ArgumentError: The layer is compacted.
    """
    if alive is not None:
        raise ArgumentError(
            f"a compacted layer with {alive.shape[1]} inputs got {x.dtype} of shape {x.shape}: give it "
            "inputs of the layer's size and dtype, or expand it first"
        )


def draw(mean: Any, variance: Any, noise: Any) -> None:
    """Draw pre-activations from their distribution, in place.

    Args:
        mean: Their means, contiguous; become the draws.
        variance: Their variances; become the slope of the draws by the variance.
        noise: Standard normal draws to use, same shape; None for new ones, whose key comes from NumPy's
            global generator: they depend on its state alone, not on the number of threads.
    """
    from vdprune.kernels import cpu
    from vdprune.kernels.constants import EPSILON

    if noise is None:
        key = numpy.random.randint(0, 2**32, 2, numpy.uint32)
        cpu.sample(mean.reshape(-1), variance.reshape(-1), int(key[0]), int(key[1]))
        return
    deviation = numpy.sqrt(variance + variance.dtype.type(EPSILON))
    mean += deviation * noise
    variance[...] = 0.5 * noise / deviation
