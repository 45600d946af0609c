"""Inference with a convolution whose zeros are not stored."""

from typing import Any

import numpy
from chainer import Variable
from chainer.utils import conv

from vdprune.links.sparse import Sparse


class SparseConvolution2D(Sparse):
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
        """Keep the filters' size, then the filters as `Sparse` does."""
        self.ksize = W.shape[2:]
        super().init_sparse(W, b)

    def forward(self, x: Any) -> Variable:
        """Apply the layer.

        Args:
            x: Images, shape (batch, in_channels, height, width), NumPy array or Variable of one.

        Returns:
            Variable of shape (batch, out_channels, out_height, out_width), without a history.

        Raises:
            ArgumentError: Called in training, or on an array that is not on the CPU.
        """
        x = self.as_input(x)
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
