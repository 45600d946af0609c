"""What a linear layer and a convolution with noisy weights have in common on the CPU."""

from typing import Any

import numpy

from vdprune.functions.variational_layer import VariationalLayer


class CpuVariationalLayer(VariationalLayer):
    """A derived class computes `products` and their gradients, and on the way those of the weights."""

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
        y, divergence = self.products(x, rest[0] if rest else None)
        self.y_shape = y.shape
        return y, numpy.asarray(divergence, self.W.dtype)

    def backward_arrays(
        self, indexes: tuple[int, ...], grad_outputs: tuple[Any, ...]
    ) -> tuple[Any, ...]:
        g, g_divergence = grad_outputs
        g_divergence = 0.0 if g_divergence is None else float(g_divergence)
        if g is None:
            g = numpy.zeros(self.y_shape, self.W.dtype)
        gradients = self.product_gradients(_plain(g), g_divergence, 0 in indexes)
        return tuple(gradients[index] for index in indexes)


def _plain(array: Any) -> Any:
    """Return the array, or a copy that is contiguous and writeable: others need other kernels."""
    return array if array.flags.carray else numpy.array(array, order="C")
