"""The VGG-like network for CIFAR."""

import math
from collections.abc import Iterator
from typing import Any

import chainer.functions as F
import chainer.links as L
from chainer import initializers

from vdprune.archs.width import VGG_FILTERS, scale_filters
from vdprune.chain import VariationalDropoutChain
from vdprune.errors import ArgumentError
from vdprune.links import InputScaling

_LEAST_PIXELS = 32  # each of the five poolings halves them


class VGGLike(VariationalDropoutChain):
    """Thirteen 3x3 convolutions in five blocks, 512-classes; BatchNormalization and ReLU after each.

    A block ends in 2x2 max pooling. There is no binary dropout: variational dropout takes its place.
    Layers that are normalised have no biases, BatchNormalization's shift is one. It also makes the
    scale of their weights immaterial to what they compute, but not how large their noise is beside
    them: small weights drown in noise that starts at the usual log sigma^2 of -10.

    Args:
        input_shape: Channels, height and width of an image.
        classes: Number of classes.
        theta_std: Standard deviation of the initial weights; None for He's, sqrt(2 / inputs).
        width: What the number of filters and of hidden units is multiplied by, the paper's k.
        **kwargs: Those of `VariationalDropoutChain`.

    Raises:
        ArgumentError: The images are too small, or not images; or there is no such width.

    Source: Molchanov et al., ICML 2017, section 5.3, after Zagoruyko, "92.45% on CIFAR-10 in Torch",
    2015, whose binary dropout it leaves out; He et al., "Delving Deep into Rectifiers", ICCV 2015.
    """

    def __init__(
        self,
        input_shape: tuple[int, ...] = (3, 32, 32),
        classes: int = 10,
        theta_std: float | None = None,
        width: float = 1.0,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        if len(input_shape) != 3 or min(input_shape[1:]) < _LEAST_PIXELS:
            raise ArgumentError(
                f"vgg-like takes images of shape (channels, height, width), at least {_LEAST_PIXELS} "
                f"pixels each way; the examples have shape {tuple(input_shape)}"
            )
        channels, *size = input_shape
        blocks = [[scale_filters(n, width) for n in block] for block in VGG_FILTERS]
        hidden = blocks[-1][-1]
        # poolings that keep a last odd pixel
        pixels = math.prod(math.ceil(n / 2 ** len(blocks)) for n in size)
        initialW = initializers.HeNormal() if theta_std is None else initializers.Normal(theta_std)
        with self.init_scope():
            self.scaling = InputScaling(input_shape)
            for (i, j), filters in _numbered(blocks):
                convolution = L.Convolution2D(
                    channels, filters, 3, pad=1, nobias=True, initialW=initialW
                )
                setattr(self, f"conv{i}_{j}", convolution)
                setattr(self, f"bn{i}_{j}", L.BatchNormalization(filters))
                channels = filters
            self.l6 = L.Linear(channels * pixels, hidden, nobias=True, initialW=initialW)
            self.bn6 = L.BatchNormalization(hidden)
            self.l7 = L.Linear(hidden, classes, initialW=initialW)

    def forward(self, x: Any) -> Any:
        """Classify a batch.

        Args:
            x: Images, shape (batch, *input_shape).

        Returns:
            Logits, shape (batch, classes).
        """
        h = self.scaling(x)
        for i, block in enumerate(VGG_FILTERS, 1):
            for j in range(1, len(block) + 1):
                h = F.relu(self[f"bn{i}_{j}"](self[f"conv{i}_{j}"](h)))
            h = F.max_pooling_2d(h, 2)
        h = F.relu(self.bn6(self.l6(h)))
        return self.l7(h)


def _numbered(blocks: list[list[int]]) -> Iterator[tuple[tuple[int, int], int]]:
    """Number convolutions as VGG's are: block and place in it, from 1."""
    for i, block in enumerate(blocks, 1):
        for j, filters in enumerate(block, 1):
            yield (i, j), filters
