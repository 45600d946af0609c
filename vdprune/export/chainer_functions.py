"""Chainer's functions as operations of a graph."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from chainer.functions.activation.clipped_relu import ClippedReLU
from chainer.functions.activation.elu import ELU
from chainer.functions.activation.leaky_relu import LeakyReLU
from chainer.functions.activation.relu import ReLU
from chainer.functions.activation.sigmoid import Sigmoid
from chainer.functions.activation.softmax import Softmax
from chainer.functions.activation.tanh import Tanh
from chainer.functions.array.concat import Concat
from chainer.functions.array.reshape import Reshape
from chainer.functions.connection.convolution_2d import Convolution2DFunction
from chainer.functions.connection.linear import LinearFunction
from chainer.functions.math.basic_math import Add, MultiAdd
from chainer.functions.normalization.batch_normalization import FixedBatchNormalization
from chainer.functions.pooling.average_pooling_2d import AveragePooling2D
from chainer.functions.pooling.average_pooling_nd import AveragePoolingND
from chainer.functions.pooling.max_pooling_nd import MaxPoolingND

from vdprune.errors import ArgumentError


@dataclass(frozen=True)
class Described:
    """A function as an operation.

    Args:
        operation: Its name.
        attributes: Its attributes.
        roles: What its inputs are that are arrays of the network, in their order.
        values: How many inputs come before those; None if all are values.
    """

    operation: str
    attributes: dict[str, Any] = field(default_factory=dict)
    roles: tuple[str, ...] = ()
    values: int | None = 1


def describe_function(function: Any) -> Described:
    """Describe one of Chainer's functions, after it was called.

    Args:
        function: The function.

    Returns:
        The operation.

    Raises:
        ArgumentError: There is no such operation.
    """
    describe = _DESCRIPTIONS.get(type(function))
    if describe is None:
        known = ", ".join(sorted(kind.__name__ for kind in _DESCRIPTIONS))
        raise ArgumentError(
            f"the model uses {type(function).__name__} of {type(function).__module__}, and a graph can "
            f"have {known} only"
        )
    return describe(function)


def _refuse(function: Any, what: str) -> ArgumentError:
    return ArgumentError(
        f"the model uses {type(function).__name__} {what}, which a graph can't have"
    )


def _convolution(function: Any) -> Described:
    if function.cover_all:
        raise _refuse(function, "with cover_all")
    attributes = {
        "stride": [function.sy, function.sx],
        "pad": [function.ph, function.pw],
        "dilate": [function.dy, function.dx],
        "groups": function.groups,
    }
    return Described("convolution_2d", attributes, ("W", "b"))


def _batch_normalization(function: Any) -> Described:
    if 1 in function.axis or 0 not in function.axis:
        raise _refuse(function, f"over the axes {function.axis}")
    roles = "gamma", "beta", "mean", "var"
    return Described("batch_normalization", {"eps": float(function.eps)}, roles)


def _max_pooling(function: Any) -> Described:
    attributes = {**_windows(function), "cover_all": bool(function.cover_all)}
    return Described("max_pooling_2d", attributes)


def _average_pooling(function: Any) -> Described:
    if getattr(function, "pad_value", 0) != 0 and any(function.pad):
        raise _refuse(function, "that leaves its padding out of the mean")
    return Described("average_pooling_2d", _windows(function))


def _average_pooling_2d(function: Any) -> Described:
    attributes = {
        "ksize": [function.kh, function.kw],
        "stride": [function.sy, function.sx],
        "pad": [function.ph, function.pw],
    }
    return Described("average_pooling_2d", attributes)


def _windows(function: Any) -> dict[str, list[int]]:
    if function.ndim != 2:
        raise _refuse(function, f"of {function.ndim} dimensions")
    return {name: [int(n) for n in getattr(function, name)] for name in ("ksize", "stride", "pad")}


def _reshape(function: Any) -> Described:
    (x,), (batch, *shape) = function.inputs, function.shape
    if not shape or batch not in (-1, x.shape[0]):
        raise _refuse(function, f"to {function.shape}, where the batch does not stay first")
    rest = 1
    for n in shape:
        rest *= n
    if rest < 0:  # one of them is -1, whatever is left
        total = 1
        for n in x.shape[1:]:
            total *= n
        shape = [total // -rest if n == -1 else n for n in shape]
    return Described("reshape", {"shape": [int(n) for n in shape]})


def _softmax(function: Any) -> Described:
    if function.axis != 1:
        raise _refuse(function, f"over axis {function.axis}")
    return Described("softmax")


def _concatenate(function: Any) -> Described:
    if function.axis != 1:
        raise _refuse(function, f"over axis {function.axis}")
    return Described("concatenate", values=None)


_DESCRIPTIONS: dict[type, Callable[[Any], Described]] = {
    LinearFunction: lambda function: Described("linear", {}, ("W", "b")),
    Convolution2DFunction: _convolution,
    FixedBatchNormalization: _batch_normalization,
    MaxPoolingND: _max_pooling,
    AveragePoolingND: _average_pooling,
    AveragePooling2D: _average_pooling_2d,
    ReLU: lambda function: Described("relu"),
    LeakyReLU: lambda function: Described("leaky_relu", {"slope": float(function.slope)}),
    ClippedReLU: lambda function: Described("clipped_relu", {"z": float(function.cap)}),
    ELU: lambda function: Described("elu", {"alpha": float(function.alpha)}),
    Sigmoid: lambda function: Described("sigmoid"),
    Tanh: lambda function: Described("tanh"),
    Softmax: _softmax,
    Reshape: _reshape,
    Add: lambda function: Described("add", values=None),
    MultiAdd: lambda function: Described("add", values=None),
    Concat: _concatenate,
}
