"""Graphs as JSON, and what a graph must be like."""

import copy
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vdprune.graph import OPERATIONS, Graph, find_shapes

GOOD: dict[str, Any] = {
    "input_shape": [3, 9, 8],
    "nodes": [
        {
            "operation": "convolution_2d",
            "inputs": [0],
            "attributes": {"stride": [2, 1], "pad": [1, 0], "dilate": [1, 2], "groups": 1},
            "arrays": {"W": ["conv/W", [4, 3, 3, 2]], "b": ["conv/b", [4]]},
        },
        {"operation": "relu", "inputs": [1], "attributes": {}, "arrays": {}},
        {"operation": "add", "inputs": [1, 2], "attributes": {}, "arrays": {}},
        {
            "operation": "max_pooling_2d",
            "inputs": [3],
            "attributes": {"ksize": [2, 2], "stride": [2, 2], "pad": [0, 0], "cover_all": True},
            "arrays": {},
        },
        {"operation": "concatenate", "inputs": [4, 4], "attributes": {}, "arrays": {}},
        {"operation": "reshape", "inputs": [5], "attributes": {"shape": [72]}, "arrays": {}},
        {
            "operation": "linear",
            "inputs": [6],
            "attributes": {},
            "arrays": {"W": ["l/W", [5, 72]]},
        },
    ],
}


ELU = {"operation": "elu"}


def test_shapes_are_chainers() -> None:
    shapes = find_shapes(Graph.from_json(GOOD))
    # (9 + 2 - 3) / 2 + 1 = 5 high, 8 - 3 + 1 = 6 wide; pooled, with the last odd row, 3 and 3
    assert shapes == [(3, 9, 8), *[(4, 5, 6)] * 3, (4, 3, 3), (8, 3, 3), (72,), (5,)]


def test_json_brings_a_graph_back() -> None:
    graph = Graph.from_json(GOOD)
    assert graph.to_json() == GOOD
    assert Graph.from_json(json.loads(json.dumps(graph.to_json()))) == graph
    assert graph.arrays == {"conv/W": (4, 3, 3, 2), "conv/b": (4,), "l/W": (5, 72)}


def change(path: list[Any], value: Any) -> Any:
    found = copy.deepcopy(GOOD)
    place: Any = found
    for step in path[:-1]:
        place = place[step]
    place[path[-1]] = value
    return found


def attribute(name: str, value: Any) -> Any:
    return change(["nodes", 0, "attributes", name], value)


@pytest.mark.parametrize(
    ("found", "message"),
    [
        (change(["input_shape"], [3, 2**12, 2**12]), "the input has shape"),
        (
            change(["nodes", 1], {**GOOD["nodes"][1], **ELU, "attributes": {"alpha": 10**400}}),
            "alpha",
        ),
        ([], "no input_shape and nodes alone"),
        (change(["nodes"], []), "no list of nodes"),
        (change(["input_shape"], [3, 0, 8]), r"input_shape of its graph is \[3, 0, 8\]"),
        (change(["input_shape"], [3, 9, True]), "no shape"),
        (change(["nodes", 1], {}), "node 2 of its graph does not have the fields"),
        (change(["nodes", 1, "inputs"], [2]), r"takes \[2\], which are not values before it"),
        (change(["nodes", 1, "inputs"], [-1]), "not values before it"),
        (change(["nodes", 1, "inputs"], []), "it takes 0 values"),
        (change(["nodes", 1, "inputs"], [0, 1]), "it takes 2 values, 1 are needed"),
        (change(["nodes", 1, "operation"], "gelu"), "no such operation, only scaling, linear"),
        (change(["nodes", 1, "operation"], 3), "no operation with attributes"),
        (change(["nodes", 1, "attributes"], {"x": 1}), "its attributes are x, not none"),
        (change(["nodes", 1, "arrays"], {"W": ["x", [1]]}), "its arrays are W"),
        (change(["nodes", 0, "arrays"], {}), "its arrays are none"),
        (change(["nodes", 0, "arrays", "W"], "conv/W"), "W of node 1 .* is no path and shape"),
        (change(["nodes", 0, "arrays", "W"], ["w", [4, 3, -3, 2]]), "which is no shape"),
        (change(["nodes", 0, "arrays", "W"], ["w", [4, 2, 3, 2]]), "convolution_2d: W has shape"),
        (change(["nodes", 0, "arrays", "b"], ["b", [5]]), r"b has shape \(5,\), expected \(4,\)"),
        (attribute("stride", [0, 1]), r"stride is \[0, 1\], which has no meaning"),
        (attribute("stride", [1]), "stride"),
        (attribute("pad", [0.5, 0]), "pad"),
        (attribute("groups", 2), "groups is 2"),
        (attribute("dilate", [9, 1]), "larger than images"),
        (attribute("pad", [2**30, 2**30]), "more than 16,777,216 numbers"),
        (change(["nodes", 5, "attributes", "shape"], [71]), r"can't become \(71,\)"),
        (change(["nodes", 2, "inputs"], [0, 2]), "which must be the same"),
        (change(["nodes", 4, "inputs"], [3, 4]), "may differ in the first number alone"),
        ({"input_shape": [], "nodes": [{**GOOD["nodes"][4], "inputs": [0]}]}, "no first axis"),
        (change(["nodes", 6, "arrays", "W"], ["conv/W", [5, 72]]), "gives conv/W two shapes"),
    ],
)
def test_what_makes_no_sense_is_refused(found: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        find_shapes(Graph.from_json(found))


anything = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 40) | st.floats() | st.text(max_size=3),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=3), inner, max_size=3)
    ),
    max_leaves=6,
)
places = st.sampled_from(
    [["input_shape"], ["nodes"], ["nodes", 1]]
    + [["nodes", i, name] for i in range(7) for name in ("inputs", "attributes", "arrays")]
    + [["nodes", 0, "attributes", name] for name in GOOD["nodes"][0]["attributes"]]
    + [["nodes", 3, "attributes", name] for name in GOOD["nodes"][3]["attributes"]]
    + [["nodes", 0, "arrays", "W", 1], ["nodes", 5, "attributes", "shape"]]
)


@given(places, anything)
def test_anything_in_any_place_is_refused_or_makes_sense(place: list[Any], value: Any) -> None:
    try:
        shapes = find_shapes(Graph.from_json(change(place, value)))
    except ValueError:
        return
    assert all(type(n) is int and n > 0 for shape in shapes for n in shape)


def test_operations_that_take_one_value_say_so() -> None:
    assert {name for name, operation in OPERATIONS.items() if operation.inputs is None} == {
        "add",
        "concatenate",
    }
