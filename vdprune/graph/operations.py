"""The operations that a graph can have, and the shapes of their results.

Shapes are those of one example, without the batch. Each operation is Chainer's function of that name
in evaluation.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from vdprune.graph.graph import Graph, Node, Shape, is_shape

_MOST = 2**24  # numbers in a value of one example
_SMALLEST, _LARGEST = 1e-37, 3e38  # that float32 holds
_Check = Callable[[Any], bool]
_Infer = Callable[[Node, list[Shape]], Shape]


@dataclass(frozen=True)
class Operation:
    """What a node of one kind must have.

    Args:
        infer: Computes the shape of the result; raises ValueError where inputs or arrays don't fit.
        inputs: How many values it takes; None for one or more.
        attributes: Its attributes, all of them needed, each with a test of its value.
        arrays: Roles of its arrays.
        optional: Roles of arrays that can be left out.
    """

    infer: _Infer
    inputs: int | None = 1
    attributes: dict[str, _Check] = field(default_factory=dict)
    arrays: tuple[str, ...] = ()
    optional: tuple[str, ...] = ()


def find_shapes(graph: Graph) -> list[Shape]:
    """Find the shapes of all values of a graph, and make sure that it makes sense.

    Args:
        graph: The graph.

    Returns:
        Shapes of the input and of each operation's result.

    Raises:
        ValueError: An operation is unknown, or has other attributes, inputs or arrays than it needs.
    """
    shapes = [_bounded("the input", graph.input_shape)]
    for number, node in enumerate(graph.nodes, 1):
        try:
            _check(node)
            shape = OPERATIONS[node.operation].infer(node, [shapes[i] for i in node.inputs])
            shapes.append(_bounded("its result", shape))
        except ValueError as error:
            raise ValueError(f"node {number} of its graph, {node.operation}: {error}") from error
    known: dict[str, Shape] = {}
    for array in (array for node in graph.nodes for array in node.arrays.values()):
        if known.setdefault(array.path, array.shape) != array.shape:
            raise ValueError(f"its graph gives {array.path} two shapes")
    return shapes


def _bounded(what: str, shape: Shape) -> Shape:
    if math.prod(shape) > _MOST:
        raise ValueError(f"{what} has shape {shape}, more than {_MOST:,} numbers")
    return shape


def _check(node: Node) -> None:
    operation = OPERATIONS.get(node.operation)
    if operation is None:
        raise ValueError(f"there is no such operation, only {', '.join(OPERATIONS)}")
    if not node.inputs or operation.inputs not in (None, len(node.inputs)):
        raise ValueError(f"it takes {len(node.inputs)} values, {operation.inputs} are needed")
    if set(node.attributes) != set(operation.attributes):
        wanted = ", ".join(operation.attributes) or "none"
        raise ValueError(f"its attributes are {', '.join(node.attributes) or 'none'}, not {wanted}")
    for name, is_good in operation.attributes.items():
        if not is_good(node.attributes[name]):
            raise ValueError(f"{name} is {node.attributes[name]!r}, which has no meaning")
    needed, allowed = set(operation.arrays), {*operation.arrays, *operation.optional}
    if not needed <= set(node.arrays) <= allowed:
        raise ValueError(f"its arrays are {', '.join(node.arrays) or 'none'}")


def _is_number(value: Any) -> bool:
    return type(value) in (int, float) and abs(value) <= _LARGEST  # which NaN is not


def _is_positive(value: Any) -> bool:
    return _is_number(value) and value >= _SMALLEST


def _is_flag(value: Any) -> bool:
    return type(value) is bool


def _pair_from(least: int) -> _Check:
    def is_pair(value: Any) -> bool:
        return (
            isinstance(value, list)
            and len(value) == 2
            and all(type(n) is int and least <= n < 2**31 for n in value)
        )

    return is_pair


def _same(node: Node, shapes: list[Shape]) -> Shape:
    return shapes[0]


def _want(node: Node, role: str, shape: Shape) -> None:
    if role in node.arrays and node.arrays[role].shape != shape:
        raise ValueError(f"{role} has shape {node.arrays[role].shape}, expected {shape}")


def _scaling(node: Node, shapes: list[Shape]) -> Shape:
    _want(node, "scale", ())
    _want(node, "mean", shapes[0])
    return shapes[0]


def _linear(node: Node, shapes: list[Shape]) -> Shape:
    W = node.arrays["W"].shape
    if len(shapes[0]) != 1 or len(W) != 2 or W[1:] != shapes[0]:
        raise ValueError(f"W has shape {W}, an example has {shapes[0]}")
    _want(node, "b", W[:1])
    return W[:1]


def _planes(shape: Shape) -> Shape:
    if len(shape) != 3:
        raise ValueError(f"an example has shape {shape}, not (channels, height, width)")
    return shape


def _convolution(node: Node, shapes: list[Shape]) -> Shape:
    channels, *size = _planes(shapes[0])
    W, groups = node.arrays["W"].shape, node.attributes["groups"]
    if len(W) != 4 or W[1] * groups != channels or W[0] % groups:
        raise ValueError(f"W has shape {W}, groups is {groups}, an example has {shapes[0]}")
    _want(node, "b", W[:1])
    stride, pad, dilate = (node.attributes[name] for name in ("stride", "pad", "dilate"))
    _bounded("its padded input", (channels, *(n + 2 * p for n, p in zip(size, pad, strict=True))))
    ends = [(k - 1) * d + 1 for k, d in zip(W[2:], dilate, strict=True)]
    return (W[0], *_out_size(size, ends, stride, pad, False))


def _pooling(node: Node, shapes: list[Shape]) -> Shape:
    channels, *size = _planes(shapes[0])
    names = ("ksize", "stride", "pad")
    ksize, stride, pad = (node.attributes[name] for name in names)
    if any(p >= k for p, k in zip(pad, ksize, strict=True)):
        raise ValueError(f"pad is {pad}, which must be less than ksize, {ksize}")
    covers_all = node.attributes.get("cover_all", False)
    return (channels, *_out_size(size, ksize, stride, pad, covers_all))


def _out_size(
    size: list[int], ksize: list[int], stride: list[int], pad: list[int], covers_all: bool
) -> list[int]:
    found = []
    for n, k, s, p in zip(size, ksize, stride, pad, strict=True):
        rest = n + 2 * p - k + (s - 1 if covers_all else 0)
        if rest < 0:
            raise ValueError(f"its windows of {ksize} are larger than images of {size}")
        found.append(rest // s + 1)
    return found


def _batch_normalization(node: Node, shapes: list[Shape]) -> Shape:
    for role in ("gamma", "beta", "mean", "var"):
        _want(node, role, shapes[0][:1])
    return shapes[0]


def _reshape(node: Node, shapes: list[Shape]) -> Shape:
    shape = tuple(node.attributes["shape"])
    if math.prod(shape) != math.prod(shapes[0]):
        raise ValueError(f"an example has shape {shapes[0]}, which can't become {shape}")
    return shape


def _add(node: Node, shapes: list[Shape]) -> Shape:
    if len(set(shapes)) > 1:
        raise ValueError(f"examples have shapes {shapes}, which must be the same")
    return shapes[0]


def _concatenate(node: Node, shapes: list[Shape]) -> Shape:
    if not all(shapes):
        raise ValueError("examples are numbers, which have no first axis")
    if len({shape[1:] for shape in shapes}) > 1:
        raise ValueError(
            f"examples have shapes {shapes}, which may differ in the first number alone"
        )
    return (sum(shape[0] for shape in shapes), *shapes[0][1:])


def _softmax(node: Node, shapes: list[Shape]) -> Shape:
    if len(shapes[0]) != 1:
        raise ValueError(f"an example has shape {shapes[0]}, not (classes,)")
    return shapes[0]


_WINDOWS = {"ksize": _pair_from(1), "stride": _pair_from(1), "pad": _pair_from(0)}

OPERATIONS: dict[str, Operation] = {
    # x * scale - mean
    "scaling": Operation(_scaling, arrays=("scale", "mean")),
    "linear": Operation(_linear, arrays=("W",), optional=("b",)),
    "convolution_2d": Operation(
        _convolution,
        attributes={
            "stride": _pair_from(1),
            "pad": _pair_from(0),
            "dilate": _pair_from(1),
            "groups": lambda value: type(value) is int and value > 0,
        },
        arrays=("W",),
        optional=("b",),
    ),
    "batch_normalization": Operation(
        _batch_normalization,
        attributes={"eps": _is_positive},
        arrays=("gamma", "beta", "mean", "var"),
    ),
    "max_pooling_2d": Operation(_pooling, attributes={**_WINDOWS, "cover_all": _is_flag}),
    "average_pooling_2d": Operation(_pooling, attributes=_WINDOWS),
    "relu": Operation(_same),
    "leaky_relu": Operation(_same, attributes={"slope": _is_number}),
    "clipped_relu": Operation(_same, attributes={"z": _is_positive}),
    "elu": Operation(_same, attributes={"alpha": _is_number}),
    "sigmoid": Operation(_same),
    "tanh": Operation(_same),
    "softmax": Operation(_softmax),
    "reshape": Operation(
        _reshape, attributes={"shape": lambda value: is_shape(value) and bool(value)}
    ),
    "add": Operation(_add, inputs=None),
    # along the first axis of an example
    "concatenate": Operation(_concatenate, inputs=None),
}
