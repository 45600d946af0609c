"""Several networks as one teacher."""

from typing import Any

import chainer.functions as F
from chainer import ChainList

from vdprune.chain import VariationalDropoutChain


class Ensemble(VariationalDropoutChain):
    """Networks of one task, whose logits are the mean of their log probabilities.

    Args:
        networks: The networks; they become links of it.
    """

    def __init__(self, networks: list[VariationalDropoutChain]) -> None:
        super().__init__()
        with self.init_scope():
            self.networks = ChainList(*networks)

    def forward(self, x: Any) -> Any:
        """Ask all of them.

        Args:
            x: Examples, shape (batch, *input_shape).

        Returns:
            Logits, shape (batch, classes): those of the probabilities' geometric mean.
        """
        total = sum(F.log_softmax(network(x)) for network in self.networks)
        return total / len(self.networks)
