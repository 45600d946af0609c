"""What links for inference with sparse weights have in common."""

from typing import Any

import chainer
import numpy
from chainer import Link, as_array

from vdprune.errors import ArgumentError
from vdprune.graph import Graph, Node
from vdprune.graph.graph import Array
from vdprune.runtime.layers import make_layers
from vdprune.runtime.network import Network
from vdprune.sparse_rows import SparseRows, compress, expand
from vdprune.threads import get_team

_MOST_SHAPES = 8  # of inputs, for which a link keeps what it runs; images may have any size


class Sparse(Link):
    """A link with its weights in compressed sparse rows; on the CPU, in float32, forward only."""

    def init_sparse(self, W: Any, b: Any) -> None:
        """Keep the weights as the three arrays of a CSR matrix, saved with the link.

        Args:
            W: Weights, shape (out, ...); all axes but the first together are the columns.
            b: Biases, shape (out,), or None.
        """
        self.W_shape = W.shape
        for name, array in compress(W)._asdict().items():
            self.add_persistent(name, array)
        self.add_persistent("b", b)
        self._networks: dict[tuple[int, ...], Network] = {}

    def serialize(self, serializer: Any) -> None:
        """Save or load the weights."""
        super().serialize(serializer)
        self._networks = {}

    def __getstate__(self) -> dict[str, Any]:
        """Leave out what is made anew when it is needed, and can't be copied: it has threads."""
        return {**self.__dict__, "_networks": {}}

    def masked_W(self) -> numpy.ndarray:
        """The weights with their zeros, as a new array of their first shape."""
        return expand(SparseRows(self.data, self.indices, self.indptr), self.W_shape)

    def run(self, operation: str, x: Any, attributes: dict[str, Any]) -> numpy.ndarray:
        """Run the link as a network of one layer, sparse or dense, whichever is faster here.

        Args:
            operation: What it does: see `vdprune.graph.OPERATIONS`.
            x: Inputs, shape (batch, ...), array or Variable.
            attributes: The operation's attributes.

        Returns:
            Results, shape (batch, numbers), float32.

        Raises:
            ArgumentError: Called in training, or the array is not on the CPU, or has a shape that the
                weights do not fit.
        """
        x = self._as_input(x)
        network = self._networks.get(x.shape[1:])
        if network is None:
            if len(self._networks) == _MOST_SHAPES:
                del self._networks[next(iter(self._networks))]  # the oldest
            network = self._make_network(operation, x.shape[1:], attributes)
            self._networks[x.shape[1:]] = network
        return network.logits(x)

    def _make_network(
        self, operation: str, shape: tuple[int, ...], attributes: dict[str, Any]
    ) -> Network:
        arrays = {"W": self.masked_W()}
        if self.b is not None:
            arrays["b"] = self.b
        named = {role: Array(role, array.shape) for role, array in arrays.items()}
        graph = Graph(shape, (Node(operation, (0,), attributes, named),))
        try:
            layers = make_layers(graph, arrays)
        except ValueError as error:
            raise ArgumentError(f"{type(self).__name__}: {error}") from error
        return Network(layers, shape, get_team())

    def _as_input(self, x: Any) -> numpy.ndarray:
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
