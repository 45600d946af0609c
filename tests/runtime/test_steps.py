"""Programs against plain NumPy, each layer sparse and dense."""

import math
from typing import Any
from unittest.mock import patch

import numpy
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.runtime.reference import evaluate_graph
from vdprune.graph import Graph, find_shapes
from vdprune.kernels import inference
from vdprune.runtime.layers import ACTIVATIONS, make_layers
from vdprune.runtime.steps import find_pixels, make_program

few = settings(max_examples=40, deadline=None, derandomize=True)
pairs = st.lists(st.integers(1, 3), min_size=2, max_size=2)
paddings = st.lists(st.integers(0, 2), min_size=2, max_size=2)


def node(operation: str, *inputs: int, arrays: Any = None, **attributes: Any) -> dict[str, Any]:
    return {
        "operation": operation,
        "inputs": list(inputs),
        "attributes": attributes,
        "arrays": arrays or {},
    }


def make_graph(input_shape: list[int], *nodes: dict[str, Any]) -> Graph:
    return Graph.from_json({"input_shape": input_shape, "nodes": list(nodes)})


def make_arrays(graph: Graph, density: float = 0.4, seed: int = 0) -> dict[str, Any]:
    """Draw a graph's arrays: weights with zeros, variances that are positive."""
    random = numpy.random.default_rng(seed)
    arrays = {}
    for path, shape in graph.arrays.items():
        array = random.standard_normal(shape).astype(numpy.float32)
        if path.endswith("W"):
            array *= random.random(shape) < density
        arrays[path] = abs(array) + numpy.float32(0.1) if path.endswith("var") else array
    return arrays


def run(graph: Graph, arrays: dict[str, Any], x: Any, way: str) -> Any:
    layers = make_layers(graph, arrays)
    program = make_program(layers, [way] * len(layers.layers), len(x))
    result, poisoned = (numpy.full((len(x), program.outputs), numpy.nan, "f4") for _ in range(2))
    program.run(x.reshape(len(x), -1), result)
    # what is not written must not be read
    with patch.object(numpy, "empty", lambda size, dtype: numpy.full(size, numpy.nan, dtype)):
        kernel = inference.run.py_func
        kernel(x.reshape(len(x), -1), program.numbers, poisoned)
    numpy.testing.assert_array_equal(poisoned, result)
    return result.reshape(len(x), *find_shapes(graph)[-1])


def assert_right(graph: Graph, examples: int = 3, density: float = 0.4) -> None:
    arrays = make_arrays(graph, density)
    x = numpy.random.default_rng(1).standard_normal((examples, *graph.input_shape)).astype("f4")
    expected = evaluate_graph(graph, arrays, x)
    for way in ("sparse", "dense"):
        found = run(graph, arrays, x, way)
        numpy.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4, err_msg=way)


def convolution(W: list[int], *inputs: int, name: str = "c", **changes: Any) -> dict[str, Any]:
    attributes = {"stride": [1, 1], "pad": [0, 0], "dilate": [1, 1], "groups": 1, **changes}
    arrays = {"W": [f"{name}/W", W], "b": [f"{name}/b", W[:1]]}
    return node("convolution_2d", *inputs, arrays=arrays, **attributes)


def linear(W: list[int], *inputs: int, name: str = "l") -> dict[str, Any]:
    arrays = {"W": [f"{name}/W", W], "b": [f"{name}/b", W[:1]]}
    return node("linear", *inputs, arrays=arrays)


@few
@given(
    st.integers(1, 5), pairs, pairs, paddings, pairs, st.integers(1, 3), st.sampled_from([1, 2, 17])
)
def test_convolutions(
    channels: int, ksize: Any, stride: Any, pad: Any, dilate: Any, filters: int, examples: int
) -> None:
    size = [(k - 1) * d + extra for k, d, extra in zip(ksize, dilate, (2, 5), strict=True)]
    step = convolution([filters, channels, *ksize], 0, stride=stride, pad=pad, dilate=dilate)
    assert_right(make_graph([channels, *size], step), examples)


