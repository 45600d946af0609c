"""A network that computes the same with fewer numbers to store."""

import math
from collections import Counter
from dataclasses import replace

import numpy

from vdprune.formats.weights import Weights
from vdprune.graph import Graph, Node, find_shapes
from vdprune.graph.graph import Array, Shape

_WITH_WEIGHTS = ("linear", "convolution_2d")
# what computes each channel of its result from the same channel of its input
_BY_CHANNEL = (
    *("relu", "leaky_relu", "clipped_relu", "elu", "sigmoid", "tanh"),
    *("batch_normalization", "max_pooling_2d", "average_pooling_2d"),
)


def fold_weights(weights: Weights) -> Weights:
    """Put numbers together that are stored apart but used together.

    The scaling of the inputs goes into the first layer if that is linear: the mean into its bias, the
    scale into its weights. BatchNormalization's mean and variance go into its beta and gamma; 0 and 1
    are left of them. Biases of units that nobody reads become zero.

    Args:
        weights: The network.

    Returns:
        One that computes the same up to rounding.
    """
    for node in weights.graph.nodes:
        if node.operation == "batch_normalization":
            weights = _fold_statistics(weights, node)
    return _clear_biases(_fold_scaling(weights))


def replace_arrays(weights: Weights, arrays: dict[str, numpy.ndarray]) -> Weights:
    """Put other arrays in the place of some.

    Args:
        weights: The network.
        arrays: The new arrays by their paths.

    Returns:
        The new network.
    """
    return replace(
        weights,
        weights={path: arrays.get(path, array) for path, array in weights.weights.items()},
        others={path: arrays.get(path, array) for path, array in weights.others.items()},
    )


def _fold_statistics(weights: Weights, node: Node) -> Weights:
    eps = node.attributes["eps"]
    if _are_shared(weights.graph, node) or eps >= 1:
        return weights
    paths = {role: array.path for role, array in node.arrays.items()}
    old = {role: weights.others[path] for role, path in paths.items()}
    gamma = old["gamma"] / numpy.sqrt(old["var"].astype(numpy.float64) + eps)
    new = {
        "gamma": gamma,
        "beta": old["beta"] - old["mean"] * gamma,
        "mean": numpy.zeros_like(gamma),
        "var": numpy.full_like(gamma, 1 - eps),
    }
    return replace_arrays(
        weights, {paths[role]: array.astype(old[role].dtype) for role, array in new.items()}
    )


def _fold_scaling(weights: Weights) -> Weights:
    graph = weights.graph
    place = _find_scaled(graph)
    if place is None:
        return weights
    scaling, linear = graph.nodes[0], graph.nodes[place]
    W = linear.arrays["W"]
    arrays = {**weights.others, **weights.weights}
    b = linear.arrays.get("b")
    if b is None:
        path = f"{W.path.removesuffix('/W')}/b"
        while path in arrays:
            path += "_"
        b = Array(path, W.shape[:1])
        arrays[path] = numpy.zeros(b.shape, numpy.float32)
    mean, scale = (arrays[scaling.arrays[role].path] for role in ("mean", "scale"))
    moved = arrays[W.path].astype(numpy.float64) @ mean.reshape(-1)
    old = arrays[b.path]
    gone = {array.path for array in scaling.arrays.values()}
    others = {path: array for path, array in weights.others.items() if path not in gone}
    others[b.path] = (old - moved).astype(old.dtype)
    nodes = list(graph.nodes)
    nodes[place] = replace(linear, arrays={"W": W, "b": b})
    nodes = [
        replace(node, inputs=tuple(max(0, value - 1) for value in node.inputs)) for node in nodes
    ]
    folded = replace(weights, graph=Graph(graph.input_shape, tuple(nodes[1:])), others=others)
    return replace_arrays(folded, {W.path: (arrays[W.path] * scale).astype(arrays[W.path].dtype)})


def _find_scaled(graph: Graph) -> int | None:
    """Find the linear layer that alone reads the scaled inputs, in whatever shape."""
    if graph.nodes[0].operation != "scaling" or _are_shared(graph, graph.nodes[0]):
        return None
    value = 1
    while True:
        readers = [i for i, node in enumerate(graph.nodes) for n in node.inputs if n == value]
        if len(readers) != 1:
            return None
        node = graph.nodes[readers[0]]
        if node.operation == "linear":
            return None if _are_shared(graph, node) else readers[0]
        if node.operation != "reshape":
            return None
        value = readers[0] + 1


def _are_shared(graph: Graph, node: Node) -> bool:
    """Tell whether another node uses one of a node's arrays, too."""
    uses = Counter(array.path for other in graph.nodes for array in other.arrays.values())
    return any(uses[array.path] > 1 for array in node.arrays.values())


def _clear_biases(weights: Weights) -> Weights:
    shapes = find_shapes(weights.graph)
    new = {}
    for value, node in enumerate(weights.graph.nodes, 1):
        if node.operation in _WITH_WEIGHTS and "b" in node.arrays:
            path = node.arrays["b"].path
            if not _are_shared(weights.graph, node):
                b = {**weights.others, **weights.weights}[path]
                new[path] = numpy.where(_find_read(weights, shapes, value), b, b.dtype.type(0))
    return replace_arrays(weights, new)


def _find_read(weights: Weights, shapes: list[Shape], value: int) -> numpy.ndarray:
    """Tell which channels of a value are read; a channel is one number of the first axis."""
    shape = shapes[value]
    read = numpy.full(shape[0], value == len(weights.graph.nodes))
    for place, node in enumerate(weights.graph.nodes, 1):
        if value not in node.inputs:
            continue
        if node.operation in _WITH_WEIGHTS and node.attributes.get("groups", 1) == 1:
            W = {**weights.others, **weights.weights}[node.arrays["W"].path]
            read |= (W != 0).reshape(len(W), len(read), -1).any(axis=(0, 2))
        elif node.operation in _BY_CHANNEL:
            read |= _find_read(weights, shapes, place)
        elif node.operation == "reshape":
            later = _find_read(weights, shapes, place)
            later = later.repeat(math.prod(shape) // len(later))
            read |= later.reshape(len(read), -1).any(axis=1)
        else:
            read[:] = True
    return read
