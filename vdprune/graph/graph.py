"""The operations of a network in the order in which they are done."""

import reprlib
from dataclasses import dataclass
from typing import Any

Shape = tuple[int, ...]

_FIELDS = {"operation", "inputs", "attributes", "arrays"}
_MOST_AXES = 32  # that every NumPy has


@dataclass(frozen=True)
class Array:
    """An array that an operation needs, as its weights.

    Args:
        path: Its name in the file, as ``l1/W``.
        shape: Its shape.
    """

    path: str
    shape: Shape


@dataclass(frozen=True)
class Node:
    """One operation.

    Args:
        operation: Its name: see `OPERATIONS`.
        inputs: Numbers of the values that it takes: 0 is the network's input, n the result of the n-th
            operation, counted from 1.
        attributes: What else decides what it does, as ``stride``.
        arrays: Its arrays by their role, as ``W``.
    """

    operation: str
    inputs: tuple[int, ...]
    attributes: dict[str, Any]
    arrays: dict[str, Array]


@dataclass(frozen=True)
class Graph:
    """A network without its arrays.

    Args:
        input_shape: Shape of one example.
        nodes: The operations; the result of the last one is the network's.
    """

    input_shape: Shape
    nodes: tuple[Node, ...]

    @property
    def arrays(self) -> dict[str, Shape]:
        """Shapes of all arrays by their path."""
        return {array.path: array.shape for node in self.nodes for array in node.arrays.values()}

    def to_json(self) -> dict[str, Any]:
        """Return the graph as JSON can hold it.

        Returns:
            ``input_shape`` and ``nodes``, whose arrays are a path and a shape each.
        """
        return {
            "input_shape": list(self.input_shape),
            "nodes": [
                {
                    "operation": node.operation,
                    "inputs": list(node.inputs),
                    "attributes": node.attributes,
                    "arrays": {
                        role: [array.path, list(array.shape)] for role, array in node.arrays.items()
                    },
                }
                for node in self.nodes
            ],
        }

    @classmethod
    def from_json(cls, found: Any) -> "Graph":
        """Make a graph of what `to_json` returned, or of what a file claims to be that.

        Args:
            found: It.

        Returns:
            The graph; `find_shapes` tells whether it makes sense.

        Raises:
            ValueError: It has another form.
        """
        if not isinstance(found, dict) or set(found) != {"input_shape", "nodes"}:
            raise ValueError("its graph has no input_shape and nodes alone")
        if not isinstance(found["nodes"], list) or not found["nodes"]:
            raise ValueError("its graph has no list of nodes")
        nodes = tuple(_node(number, node) for number, node in enumerate(found["nodes"], 1))
        return cls(_shape("the input_shape of its graph", found["input_shape"]), nodes)


def _node(number: int, found: Any) -> Node:
    what = f"node {number} of its graph"
    if not isinstance(found, dict) or set(found) != _FIELDS:
        raise ValueError(f"{what} does not have the fields {', '.join(sorted(_FIELDS))}")
    inputs, attributes, arrays = found["inputs"], found["attributes"], found["arrays"]
    if not isinstance(found["operation"], str) or not isinstance(attributes, dict):
        raise ValueError(f"{what} has no operation with attributes")
    if not isinstance(inputs, list) or not all(type(i) is int and 0 <= i < number for i in inputs):
        raise ValueError(f"{what} takes {inputs}, which are not values before it")
    if not isinstance(arrays, dict):
        raise ValueError(f"{what} has no arrays by their role")
    return Node(
        found["operation"],
        tuple(inputs),
        attributes,
        {role: _array(f"{role} of {what}", array) for role, array in arrays.items()},
    )


def _array(what: str, found: Any) -> Array:
    if not isinstance(found, list) or len(found) != 2 or not isinstance(found[0], str):
        raise ValueError(f"{what} is no path and shape")
    return Array(found[0], _shape(what, found[1]))


def _shape(what: str, found: Any) -> Shape:
    if not is_shape(found):
        raise ValueError(f"{what} is {reprlib.repr(found)}, which is no shape")
    return tuple(found)


def is_shape(found: Any) -> bool:
    """Tell whether something out of a file is the shape of an array that there can be.

    Args:
        found: It.

    Returns:
        Whether it is a list of up to 32 positive numbers below 2^31; products of many large numbers
        take for ever.
    """
    is_short = isinstance(found, list) and len(found) <= _MOST_AXES
    return is_short and all(type(n) is int and 0 < n < 2**31 for n in found)
