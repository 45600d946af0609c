"""What a linear layer and a convolution with noisy weights have in common on a GPU."""

from typing import Any

import numpy
from chainer.backends import cuda

from vdprune import kernels
from vdprune.functions.variational_layer import Alive, VariationalLayer


class CudaVariationalLayer(VariationalLayer):
    """A derived class computes `products` and their gradients."""

    def products(self, x: Any, b: Any) -> Any:
        """Draw the pre-activations.

        Args:
            x: Inputs.
            b: Biases, or None.

        Returns:
            The pre-activations.
        """
        raise NotImplementedError

    def product_gradients(self, g: Any, wants_x: bool) -> tuple[Any, Any, Any, Any]:
        """Compute the gradients of what went into the pre-activations.

        Args:
            g: Gradient of the pre-activations.
            wants_x: Whether the gradient of the inputs is wanted.

        Returns:
            Gradients of x (or None), of the means and of the variances of the weights, shaped like W,
            and of b.
        """
        raise NotImplementedError

    def forward(self, inputs: tuple[Any, ...]) -> tuple[Any, ...]:
        x, self.W, log_sigma2, *rest = (cuda.cupy.ascontiguousarray(array) for array in inputs)
        self.output_numbers, self.output_places = _numbers(self.alive, 0, self.W.shape[0])
        channels = x.shape[1] if self.alive is None else self.W.shape[1]
        self.input_numbers, self.input_places = _numbers(self.alive, 1, channels)
        self.x, self.has_bias = x, bool(rest)
        self.moments, self.alpha, self.slope, divergence = kernels.cuda.weight_moments(
            self.W, log_sigma2, self.threshold, self.mask_variance, self.k1
        )
        if self.noise is not None:
            self.noise = cuda.cupy.ascontiguousarray(self.noise, x.dtype)
        return self.products(x, rest[0] if rest else None), divergence

    def backward_arrays(
        self, indexes: tuple[int, ...], grad_outputs: tuple[Any, ...]
    ) -> tuple[Any, ...]:
        g, g_divergence = grad_outputs
        if g_divergence is None:
            g_divergence = cuda.cupy.zeros((), self.W.dtype)
        if g is None:
            g_x = g_b = None
            g_W, g_log_sigma2 = cuda.cupy.zeros((2, *self.W.shape), self.W.dtype)
        else:
            g = cuda.cupy.ascontiguousarray(g)
            g_x, g_W, g_log_sigma2, g_b = self.product_gradients(g, 0 in indexes)
        kernels.cuda.weight_gradients(
            self.W, self.alpha, self.slope, self.mask_variance, g_divergence, g_W, g_log_sigma2
        )
        return tuple((g_x, g_W, g_log_sigma2, g_b)[index] for index in indexes)


@cuda.memoize(for_each_device=True)
def _all_numbers(count: int) -> Any:
    return cuda.cupy.arange(count, dtype=numpy.int32)


def _numbers(alive: Alive | None, axis: int, count: int) -> tuple[Any, Any]:
    """Return the numbers of what has weights, and for each of all its place among them, or -1."""
    if alive is None:
        numbers = _all_numbers(count)
        return numbers, numbers
    return alive.on_gpu(axis)
