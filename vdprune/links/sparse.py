"""What links for inference with sparse weights have in common."""

from typing import Any

import chainer
import numpy
import scipy.sparse
from chainer import Link, as_array

from vdprune.errors import ArgumentError


class Sparse(Link):
    """A link with its weights in compressed sparse rows; on the CPU, forward only."""

    def init_sparse(self, W: Any, b: Any) -> None:
        """Keep the weights as the three arrays of a CSR matrix, saved with the link.

        Args:
            W: Weights, shape (out, ...); all axes but the first together are the columns.
            b: Biases, shape (out,), or None.
        """
        self.W_shape = W.shape
        self.sparse_W = scipy.sparse.csr_matrix(W.reshape(len(W), -1))
        self.add_persistent("data", self.sparse_W.data)
        self.add_persistent("indices", self.sparse_W.indices)
        self.add_persistent("indptr", self.sparse_W.indptr)
        self.add_persistent("b", b)

    def masked_W(self) -> numpy.ndarray:
        """The weights with their zeros, as a new array of their first shape."""
        return self.sparse_W.toarray().reshape(self.W_shape)

    def as_input(self, x: Any) -> numpy.ndarray:
        """Take the array of an input, if it may be used here.

        Args:
            x: Array or Variable.

        Returns:
            The NumPy array.

        Raises:
            ArgumentError: Called in training, or the array is not on the CPU.
        """
        name = type(self).__name__
        if chainer.config.train:
            raise ArgumentError(
                f"{name} is for inference: call it under chainer.using_config('train', False)"
            )
        x = as_array(x)
        if not isinstance(x, numpy.ndarray):
            raise ArgumentError(
                f"{name} runs on the CPU, its input is a {type(x).__name__}: move the input there"
            )
        return x