@pytest.mark.parametrize("examples", [1, 3])
def test_convolutions_in_groups(examples: int) -> None:
    graph = make_graph([4, 6, 5], convolution([6, 2, 3, 2], 0, groups=2, stride=[2, 1], pad=[1, 1]))
    arrays = make_arrays(graph)
    x = numpy.random.default_rng(1).standard_normal((examples, 4, 6, 5)).astype("f4")
    expected = evaluate_graph(graph, arrays, x)
    numpy.testing.assert_allclose(run(graph, arrays, x, "sparse"), expected, rtol=1e-4, atol=1e-4)


def test_large_images_are_unfolded_some_rows_at_a_time() -> None:
    graph = make_graph([8, 40, 64], convolution([3, 8, 5, 5], 0, pad=[2, 2]))
    assert_right(graph, examples=8)


@few
@given(pairs, pairs, st.lists(st.integers(0, 1), min_size=2, max_size=2), st.booleans())
@pytest.mark.parametrize("operation", ["max_pooling_2d", "average_pooling_2d"])
@pytest.mark.parametrize("examples", [1, 3])
def test_poolings(
    operation: str, examples: int, ksize: Any, stride: Any, pad: Any, covers_all: bool
) -> None:
    pad = [min(p, k - 1) for p, k in zip(pad, ksize, strict=True)]
    more = {"cover_all": covers_all} if operation == "max_pooling_2d" else {}
    step = node(operation, 0, ksize=ksize, stride=stride, pad=pad, **more)
    assert_right(make_graph([2, 7, 6], step), examples)


def test_nan_is_larger_than_any_number() -> None:
    step = node("max_pooling_2d", 0, ksize=[2, 2], stride=[2, 2], pad=[0, 0], cover_all=False)
    graph = make_graph([1, 4, 4], step)
    for place in range(16):
        for examples in (1, 2):
            x = numpy.ones((examples, 1, 4, 4), numpy.float32)
            x.reshape(examples, 16)[0, place] = numpy.nan
            found = run(graph, {}, x, "sparse")
            assert numpy.isnan(found[0]).sum() == 1
            numpy.testing.assert_array_equal(found, evaluate_graph(graph, {}, x))


@pytest.mark.parametrize("examples", [1, 2, 33])
@pytest.mark.parametrize("density", [0.0, 0.05, 1.0])
def test_linear_layers(examples: int, density: float) -> None:
    graph = make_graph([30], linear([20, 30], 0, name="a"), linear([7, 20], 1, name="b"))
    assert_right(graph, examples, density)


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("examples", [1, 3])
def test_activations(activation: str, examples: int) -> None:
    attribute = ACTIVATIONS[activation]
    attributes = {attribute: 0.3} if attribute else {}
    first = convolution([3, 2, 2, 2], 0)
    pooling = node("average_pooling_2d", 2, ksize=[2, 2], stride=[1, 1], pad=[0, 0])
    fused = make_graph(
        [2, 5, 5],
        first,
        node(activation, 1, **attributes),
        pooling,
        node(activation, 3, **attributes),
        node("reshape", 4, shape=[27]),
        linear([4, 27], 5),
        node(activation, 6, **attributes),
    )
    assert_right(fused, examples)
    assert len(make_layers(fused, make_arrays(fused)).layers) == 3
    # what others see, too, is kept as it was
    seen = make_graph([2, 5, 5], first, node(activation, 1, **attributes), node("add", 1, 2))
    assert_right(seen, examples)
    alone = make_graph([6], node(activation, 0, **attributes))
    assert_right(alone, examples)


def normalisation(*inputs: int, channels: int, name: str = "n") -> dict[str, Any]:
    roles = ("gamma", "beta", "mean", "var")
    arrays = {role: [f"{name}/{role}", [channels]] for role in roles}
    return node("batch_normalization", *inputs, arrays=arrays, eps=1e-3)


