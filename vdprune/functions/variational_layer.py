"""What a linear layer and a convolution with noisy weights have in common."""

import functools
from dataclasses import dataclass
from typing import Any

import numpy
from chainer.backends import cuda

from vdprune import kernels
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

    @functools.cached_property
    def output_numbers(self) -> Any:
        """The outputs' numbers as kernels for the CPU want them."""
        return numpy.asarray(self.outputs, numpy.uint32)

    def on_gpu(self, axis: int) -> tuple[Any, Any]:
        """Send numbers to the current device, once.

        Args:
            axis: 0 for the outputs, 1 for the inputs.

        Returns:
            The numbers of those alive; and for each of all its place among them, -1 for the others;
            both int32.
        """
        key = axis, cuda.cupy.cuda.Device().id
        if key not in self._on_gpu:
            numbers = numpy.asarray((self.outputs, self.inputs)[axis], numpy.int32)
            places = numpy.full(self.shape[axis], -1, numpy.int32)
            places[numbers] = numpy.arange(numbers.size)
            self._on_gpu[key] = cuda.cupy.asarray(numbers), cuda.cupy.asarray(places)
        return self._on_gpu[key]

    @functools.cached_property
    def _on_gpu(self) -> dict[tuple[int, int], tuple[Any, Any]]:
        return {}

    def is_all(self) -> bool:
        """Whether nothing is dead."""
        return (len(self.outputs), len(self.inputs)) == tuple(self.shape)


class VariationalLayer(FirstOrderFunction):
    """From inputs, weights and biases to pre-activations and KL divergence, in one graph node.

    Fused for the CPU; `CudaVariationalLayer` is for GPUs.

    A derived class computes `products` and their gradients, and on the way those of the weights.

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

    def products(self, x: Any, b: Any) -> tuple[Any, float]:
        """Compute the pre-activations.

        Args:
            x: Inputs.
            b: Biases, or None.

        Returns:
            The sampled pre-activations and the KL divergence of the weights.
        """
        raise NotImplementedError

    def product_gradients(
        self, g: Any, g_divergence: float, wants_x: bool
    ) -> tuple[Any, Any, Any, Any]:
        """Compute the gradients of what the function was given.

        Args:
            g: Gradient of the pre-activations.
            g_divergence: Gradient of the KL divergence.
            wants_x: Whether the gradient of the inputs is wanted.

        Returns:
            Gradients of x (or None), W, log_sigma2 and b (None without biases).
        """
        raise NotImplementedError

    def forward(self, inputs: tuple[Any, ...]) -> tuple[Any, ...]:
        x, self.W, self.log_sigma2, *rest = (_plain(array) for array in inputs)
        W = self.W
        self.mean, self.variance, self.alpha, self.slope = (numpy.empty_like(W) for _ in range(4))
        y, divergence = self.products(x, rest[0] if rest else None)
        return y, numpy.asarray(divergence, W.dtype)

    def flat(self, *names: str) -> list[Any]:
        """Return arrays that are shaped like W as one-dimensional ones.

        Args:
            *names: Their names as attributes.
        """
        return [getattr(self, name).reshape(-1) for name in names]

    def gradients_of_weights(self, g_divergence: float, g_mean: Any, g_variance: Any) -> None:
        """Turn gradients of the weights' moments into those of the weights.

        Args:
            g_divergence: Gradient of the KL divergence.
            g_mean: Gradient of the means; becomes that of W.
            g_variance: Gradient of the variances; becomes that of log_sigma2.
        """
        kernels.cpu.weight_gradients(
            *self.flat("W", "alpha", "slope"),
            self.mask_variance,
            g_divergence,
            g_mean.reshape(-1),
            g_variance.reshape(-1),
        )

    def backward_arrays(
        self, indexes: tuple[int, ...], grad_outputs: tuple[Any, ...]
    ) -> tuple[Any, ...]:
        g, g_divergence = grad_outputs
        g_divergence = 0.0 if g_divergence is None else float(g_divergence)
        if g is None:
            g_W, g_log_sigma2 = numpy.zeros_like(self.W), numpy.zeros_like(self.W)
            self.gradients_of_weights(g_divergence, g_W, g_log_sigma2)
            return tuple((None, g_W, g_log_sigma2, None)[index] for index in indexes)
        gradients = self.product_gradients(_plain(g), g_divergence, 0 in indexes)
        return tuple(gradients[index] for index in indexes)


def _plain(array: Any) -> Any:
    """Return the array, or a copy that is contiguous and writeable: others need other kernels."""
    return array if array.flags.carray else numpy.array(array, order="C")


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


def new_key() -> tuple[int, int]:
    """Take a key for a layer's noise from NumPy's global generator.

    The noise depends on that generator's state alone, not on the number of threads.

    Returns:
        Two numbers below 2^32.
    """
    # of 53 random bits the first 32; a draw of integers takes thirty times as long
    return int(numpy.random.random_sample() * 2**32), int(numpy.random.random_sample() * 2**32)
