"""LeNet-300-100."""

import math
from typing import Any

import chainer.functions as F
import chainer.links as L
from chainer import initializers

from vdprune.chain import VariationalDropoutChain
from vdprune.links import InputScaling


class LeNet300(VariationalDropoutChain):
    """Three fully connected layers, 300-100-classes, with ReLU.

    Args:
        input_shape: Shape of one example.
        classes: Number of classes.
        theta_std: Standard deviation of the initial weights.
        **kwargs: Those of `VariationalDropoutChain`.

    Source: LeCun et al., "Gradient-based learning applied to document recognition", 1998; in this
    form Han et al., "Learning both Weights and Connections", NIPS 2015.
    """

    is_static = True

    def __init__(
        self,
        input_shape: tuple[int, ...] = (1, 28, 28),
        classes: int = 10,
        theta_std: float = 0.01,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        initialW = initializers.Normal(theta_std)
        with self.init_scope():
            self.scaling = InputScaling(input_shape)
            self.l1 = L.Linear(math.prod(input_shape), 300, initialW=initialW)
            self.l2 = L.Linear(300, 100, initialW=initialW)
            self.l3 = L.Linear(100, classes, initialW=initialW)

    def forward(self, x: Any) -> Any:
        """Classify a batch.

        Args:
            x: Examples, shape (batch, *input_shape).

        Returns:
            Logits, shape (batch, classes).
        """
        h = F.relu(self.l1(self.scaling(x)))
        h = F.relu(self.l2(h))
        return self.l3(h)