def test_normalisation_is_folded_where_it_can_be() -> None:
    graph = make_graph(
        [2, 6, 6],
        convolution([3, 2, 3, 3], 0),
        normalisation(1, channels=3),
        node("relu", 2),
        node("reshape", 3, shape=[48]),
        normalisation(4, channels=48, name="flat"),  # of another shape than the channels
        linear([5, 48], 5),
        normalisation(6, channels=5, name="last"),
        node("tanh", 7),
    )
    assert_right(graph)
    layers = make_layers(graph, make_arrays(graph)).layers
    assert [layer.kind for layer in layers] == ["convolution_2d", "affine", "linear"]
    assert [layer.activation for layer in layers] == ["relu", "", "tanh"]
    first = make_graph([2, 3, 3], normalisation(0, channels=2), node("relu", 1), node("add", 1, 2))
    assert_right(first)
    unfolded = make_graph([2, 4, 4], convolution([2, 2, 1, 1], 0), node("relu", 1))
    both = Graph(unfolded.input_shape, (*unfolded.nodes, *first.nodes))
    assert find_shapes(both)


def test_additions_and_concatenations() -> None:
    graph = make_graph(
        [2, 4, 4],
        convolution([2, 2, 1, 1], 0),
        node("add", 0, 1),
        node("relu", 2),
        node("concatenate", 3, 0, 1),
        node("add", 4, 4, 4),
        node("elu", 5, alpha=0.5),
        node("add", 6),
        node("relu", 7),
        node("concatenate", 8),
        node("tanh", 9),
        node("reshape", 10, shape=[96]),
        node("softmax", 11),
    )
    assert_right(graph, 1)
    assert_right(graph, 5)


def test_the_last_operation_can_be_any() -> None:
    add = node("add", 0, 1)
    assert_right(make_graph([4], linear([4, 4], 0), node("concatenate", 1, 0)))
    assert_right(make_graph([2, 2], node("reshape", 0, shape=[4]), linear([3, 4], 1)), 1)
    assert_right(make_graph([2, 2], node("reshape", 0, shape=[4])))
    first = linear([4, 4], 0)
    assert_right(make_graph([4], first, add, node("reshape", 1, shape=[2, 2])))


def test_places_in_the_arena_are_used_again() -> None:
    nodes = [linear([50, 50], i, name=f"l{i}") for i in range(20)]
    graph = make_graph([50], *nodes)
    assert_right(graph)
    layers = make_layers(graph, make_arrays(graph))
    assert make_program(layers, ["sparse"] * 20, 1).room == 100


def test_only_pixels_that_are_read_are_taken() -> None:
    graph = make_graph([3, 2, 2], node("reshape", 0, shape=[12]), linear([4, 12], 1))
    arrays = make_arrays(graph, density=0.1)
    pixels = find_pixels(make_layers(graph, arrays), 8)
    assert set(pixels) == set(numpy.flatnonzero(arrays["l/W"].any(axis=0)))
    assert 0 < pixels.size < 12
    arrays["l/W"][:] = 0
    assert find_pixels(make_layers(graph, arrays), 8).size == 1
    seen = make_graph([12], linear([12, 12], 0), node("add", 0, 1))
    assert find_pixels(make_layers(seen, make_arrays(seen, 0.1)), 8).size == 12


@pytest.mark.parametrize("dtype", ["u1", "f4"])
def test_inputs_are_scaled(dtype: str) -> None:
    arrays = {"scale": ["s/scale", []], "mean": ["s/mean", [2, 3, 3]]}
    graph = make_graph([2, 3, 3], node("scaling", 0, arrays=arrays), convolution([2, 2, 2, 2], 1))
    values = make_arrays(graph)
    x = numpy.random.default_rng(1).integers(0, 256, (4, 2, 3, 3)).astype(dtype)
    expected = evaluate_graph(graph, values, x)
    found = run(graph, values, x, "sparse")
    numpy.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4 * abs(expected).max())
    assert math.prod(found.shape) == 32


def test_a_value_can_be_added_twice() -> None:
    relu = node("relu", 0)
    assert_right(make_graph([6], relu, node("add", 0, 1, 1), node("relu", 2)))
    assert_right(make_graph([6], relu, node("add", 1, 1), node("tanh", 2)), 1)


def test_values_of_two_axes_are_normalised_by_the_first() -> None:
    reshape = node("reshape", 0, shape=[3, 4])
    graph = make_graph([12], reshape, normalisation(1, channels=3), node("relu", 2))
    assert_right(graph)
