"""Inference with a linear layer whose zeros are not stored."""

from typing import Any

import chainer
import numpy
import scipy.sparse
from chainer import Link, Variable, as_array

from vdprune.errors import ArgumentError


class SparseLinear(Link):
    """``chainer.links.Linear`` with its weights in compressed sparse rows; on the CPU, forward only.

    Args:
        W: Weights, shape (out_size, in_size); zeros are dropped.
        b: Biases, shape (out_size,), or None.
    """

    def __init__(self, W: Any, b: Any = None) -> None:
        super().__init__()
        self.init_sparse(W, b)

    def init_sparse(self, W: Any, b: Any) -> None:
        """Keep the weights as the three arrays of a CSR matrix, saved with the link.

        Args:
            W: Weights, shape (out_size, in_size).
            b: Biases, shape (out_size,), or None.
        """
        self.sparse_W = scipy.sparse.csr_matrix(W)
        self.add_persistent("data", self.sparse_W.data)
        self.add_persistent("indices", self.sparse_W.indices)
        self.add_persistent("indptr", self.sparse_W.indptr)
        self.add_persistent("b", b)

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
        x = as_cpu_inference_input(self, x)
        batch = x.shape[:n_batch_axes]
        y = (self.sparse_W @ x.reshape(int(numpy.prod(batch)), -1).T).T
        if self.b is not None:
            y = y + self.b
        return Variable(y.reshape(*batch, -1), requires_grad=False)


def as_cpu_inference_input(link: Link, x: Any) -> numpy.ndarray:
    """Array of a sparse layer's input.

    Args:
        link: The sparse layer, for the messages.
        x: Its input.

    Returns:
        The NumPy array.

    Raises:
        ArgumentError: Called in training, or the array is not on the CPU.
    """
    if chainer.config.train:
        raise ArgumentError(
            f"{type(link).__name__} is for inference: call it under "
            "chainer.using_config('train', False)"
        )
    x = as_array(x)
    if not isinstance(x, numpy.ndarray):
        raise ArgumentError(
            f"{type(link).__name__} runs on the CPU, its input is a {type(x).__name__}: move the "
            "input there"
        )
    return x
