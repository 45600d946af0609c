"""Inference with a convolution whose zeros are not stored."""

from typing import Any

from chainer import Variable
from chainer.utils.conv import get_conv_outsize

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
        attributes = {
            "stride": list(self.stride),
            "pad": list(self.pad),
            "dilate": list(self.dilate),
            "groups": self.groups,
        }
        y = self.run("convolution_2d", x, attributes)
        height, width = (
            get_conv_outsize(n, k, s, p, d=d)
            for n, k, s, p, d in zip(
                x.shape[2:], self.ksize, self.stride, self.pad, self.dilate, strict=True
            )
        )
        return Variable(y.reshape(len(x), -1, height, width), requires_grad=False)
