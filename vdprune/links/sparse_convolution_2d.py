"""Inference with a convolution whose zeros are not stored."""

from typing import Any

import numpy
import scipy.sparse
from chainer import Link, Variable
from chainer.utils import conv

from vdprune.links.sparse_linear import as_cpu_inference_input


class SparseConvolution2D(Link):
    """``chainer.links.Convolution2D`` with its filters in compressed sparse rows; CPU, forward only.

    Args:
        W: Filters, shape (out_channels, in_channels / groups, kh, kw); zeros are dropped.
        b: Biases, shape (out_channels,), or None.
        stride: Step of the filters, a pair.
        pad: Zeros added around the images, a pair.
        dilate: Distance between neighbouring filter weights, a pair.
        groups: Number of groups of channels.
    """

    def __init__(
        self,
        W: Any,
        b: Any = None,
        stride: tuple[int, int] = (1, 1),
        pad: tuple[int, int] = (0, 0),
        dilate: tuple[int, int] = (1, 1),
        groups: int = 1,
    ) -> None:
        super().__init__()
        self.stride = stride
        self.pad = pad
        self.dilate = dilate
        self.groups = groups
        self.init_sparse(W, b)

    def init_sparse(self, W: Any, b: Any) -> None:
        """Keep the filters as the three arrays of a CSR matrix, saved with the link.

        Args:
            W: Filters, shape (out_channels, in_channels / groups, kh, kw).
            b: Biases, shape (out_channels,), or None.
        """
        self.ksize = W.shape[2:]
        self.sparse_W = scipy.sparse.csr_matrix(W.reshape(len(W), -1))
        self.add_persistent("data", self.sparse_W.data)
        self.add_persistent("indices", self.sparse_W.indices)
        self.add_persistent("indptr", self.sparse_W.indptr)
        self.add_persistent("b", b)

    def forward(self, x: Any) -> Variable:
        """Apply the layer.

        Args:
            x: Images, shape (batch, in_channels, height, width), NumPy array or Variable of one.

        Returns:
            Variable of shape (batch, out_channels, out_height, out_width), without a history.

        Raises:
            ArgumentError: Called in training, or on an array that is not on the CPU.
        """
        x = as_cpu_inference_input(self, x)
        columns = conv.im2col_cpu(
            x, *self.ksize, *self.stride, *self.pad, dy=self.dilate[0], dx=self.dilate[1]
        )
        batch, _, _, _, height, width = columns.shape
        columns = columns.transpose(1, 2, 3, 0, 4, 5).reshape(
            self.groups, -1, batch * height * width
        )
        filters = self.sparse_W.shape[0] // self.groups
        y = numpy.concatenate(
            [
                self.sparse_W[group * filters : (group + 1) * filters] @ columns[group]
                for group in range(self.groups)
            ]
        )
        y = y.reshape(-1, batch, height, width).transpose(1, 0, 2, 3)
        if self.b is not None:
            y = y + self.b[:, None, None]
        return Variable(numpy.ascontiguousarray(y), requires_grad=False)
