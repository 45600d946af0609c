"""How many weights a network has and how many are left.

Counted are the weights of the variational layers; biases are not, exactly as the paper does.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

COUNTING_RULE = "weights of the variational layers; biases not counted"


@dataclass(frozen=True)
class LayerSparsity:
    """One layer's weights.

    Args:
        name: Path of the layer in the model, as ``l1`` or ``block/0/conv``.
        shape: Shape of its weight array.
        weights: Number of its weights.
        nonzero: Number of those that are not zero.
    """

    name: str
    shape: tuple[int, ...]
    weights: int
    nonzero: int

    @property
    def sparsity(self) -> float:
        """Share of weights that are zero, 0 to 1."""
        return 1 - self.nonzero / self.weights

    def to_json(self) -> dict[str, Any]:
        """Return the layer as a dictionary that JSON can hold."""
        return {
            "name": self.name,
            "shape": list(self.shape),
            "weights": self.weights,
            "nonzero": self.nonzero,
            "sparsity": self.sparsity,
        }


@dataclass(frozen=True)
class NetworkSparsity:
    """All layers' weights.

    Args:
        layers: The variational layers, in the model's order.
    """

    layers: tuple[LayerSparsity, ...]

    @property
    def weights(self) -> int:
        """Number of weights."""
        return sum(layer.weights for layer in self.layers)

    @property
    def nonzero(self) -> int:
        """Number of weights that are not zero."""
        return sum(layer.nonzero for layer in self.layers)

    @property
    def sparsity(self) -> float:
        """Share of weights that are zero, 0 to 1; 0 where there are no weights."""
        return 1 - self.nonzero / self.weights if self.weights else 0.0

    @property
    def compression(self) -> float | None:
        """|W| / |W != 0|; None where no weight is left."""
        return self.weights / self.nonzero if self.nonzero else None

    def to_json(self) -> dict[str, Any]:
        """Return the counts as a dictionary that JSON can hold."""
        return {
            "weights": self.weights,
            "nonzero": self.nonzero,
            "sparsity": self.sparsity,
            "compression": self.compression,
            "layers": [layer.to_json() for layer in self.layers],
        }


def measure_sparsity(named_weights: Iterable[tuple[str, Any]]) -> NetworkSparsity:
    """Count the weights of some layers.

    Args:
        named_weights: Each layer's name and weight array, cut weights being zero.

    Returns:
        The counts.
    """
    return NetworkSparsity(
        tuple(
            LayerSparsity(name, tuple(W.shape), int(W.size), int((W != 0).sum()))
            for name, W in named_weights
        )
    )
