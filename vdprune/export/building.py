"""A Chainer model out of a weight file."""

from collections.abc import Callable
from typing import Any

import chainer.functions as F
import chainer.links as L
import numpy
from chainer import Chain, Link, as_array

from vdprune.formats import Weights
from vdprune.graph import Node, find_shapes
from vdprune.links import InputScaling

# The attributes of links that hold the arrays of an operation's roles.
_ATTRIBUTES = {
    "scaling": {"mean": "mean", "scale": "scale"},
    "batch_normalization": {
        "gamma": "gamma",
        "beta": "beta",
        "mean": "avg_mean",
        "var": "avg_var",
    },
}
_OF_WEIGHTS = {"W": "W", "b": "b"}
_EMPTY = Chain()


class GraphChain(Chain):
    """A network that a graph describes, with Chainer's ordinary layers under their own names.

    Args:
        weights: What a weight file holds.
    """

    def __init__(self, weights: Weights) -> None:
        super().__init__()
        arrays = {**weights.others, **weights.weights}
        shapes = find_shapes(weights.graph)
        self._steps: list[tuple[Node, str]] = []
        made: dict[str, Any] = {}  # what each link is
        for number, node in enumerate(weights.graph.nodes, 1):
            path = ""
            if node.arrays:
                path, kind = self._find_path(node), (node.operation, node.arrays, node.attributes)
                while not path or made.get(path, kind) != kind:
                    number, path = number + 1, f"node{number}"
                if path not in made:
                    self._add(path, _make_link(node, shapes[node.inputs[0]], arrays))
                    made[path] = kind
            self._steps.append((node, path))

    def forward(self, x: Any) -> Any:
        """Run the network.

        Args:
            x: Examples, shape (batch, *input_shape), any numeric dtype.

        Returns:
            Variable of its results, shape (batch, outputs).
        """
        if self._steps[0][0].operation != "scaling" and x.dtype.kind != "f":
            x = as_array(x).astype(numpy.float32)
        values = [x]
        for node, path in self._steps:
            inputs = [values[i] for i in node.inputs]
            if path:
                link: Any = self._find_link(path)
                values.append(link(*inputs))
            else:
                values.append(_FUNCTIONS[node.operation](node.attributes, *inputs))
        return values[-1]

    def _find_link(self, path: str) -> Any:
        found: Any = self
        for name in path.split("/"):
            found = getattr(found, name, None)
        return found

    def _find_path(self, node: Node) -> str:
        """Name a node's link by its arrays; empty if they have not one name, or one that is taken."""
        attributes = _ATTRIBUTES.get(node.operation, _OF_WEIGHTS)
        prefixes = {
            array.path.removesuffix(f"/{attributes[role]}")
            for role, array in node.arrays.items()
            if array.path.endswith(f"/{attributes[role]}")
        }
        path = prefixes.pop() if len(prefixes) == 1 else ""
        return path if path and self._is_free(path) else ""

    def _is_free(self, path: str) -> bool:
        """Whether a link can have a path, or has it."""
        names = path.split("/")
        if any(hasattr(GraphChain, name) or hasattr(_EMPTY, name) for name in names):
            return False
        if any(not name or name.startswith(("_", "node")) for name in names):  # as "_steps"
            return False
        above = [self._find_link("/".join(names[:depth])) for depth in range(1, len(names))]
        return all(link is None or isinstance(link, Chain) for link in above) and not isinstance(
            self._find_link(path), Chain
        )

    def _add(self, path: str, link: Link) -> None:
        *parents, name = path.split("/")
        place: Any = self
        for parent in parents:
            if not isinstance(getattr(place, parent, None), Chain):
                place.add_link(parent, Chain())
            place = getattr(place, parent)
        place.add_link(name, link)


def build_chain(weights: Weights) -> Chain:
    """Make a network of what a weight file holds, to be run, or trained on, with Chainer.

    Args:
        weights: What a weight file holds.

    Returns:
        The network; its layers have the names that they had.
    """
    return GraphChain(weights)


def _make_link(node: Node, shape: tuple[int, ...], arrays: dict[str, numpy.ndarray]) -> Link:
    own = {role: arrays[array.path] for role, array in node.arrays.items()}
    own = {role: array.astype(numpy.float32) for role, array in own.items() if role != "scale"}
    if node.operation == "scaling":
        scaling = InputScaling(shape)
        scaling.mean[...] = own["mean"]
        scaling.scale = float(arrays[node.arrays["scale"].path])
        return scaling
    if node.operation == "batch_normalization":
        link = L.BatchNormalization(shape[0], eps=node.attributes["eps"])
        link.gamma.array[...], link.beta.array[...] = own["gamma"], own["beta"]
        link.avg_mean[...], link.avg_var[...] = own["mean"], own["var"]
        return link
    W, b = own["W"], own.get("b")
    if node.operation == "linear":
        return L.Linear(W.shape[1], W.shape[0], b is None, initialW=W, initial_bias=b)
    attributes = node.attributes
    return L.Convolution2D(
        shape[0],
        len(W),
        W.shape[2:],
        tuple(attributes["stride"]),
        tuple(attributes["pad"]),
        b is None,
        initialW=W,
        initial_bias=b,
        dilate=tuple(attributes["dilate"]),
        groups=attributes["groups"],
    )


_FUNCTIONS: dict[str, Callable[..., Any]] = {
    "max_pooling_2d": lambda a, x: F.max_pooling_2d(
        x, a["ksize"], a["stride"], a["pad"], a["cover_all"]
    ),
    "average_pooling_2d": lambda a, x: F.average_pooling_2d(x, a["ksize"], a["stride"], a["pad"]),
    "relu": lambda a, x: F.relu(x),
    "leaky_relu": lambda a, x: F.leaky_relu(x, a["slope"]),
    "clipped_relu": lambda a, x: F.clipped_relu(x, a["z"]),
    "elu": lambda a, x: F.elu(x, a["alpha"]),
    "sigmoid": lambda a, x: F.sigmoid(x),
    "tanh": lambda a, x: F.tanh(x),
    "softmax": lambda a, x: F.softmax(x),
    "reshape": lambda a, x: F.reshape(x, (len(x), *a["shape"])),
    "add": lambda a, *inputs: F.add(*inputs) if len(inputs) > 1 else inputs[0],
    "concatenate": lambda a, *inputs: F.concat(inputs, axis=1),
}
