"""What a linear layer and a convolution with noisy weights have in common."""

import functools
from dataclasses import dataclass
from typing import Any

import numpy
from chainer.backends import cuda

from vdprune.errors import ArgumentError
from vdprune.functions.first_order import FirstOrderFunction
from vdprune.functions.prior import k1_of


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

    @functools.cached_property
    def input_numbers(self) -> Any:
        """The inputs' numbers, likewise."""
        return numpy.ascontiguousarray(self.inputs, numpy.intp)

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

    Args:
        threshold: Weights with a log alpha above it are masked.
        mask_variance: Whether their variance is masked, too.
        noise: Standard normal draws to use, shape of the pre-activations; None for new ones.
        alive: Which outputs and inputs the weights are for; None for all.
        prior: Prior of the weights.
        noise_scale: What the draws are multiplied by.
        key: Key of new draws; None for another each time.
    """

    def __init__(
        self,
        threshold: float,
        mask_variance: bool,
        noise: Any,
        alive: Alive | None,
        prior: str,
        noise_scale: float,
        key: tuple[int, int] | None = None,
    ) -> None:
        super().__init__()
        self.prior, self.key = prior, key
        self.k1 = k1_of(prior)
        self.noise_scale = noise_scale
        self.alive = alive
        self.threshold = threshold
        self.mask_variance = mask_variance
        self.noise = noise


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
