"""LeNet-5 in the form that Caffe made known."""

from typing import Any

import chainer.functions as F
import chainer.links as L
from chainer import initializers

from vdprune.archs.pooled_size import pooled_size
from vdprune.chain import VariationalDropoutChain
from vdprune.links import InputScaling


class LeNet5(VariationalDropoutChain):
    """Two 5x5 convolutions (20 and 50 filters), each with 2x2 max pooling, then 500-classes.

    Args:
        input_shape: Channels, height and width of an image.
        classes: Number of classes.
        theta_std: Standard deviation of the initial weights.
        **kwargs: Those of `VariationalDropoutChain`.

    Raises:
        ArgumentError: The images are too small, or not images.

    Source: LeCun et al., "Gradient-based learning applied to document recognition", 1998, as in
    Caffe's MNIST example: ReLU after the third layer only.
    """

    def __init__(
        self,
        input_shape: tuple[int, ...] = (1, 28, 28),
        classes: int = 10,
        theta_std: float = 0.01,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        height, width = pooled_size("lenet5", input_shape)
        initialW = initializers.Normal(theta_std)
        with self.init_scope():
            self.scaling = InputScaling(input_shape)
            self.conv1 = L.Convolution2D(input_shape[0], 20, 5, initialW=initialW)
            self.conv2 = L.Convolution2D(20, 50, 5, initialW=initialW)
            self.l3 = L.Linear(50 * height * width, 500, initialW=initialW)
            self.l4 = L.Linear(500, classes, initialW=initialW)

    def forward(self, x: Any) -> Any:
        """Classify a batch.

        Args:
            x: Images, shape (batch, *input_shape).

        Returns:
            Logits, shape (batch, classes).
        """
        h = F.max_pooling_2d(self.conv1(self.scaling(x)), 2)
        h = F.max_pooling_2d(self.conv2(h), 2)
        h = F.relu(self.l3(h))
        return self.l4(h)
