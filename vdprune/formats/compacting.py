"""A pruned network without its dead units: smaller arrays that compute the same.

A channel is one place on the first axis of a value: a unit of a linear layer, a filter's image.
Channels that have to go together, as a unit and what its activation makes of it, or what a residual
connection adds up, are one class. A class goes when nobody needs any of its channels: nobody reads
them, or they are the same number for all examples, which the next layer's bias takes in.
"""

import math
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy

from vdprune.formats.weights import Weights
from vdprune.graph import Graph, Node, find_shapes
from vdprune.graph.graph import Array

_WITH_WEIGHTS = ("linear", "convolution_2d")
_MOST = float(numpy.finfo(numpy.float32).max)


def compact_weights(weights: Weights) -> Weights:
    """Remove dead units.

    A unit goes that nobody feeds (its weights are all zero, or see nothing but constants) or that nobody
    reads, and with it its row, its column in each reader, its entry of BatchNormalization. What it
    contributes is added to its readers' biases. A layer without a bias gets one if it needs one, beside
    its weights. The network's inputs and outputs stay, and at least one unit of each layer, with zeros
    for weights. These units stay, too: one that is constant, but not zero, and read by a convolution
    with padding, for which it ends at the border; what a convolution in groups reads and makes; what a
    layer that is used twice reads and makes.

    Args:
        weights: The network.

    Returns:
        The smaller network, which computes the same up to rounding; its header has ``compact`` set,
        and ``arch_kwargs`` does not describe it any more.
    """
    network = _Network.of(weights)
    constants = _find_constants(network)
    needed = _find_needed(network, constants)
    writer = _Writer(network, constants, needed, _choose_kept(network, needed))
    nodes = tuple(writer.rewrite(number, node) for number, node in network.numbered_nodes())
    return Weights(
        {**weights.header, "compact": True},
        Graph(weights.graph.input_shape, nodes),
        {path: writer.arrays[path] for path in weights.weights},
        {path: array for path, array in writer.arrays.items() if path not in weights.weights},
    )


@dataclass(frozen=True)
class _Network:
    """A network, and its channels numbered through all its values.

    Args:
        nodes: Its operations.
        arrays: Its arrays by their path.
        shapes: Shapes of all values.
        channels: Numbers of each value's channels.
        fixed: Numbers of the nodes that stay as they are, and whose inputs and results do.
    """

    nodes: tuple[Node, ...]
    arrays: dict[str, numpy.ndarray]
    shapes: list[tuple[int, ...]]
    channels: list[numpy.ndarray]
    fixed: set[int]

    @classmethod
    def of(cls, weights: Weights) -> "_Network":
        graph, shapes = weights.graph, find_shapes(weights.graph)
        counts = [shape[0] if shape else 1 for shape in shapes]
        channels = numpy.split(numpy.arange(sum(counts)), numpy.cumsum(counts)[:-1])
        uses = Counter(array.path for node in graph.nodes for array in node.arrays.values())
        fixed = {
            number
            for number, node in enumerate(graph.nodes, 1)
            if node.attributes.get("groups", 1) > 1
            or any(uses[array.path] > 1 for array in node.arrays.values())
        }
        return cls(graph.nodes, {**weights.others, **weights.weights}, shapes, channels, fixed)

    def numbered_nodes(self) -> list[tuple[int, Node]]:
        return list(enumerate(self.nodes, 1))

    def channels_into(self, node: Node) -> list[numpy.ndarray]:
        return [self.channels[i] for i in node.inputs]

    def own(self, node: Node) -> dict[str, numpy.ndarray]:
        """A node's arrays by their role."""
        return {role: self.arrays[array.path] for role, array in node.arrays.items()}

    def ties(self, number: int, node: Node) -> tuple[numpy.ndarray, numpy.ndarray]:
        """Pairs of channels, before and after a node, that are there together or not at all."""
        before, after = numpy.concatenate(self.channels_into(node)), self.channels[number]
        if node.operation in _WITH_WEIGHTS:
            return before[:0], after[:0]
        if node.operation == "reshape":
            before = before.repeat(math.prod(self.shapes[node.inputs[0]][1:]))
            after = after.repeat(math.prod(self.shapes[number][1:]))
        return before, numpy.resize(after, before.size)  # again and again for each input of an add


