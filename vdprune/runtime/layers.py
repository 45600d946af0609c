"""A network as layers: BatchNormalization folded into weights, activations into the layer before."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy

from vdprune.errors import ArgumentError
from vdprune.graph import Graph, Node, find_shapes

ACTIVATIONS = {
    "relu": None,
    "leaky_relu": "slope",
    "clipped_relu": "z",
    "elu": "alpha",
    "sigmoid": None,
    "tanh": None,
}  # with the attribute that each has

_WITH_WEIGHTS = ("linear", "convolution_2d")


@dataclass(frozen=True)
class Layer:
    """One layer.

    Args:
        kind: ``linear``, ``convolution_2d``, ``max_pooling_2d``, ``average_pooling_2d``, ``affine``
            (channels times W plus b), ``copy``, ``add``, ``concatenate`` or ``softmax``.
        name: What people call it.
        sources: Numbers of the values it takes: 0 is the network's input, n the result of the n-th
            layer, counted from 1.
        in_shape: Shape of the first of them, of one example.
        out_shape: Shape of the result.
        attributes: As the operation of a graph has them.
        W: Weights, or None.
        b: What is added to each channel, or None.
        activation: What is then done to each number, as ``relu``; empty for nothing.
        parameter: What that needs, as a slope.
    """

    kind: str
    name: str
    sources: tuple[int, ...]
    in_shape: tuple[int, ...]
    out_shape: tuple[int, ...]
    attributes: dict[str, Any] = field(default_factory=dict)
    W: numpy.ndarray | None = None
    b: Any = None
    activation: str = ""
    parameter: float = 0.0


@dataclass(frozen=True)
class Layers:
    """A network.

    Args:
        scale: What its inputs are multiplied by.
        mean: What is then taken away from them, shape of an example.
        layers: Its layers; the last one's result is the network's.
    """

    scale: float
    mean: numpy.ndarray
    layers: tuple[Layer, ...]


def make_layers(graph: Graph, arrays: Mapping[str, numpy.ndarray]) -> Layers:
    """Turn a graph into layers.

    Args:
        graph: The graph.
        arrays: Its arrays by their path.

    Returns:
        The layers, their arrays in float32.

    Raises:
        ArgumentError: Inputs are scaled elsewhere than at the beginning, which is not supported.
    """
    maker = _Maker(graph, arrays)
    for number, node in enumerate(graph.nodes, 1):
        maker.add(number, node)
    maker.end()
    return Layers(maker.scale, maker.mean, tuple(maker.layers))


class _Maker:
    """Goes through a graph's nodes, and knows which layer each value is the result of."""

    def __init__(self, graph: Graph, arrays: Mapping[str, numpy.ndarray]) -> None:
        self.scale, self.mean = 1.0, numpy.zeros(graph.input_shape, numpy.float32)
        self.layers: list[Layer] = []
        self._graph, self._arrays = graph, arrays
        self._shapes = find_shapes(graph)
        self._uses = Counter(i for node in graph.nodes for i in node.inputs)
        self._uses[len(graph.nodes)] += 1  # the network's result
        self._results = {0: 0}  # layer of each value of the graph

    def add(self, number: int, node: Node) -> None:
        """Take in the node of a number, counted from 1."""
        if node.operation == "scaling":
            self._scale(number, node)
        elif node.operation == "reshape":
            self._results[number] = self._results[node.inputs[0]]
        elif node.operation in ACTIVATIONS:
            self._activate(number, node)
        elif node.operation == "batch_normalization":
            self._normalise(number, node)
        else:
            self._append(number, node, self._layer(node, number))

    def end(self) -> None:
        """Make sure that the last layer's result is the network's."""
        number = self._results[len(self._graph.nodes)]
        if number != len(self.layers) or not self.layers:
            shape = self._shapes[-1]
            self.layers.append(Layer("copy", "copy", (number,), shape, shape))

    def _array(self, node: Node, role: str) -> Any:
        return numpy.asarray(self._arrays[node.arrays[role].path], numpy.float32)

    def _layer(self, node: Node, number: int) -> Layer:
        name = node.operation
        W = b = None
        if node.operation in _WITH_WEIGHTS:
            W, name = self._array(node, "W"), node.arrays["W"].path.removesuffix("/W")
            b = self._array(node, "b") if "b" in node.arrays else numpy.zeros(len(W), W.dtype)
        return self._make(number, node, node.operation, name, node.attributes, W, b)

    def _make(self, number: int, node: Node, kind: str, name: str, *rest: Any) -> Layer:
        sources = tuple(self._results[i] for i in node.inputs)
        return Layer(kind, name, sources, self._shapes[node.inputs[0]], self._shapes[number], *rest)

    def _append(self, number: int, node: Node, layer: Layer) -> None:
        self.layers.append(layer)
        self._results[number] = len(self.layers)

    def _scale(self, number: int, node: Node) -> None:
        if node.inputs != (0,) or self._uses[0] > 1:
            raise ArgumentError(
                "the network scales something else than its inputs, or uses them unscaled, too, which "
                "the runtime can't do"
            )
        self.scale, self.mean = float(self._array(node, "scale")), self._array(node, "mean")
        self._results[number] = 0

    def _last_alone(self, value: int) -> Layer | None:
        """The layer that a value is the result of, if nobody else sees that and it may be changed."""
        number = self._results[value]
        is_last = number == len(self.layers) and number > 0
        if is_last and self._is_seen_once(value) and not self.layers[-1].activation:
            return self.layers[-1]
        return None

    def _is_seen_once(self, value: int) -> bool:
        """Whether a value has one user, and so have those that it is a reshaping of."""
        while self._uses[value] == 1:
            node = self._graph.nodes[value - 1]
            if node.operation != "reshape":
                return True
            value = node.inputs[0]
        return False

    def _activate(self, number: int, node: Node) -> None:
        attribute = ACTIVATIONS[node.operation]
        parameter = float(node.attributes[attribute]) if attribute else 0.0
        layer = self._last_alone(node.inputs[0])
        if layer is None or layer.kind in ("softmax", "concatenate"):
            layer = self._make(number, node, "copy", node.operation, {}, None, None)
            self._append(number, node, layer)
        self.layers[-1] = replace(layer, activation=node.operation, parameter=parameter)
        self._results[number] = len(self.layers)

    def _normalise(self, number: int, node: Node) -> None:
        gamma, beta, mean, var = (self._array(node, r) for r in ("gamma", "beta", "mean", "var"))
        scale = gamma / numpy.sqrt(var + numpy.float32(node.attributes["eps"]))
        shift = beta - mean * scale
        layer = self._last_alone(node.inputs[0])
        channels_are_outputs = layer is not None and layer.out_shape == self._shapes[node.inputs[0]]
        if layer is None or layer.W is None or not channels_are_outputs:
            made = self._make(number, node, "affine", node.operation, {}, scale, shift)
            self._append(number, node, made)
            return
        W = layer.W * scale.reshape(-1, *(1,) * (layer.W.ndim - 1))
        self.layers[-1] = replace(layer, W=W, b=layer.b * scale + shift)
        self._results[number] = len(self.layers)
