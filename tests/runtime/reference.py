"""Graphs evaluated with plain NumPy in float64, window by window."""

import itertools
from collections.abc import Callable
from typing import Any

import numpy

from vdprune.graph import Graph, Node, find_shapes

Array = Any


def evaluate_graph(graph: Graph, arrays: dict[str, Array], x: Array) -> Array:
    """Run a graph on a batch."""
    values, shapes = [numpy.asarray(x, numpy.float64)], find_shapes(graph)
    for node, shape in zip(graph.nodes, shapes[1:], strict=True):
        inputs = [values[i] for i in node.inputs]
        own = {role: numpy.float64(arrays[array.path]) for role, array in node.arrays.items()}
        values.append(OPERATIONS[node.operation](node, own, shape, *inputs))
        assert values[-1].shape == (len(x), *shape)
    return values[-1]


def _windows(x: Array, ksize: Any, stride: Any, shape: Any, dilate: Any = (1, 1)) -> Array:
    """Cut images into windows, shape (batch, channels, kh, kw, height, width)."""
    height, width = shape[1:]
    found = numpy.empty((*x.shape[:2], *ksize, height, width))
    for i, j in itertools.product(*map(range, ksize)):
        rows = i * dilate[0] + stride[0] * numpy.arange(height)
        columns = j * dilate[1] + stride[1] * numpy.arange(width)
        found[:, :, i, j] = x[:, :, rows[:, None], columns]
    return found


def _pad(x: Array, pad: Any, value: float, more: int = 0) -> Array:
    sides = [(p, p + more) for p in pad]
    return numpy.pad(x, [(0, 0), (0, 0), *sides], constant_values=value)


def _convolution(node: Node, own: Any, shape: Any, x: Array) -> Array:
    a, W = node.attributes, own["W"]
    windows = _windows(_pad(x, a["pad"], 0), W.shape[2:], a["stride"], shape, a["dilate"])
    parts = zip(numpy.split(windows, a["groups"], axis=1), numpy.split(W, a["groups"]), strict=True)
    y = numpy.concatenate([numpy.einsum("bcijhw,fcij->bfhw", *part) for part in parts], axis=1)
    return y + own["b"][:, None, None] if "b" in own else y


def _max_pooling(node: Node, own: Any, shape: Any, x: Array) -> Array:
    a = node.attributes
    padded = _pad(x, a["pad"], -numpy.inf, more=max(a["ksize"]) + max(a["stride"]))
    return _windows(padded, a["ksize"], a["stride"], shape).max(axis=(2, 3))


def _average_pooling(node: Node, own: Any, shape: Any, x: Array) -> Array:
    a = node.attributes
    return _windows(_pad(x, a["pad"], 0), a["ksize"], a["stride"], shape).mean(axis=(2, 3))


def _normalise(node: Node, own: Any, shape: Any, x: Array) -> Array:
    own = {role: array.reshape(-1, *(1,) * (x.ndim - 2)) for role, array in own.items()}
    scale = own["gamma"] / numpy.sqrt(own["var"] + node.attributes["eps"])
    return (x - own["mean"]) * scale + own["beta"]


def _softmax(node: Node, own: Any, shape: Any, x: Array) -> Array:
    y = numpy.exp(x - x.max(axis=1, keepdims=True))
    return y / y.sum(axis=1, keepdims=True)


OPERATIONS: dict[str, Callable[..., Array]] = {
    "scaling": lambda node, own, shape, x: x * own["scale"] - own["mean"],
    "linear": lambda node, own, shape, x: x @ own["W"].T + own.get("b", 0),
    "convolution_2d": _convolution,
    "batch_normalization": _normalise,
    "max_pooling_2d": _max_pooling,
    "average_pooling_2d": _average_pooling,
    "relu": lambda node, own, shape, x: numpy.maximum(x, 0),
    "leaky_relu": lambda node, own, shape, x: numpy.where(x < 0, x * node.attributes["slope"], x),
    "clipped_relu": lambda node, own, shape, x: x.clip(0, node.attributes["z"]),
    "elu": lambda node, own, shape, x: numpy.where(
        x < 0, node.attributes["alpha"] * numpy.expm1(x), x
    ),
    "sigmoid": lambda node, own, shape, x: 1 / (1 + numpy.exp(-x)),
    "tanh": lambda node, own, shape, x: numpy.tanh(x),
    "softmax": _softmax,
    "reshape": lambda node, own, shape, x: x.reshape(len(x), *shape),
    "add": lambda node, own, shape, *inputs: sum(inputs),
    "concatenate": lambda node, own, shape, *inputs: numpy.concatenate(inputs, axis=1),
}