# Forward: which channels are constant


def _find_constants(network: _Network) -> numpy.ndarray:
    """Find the value of each channel that is the same for all examples and pixels, NaN for others."""
    constants = numpy.full(network.channels[-1][-1] + 1, numpy.nan)
    for number, node in network.numbered_nodes():
        rule = _CONSTANTS.get(node.operation)
        if rule is None or number in network.fixed:
            continue
        inputs = [constants[channels] for channels in network.channels_into(node)]
        shapes = network.shapes[node.inputs[0]], network.shapes[number]
        with numpy.errstate(all="ignore"):
            found = rule(node, network.own(node), shapes, *inputs)
            constants[network.channels[number]] = numpy.where(abs(found) <= _MOST, found, numpy.nan)
    return constants


def _with_padding(node: Node, x: numpy.ndarray) -> numpy.ndarray:
    """What of constants stays constant with zeros around it."""
    return numpy.where(x == 0, x, numpy.nan) if any(node.attributes.get("pad", ())) else x


def _by_pair(W: numpy.ndarray) -> numpy.ndarray:
    """Weights in float64, shape (outputs, inputs, pixels of a filter)."""
    return W.astype(numpy.float64).reshape(*W.shape[:2], -1)


def _weigh(node: Node, own: Any, shapes: Any, x: numpy.ndarray) -> numpy.ndarray:
    W = _by_pair(own["W"])
    products = W.sum(axis=2) * _with_padding(node, x)
    return numpy.where(W.any(axis=2), products, 0).sum(axis=1) + own.get("b", 0)


def _normalise(node: Node, own: Any, shapes: Any, x: numpy.ndarray) -> numpy.ndarray:
    own = {role: array.astype(numpy.float64) for role, array in own.items()}
    scale = own["gamma"] / numpy.sqrt(own["var"] + node.attributes["eps"])
    return numpy.where(scale == 0, 0, (x - own["mean"]) * scale) + own["beta"]


def _find_most(node: Node, own: Any, shapes: Any, x: numpy.ndarray) -> numpy.ndarray:
    """The largest of a constant is the same, if no window lies beyond the image altogether."""
    stride, pad = node.attributes["stride"], node.attributes["pad"]
    sizes = zip(shapes[0][1:], shapes[1][1:], stride, pad, strict=True)
    is_inside = all((after - 1) * s - p < before for before, after, s, p in sizes)
    return x if is_inside else numpy.full_like(x, numpy.nan)


def _reshape(node: Node, own: Any, shapes: Any, x: numpy.ndarray) -> numpy.ndarray:
    parts = x.repeat(math.prod(shapes[0][1:])).reshape(shapes[1][0], -1)
    return numpy.where((parts == parts[:, :1]).all(axis=1), parts[:, 0], numpy.nan)


_CONSTANTS: dict[str, Callable[..., numpy.ndarray]] = {
    "linear": _weigh,
    "convolution_2d": _weigh,
    "batch_normalization": _normalise,
    "max_pooling_2d": _find_most,
    "average_pooling_2d": lambda node, own, shapes, x: _with_padding(node, x),
    "relu": lambda node, own, shapes, x: numpy.maximum(x, 0),
    "leaky_relu": lambda node, own, shapes, x: numpy.where(x < 0, x * node.attributes["slope"], x),
    "clipped_relu": lambda node, own, shapes, x: x.clip(0, node.attributes["z"]),
    "elu": lambda node, own, shapes, x: numpy.where(
        x < 0, node.attributes["alpha"] * numpy.expm1(x), x
    ),
    "sigmoid": lambda node, own, shapes, x: (1 + numpy.tanh(x / 2)) / 2,  # no exp to overflow
    "tanh": lambda node, own, shapes, x: numpy.tanh(x),
    "reshape": _reshape,
    "add": lambda node, own, shapes, *inputs: sum(inputs),
    "concatenate": lambda node, own, shapes, *inputs: numpy.concatenate(inputs),
}  # scaling and softmax make none


# Backward: which channels are needed


