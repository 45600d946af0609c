"""A stronger small convolutional network for MNIST and the like."""

from typing import Any

import chainer.functions as F
import chainer.links as L
from chainer import initializers

from vdprune.archs.pooled_size import pooled_size
from vdprune.chain import VariationalDropoutChain
from vdprune.links import InputScaling

_DROPOUT = 0.3


class LeNet5BN(VariationalDropoutChain):
    """Two 5x5 convolutions (24 and 48 filters) with BatchNormalization, then 128-classes.

    Each convolution is followed by 2x2 max pooling, BatchNormalization and ReLU. Before each of the two
    fully connected layers stands binary dropout of 0.3: it is made to be trained without variational
    dropout, as a teacher. The convolutions have no biases, BatchNormalization's shift is one.

    Args:
        input_shape: Channels, height and width of an image.
        classes: Number of classes.
        theta_std: Standard deviation of the initial weights.
        **kwargs: Those of `VariationalDropoutChain`.

    Raises:
        ArgumentError: The images are too small, or not images.
    """

    def __init__(
        self,
        input_shape: tuple[int, ...] = (1, 28, 28),
        classes: int = 10,
        theta_std: float = 0.01,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        height, width = pooled_size("lenet5-bn", input_shape)
        initialW = initializers.Normal(theta_std)
        with self.init_scope():
            self.scaling = InputScaling(input_shape)
            self.conv1 = L.Convolution2D(input_shape[0], 24, 5, nobias=True, initialW=initialW)
            self.bn1 = L.BatchNormalization(24)
            self.conv2 = L.Convolution2D(24, 48, 5, nobias=True, initialW=initialW)
            self.bn2 = L.BatchNormalization(48)
            self.l3 = L.Linear(48 * height * width, 128, initialW=initialW)
            self.l4 = L.Linear(128, classes, initialW=initialW)

    def forward(self, x: Any) -> Any:
        """Classify a batch.

        Args:
            x: Images, shape (batch, *input_shape).

        Returns:
            Logits, shape (batch, classes).
        """
        h = F.relu(self.bn1(F.max_pooling_2d(self.conv1(self.scaling(x)), 2)))
        h = F.relu(self.bn2(F.max_pooling_2d(self.conv2(h), 2)))
        h = F.relu(self.l3(F.dropout(h, _DROPOUT)))
        return self.l4(F.dropout(h, _DROPOUT))
