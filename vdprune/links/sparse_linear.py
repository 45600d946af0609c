"""Inference with a linear layer whose zeros are not stored."""

import math
from typing import Any

from chainer import Variable

from vdprune.links.sparse import Sparse


class SparseLinear(Sparse):
    """``chainer.links.Linear`` with its weights in compressed sparse rows; on the CPU, forward only.

    Args:
        W: Weights, shape (out_size, in_size); zeros are dropped.
        b: Biases, shape (out_size,), or None.
    """

    def __init__(self, W: Any, b: Any = None) -> None:
        super().__init__()
        self.init_sparse(W, b)

    def forward(self, x: Any, n_batch_axes: int = 1) -> Variable:
        """Apply the layer.

        Args:
            x: Inputs, shape (batch..., in_size), NumPy array or Variable of one.
            n_batch_axes: How many leading axes of x are batch axes.

        Returns:
            Variable of shape (batch..., out_size), without a history.

        Raises:
            ArgumentError: Called in training, or on an array that is not on the CPU.
        """
        batch = x.shape[:n_batch_axes]
        y = self.run("linear", x.reshape(math.prod(batch), -1), {})
        return Variable(y.reshape(*batch, -1), requires_grad=False)