def _find_needed(network: _Network, constants: numpy.ndarray) -> numpy.ndarray:
    """Tell which channels somebody reads who can't do with a constant."""
    needed = numpy.zeros(constants.size, bool)
    needed[network.channels[0]] = needed[network.channels[-1]] = True
    for number, node in reversed(network.numbered_nodes()):
        before, after = numpy.concatenate(network.channels_into(node)), network.channels[number]
        is_live = needed & numpy.isnan(constants)
        if number in network.fixed:
            needed[before] = needed[after] = True
        elif node.operation in _WITH_WEIGHTS:
            W = _by_pair(network.own(node)["W"])[is_live[after]]
            is_read = W.any(axis=(0, 2))
            needed[before] |= is_read & numpy.isnan(_with_padding(node, constants[before]))
        elif node.operation == "softmax":
            needed[before] = True
        else:
            before, after = network.ties(number, node)
            needed[before[is_live[after]]] = True
    return needed


def _choose_kept(network: _Network, needed: numpy.ndarray) -> numpy.ndarray:
    """Tell which channels stay: classes of which one is needed, and at least one of each value."""
    pairs = [network.ties(number, node) for number, node in network.numbered_nodes()]
    classes = _find_classes(needed.size, pairs)
    is_kept = numpy.zeros(needed.size, bool)
    is_kept[classes[needed]] = True
    for channels in network.channels:
        if not is_kept[classes[channels]].any():
            is_kept[classes[channels[0]]] = True
    return is_kept[classes]


def _find_classes(size: int, pairs: list[tuple[numpy.ndarray, numpy.ndarray]]) -> numpy.ndarray:
    """Find which channels are tied, directly or by others: the least number of those of each."""
    classes = numpy.arange(size)
    before = None
    while before is None or (classes != before).any():
        before = classes.copy()
        for ends in (*pairs, *reversed(pairs)):
            least = classes[list(ends)].min(axis=0)
            for end in ends:
                numpy.minimum.at(classes, end, least)
    return classes


# Rewriting


class _Writer:
    """Writes nodes and arrays without the channels that go."""

    def __init__(
        self,
        network: _Network,
        constants: numpy.ndarray,
        needed: numpy.ndarray,
        is_kept: numpy.ndarray,
    ) -> None:
        self.arrays = dict(network.arrays)
        self._network, self._constants = network, constants
        self._needed, self._is_kept = needed, is_kept

    def rewrite(self, number: int, node: Node) -> Node:
        """Return the node of a number, and change its arrays."""
        is_kept = self._is_kept[self._network.channels[number]]
        if number in self._network.fixed:
            return node
        if node.operation in _WITH_WEIGHTS:
            return self._rewrite_weights(number, node, is_kept)
        if node.operation == "reshape":
            shape = [int(is_kept.sum()), *node.attributes["shape"][1:]]
            return replace(node, attributes={"shape": shape})
        for role, array in self._network.own(node).items():
            if array.ndim and not is_kept.all():
                node = self._store(node, role, array[is_kept])
        return node

    def _store(self, node: Node, role: str, array: numpy.ndarray) -> Node:
        found = node.arrays.get(role)
        path = self._free_path(node.arrays["W"].path) if found is None else found.path
        self.arrays[path] = array
        return replace(node, arrays={**node.arrays, role: Array(path, array.shape)})

    def _free_path(self, path: str) -> str:
        """A path for the bias beside weights that had none."""
        path = f"{path.rpartition('/')[0]}/b".lstrip("/")
        while path in self.arrays:
            path += "_"
        return path

    def _rewrite_weights(self, number: int, node: Node, is_kept: numpy.ndarray) -> Node:
        outputs, inputs = self._network.channels[number], self._network.channels[node.inputs[0]]
        own = self._network.own(node)
        W, folded = own["W"].copy(), _with_padding(node, self._constants[inputs])
        with numpy.errstate(all="ignore"):  # of weights that are not finite
            b = own.get("b", 0) + _by_pair(W).sum(axis=2) @ numpy.nan_to_num(folded)
        W[:, ~numpy.isnan(folded)] = 0
        W[~self._needed[outputs]] = 0
        node = self._store(node, "W", W[is_kept][:, self._is_kept[inputs]])
        if "b" in own or b[is_kept].any():
            node = self._store(node, "b", b[is_kept].astype(own.get("b", W).dtype))
        return node
