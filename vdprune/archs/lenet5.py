"""LeNet-5 in the form that Caffe made known."""

from typing import Any

import chainer.functions as F
import chainer.links as L
from chainer import initializers

from vdprune.archs.pooled_size import pooled_size
from vdprune.chain import VariationalDropoutChain
from vdprune.links import InputScaling


class LeNet5(VariationalDropoutChain):
    """Two 5x5 convolutions (20 and 50 filters), each with 2x2 max pooling and ReLU, then 500-classes.

    Args:
        input_shape: Channels, height and width of an image.
        classes: Number of classes.
        theta_std: Standard deviation of the initial weights; None for Glorot's in the convolutions and
            0.01 in the linear layers.
        **kwargs: Those of `VariationalDropoutChain`.

    Raises:
        ArgumentError: The images are too small, or not images.

    Source: LeCun et al., "Gradient-based learning applied to document recognition", 1998, in the sizes
    of Caffe's MNIST example; ReLU and the initial weights as in the code of Molchanov et al., ICML
    2017 (Caffe has no ReLU after convolutions). Glorot and Bengio, "Understanding the difficulty of
    training deep feedforward neural networks", AISTATS 2010.
    """

    def __init__(
        self,
        input_shape: tuple[int, ...] = (1, 28, 28),
        classes: int = 10,
        theta_std: float | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        height, width = pooled_size("lenet5", input_shape)
        initialW: Any = initializers.Normal(0.01 if theta_std is None else theta_std)
        filters: Any = initializers.GlorotUniform() if theta_std is None else initialW
        with self.init_scope():
            self.scaling = InputScaling(input_shape)
            self.conv1 = L.Convolution2D(input_shape[0], 20, 5, initialW=filters)
            self.conv2 = L.Convolution2D(20, 50, 5, initialW=filters)
            self.l3 = L.Linear(50 * height * width, 500, initialW=initialW)
            self.l4 = L.Linear(500, classes, initialW=initialW)

    def forward(self, x: Any) -> Any:
        """Classify a batch.

        Args:
            x: Images, shape (batch, *input_shape).

        Returns:
            Logits, shape (batch, classes).
        """
        # after the pooling ReLU does the same as before it, on a quarter of the values
        h = F.relu(F.max_pooling_2d(self.conv1(self.scaling(x)), 2))
        h = F.relu(F.max_pooling_2d(self.conv2(h), 2))
        h = F.relu(self.l3(h))
        return self.l4(h)
