"""Compact networks compute what the masked ones do."""

import math
from pathlib import Path
from typing import Any

import numpy
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.runtime.reference import evaluate_graph
from tests.runtime.test_steps import (
    convolution,
    linear,
    make_arrays,
    make_graph,
    node,
    normalisation,
    run,
)
from tests.test_checkpoint import INPUT_SHAPES, make_checkpoint
from vdprune.export.collecting import collect_checkpoint
from vdprune.formats import Weights, load_weights, save_weights
from vdprune.formats.compacting import compact_weights
from vdprune.graph import Graph, find_shapes

ORIGIN = {"arch": "own", "arch_kwargs": {}, "dataset": "", "threshold": 3.0}
ACTIVATIONS: dict[str, dict[str, float]] = {
    "relu": {},
    "leaky_relu": {"slope": 0.2},
    "clipped_relu": {"z": 1.5},
    "elu": {"alpha": 0.7},
    "sigmoid": {},
    "tanh": {},
}


def make_weights(graph: Graph, arrays: dict[str, Any]) -> Weights:
    weights = {path: array for path, array in arrays.items() if path.endswith("/W")}
    others = {path: array for path, array in arrays.items() if path not in weights}
    layers = [path.removesuffix("/W") for path in weights]
    header = {**ORIGIN, "input_shape": list(graph.input_shape), "layers": layers}
    return Weights(header, graph, weights, others)


def arrays_of(weights: Weights) -> dict[str, Any]:
    return {**weights.others, **weights.weights}


def compact(graph: Graph, arrays: dict[str, Any]) -> Weights:
    """Make a network compact, and see that it computes what it did."""
    before = {path: array.copy() for path, array in arrays.items()}
    found = compact_weights(make_weights(graph, arrays))
    after = arrays_of(found)
    assert find_shapes(found.graph)[-1] == find_shapes(graph)[-1]
    assert found.graph.input_shape == graph.input_shape
    for path, shape in found.graph.arrays.items():
        assert after[path].shape == shape
        assert after[path].dtype == numpy.float32
    for path, array in before.items():
        numpy.testing.assert_array_equal(array, arrays[path], err_msg="what was given has changed")
    x = numpy.random.default_rng(1).standard_normal((3, *graph.input_shape)).astype("f4")
    expected = evaluate_graph(graph, arrays, x)
    numpy.testing.assert_allclose(
        evaluate_graph(found.graph, after, x), expected, rtol=1e-5, atol=1e-5
    )
    numpy.testing.assert_allclose(
        run(found.graph, after, x, "sparse"), expected, rtol=1e-4, atol=1e-4
    )
    assert compact_weights(found).graph == found.graph, "something has been left"
    return found


def shapes_of(weights: Weights) -> dict[str, tuple[int, ...]]:
    return {path: W.shape for path, W in weights.weights.items()}


class Drawn:
    """A graph that is drawn node by node."""

    def __init__(self, data: Any) -> None:
        self.nodes: list[dict[str, Any]] = []
        self.shapes = [data.draw(st.sampled_from([(2, 5, 4), (6,)]))]
        self._data = data
        for _ in range(data.draw(st.integers(2, 9))):
            source = self._pick(*sorted({max(0, len(self.shapes) - n) for n in (1, 2, 3)}))
            self._add_one(source, self.shapes[source])
        size = math.prod(self.shapes[-1])
        self._append(node("reshape", len(self.nodes), shape=[size]))
        self._append(linear([3, size], len(self.nodes), name="last"))

    @property
    def graph(self) -> Graph:
        return make_graph(list(self.shapes[0]), *self.nodes)

    def _pick(self, *values: Any) -> Any:
        return self._data.draw(st.sampled_from(values))

    def _add_one(self, source: int, shape: Any) -> None:
        kinds = ["weights", "weights", "activation", "normalise", "add", "concatenate", "reshape"]
        kind = self._pick(*kinds, *(["pool"] if len(shape) == 3 else ["softmax"]))
        self._append(getattr(self, f"_{kind}")(source, shape))

    def _append(self, made: Any) -> None:
        self.nodes.append(made)
        self.shapes = find_shapes(self.graph)

    def _weights(self, source: int, shape: Any) -> Any:
        name = f"w{len(self.nodes)}"
        outputs = self._pick(1, 4, 6)
        if len(shape) == 1:
            return linear([outputs, *shape], source, name=name)
        ksize = [min(n, self._pick(1, 2)) for n in shape[1:]]
        pad = self._pick([0, 0], [1, 0])
        groups = self._pick(1, 1, 1, 2) if shape[0] % 2 == outputs % 2 == 0 else 1
        W = [outputs, shape[0] // groups, *ksize]
        made = convolution(W, source, name=name, pad=pad, groups=groups)
        if self._pick(True, False):
            del made["arrays"]["b"]
        return made

    def _activation(self, source: int, shape: Any) -> Any:
        name = self._pick(*ACTIVATIONS)
        return node(name, source, **ACTIVATIONS[name])

    def _normalise(self, source: int, shape: Any) -> Any:
        return normalisation(source, channels=shape[0], name=f"n{len(self.nodes)}")

    def _add(self, source: int, shape: Any) -> Any:
        return node("add", source, self._pick(*self._like(lambda other: other == shape)))

    def _concatenate(self, source: int, shape: Any) -> Any:
        like = self._like(lambda other: other[1:] == shape[1:])
        return node("concatenate", self._pick(*like), source)

    def _like(self, fits: Any) -> list[int]:
        return [number for number, other in enumerate(self.shapes) if fits(other)]

    def _reshape(self, source: int, shape: Any) -> Any:
        size = math.prod(shape)
        halves = [[size // 2, 2, 1], [2, size // 2, 1]] if size % 2 == 0 else []
        return node("reshape", source, shape=self._pick([size], [size, 1, 1], *halves))

    def _pool(self, source: int, shape: Any) -> Any:
        ksize = [min(n, 2) for n in shape[1:]]
        pad = [self._pick(0, 1) if k == 2 else 0 for k in ksize]
        windows = {"ksize": ksize, "stride": self._pick([1, 1], [2, 3]), "pad": pad}
        if self._pick(True, False):
            return node("average_pooling_2d", source, **windows)
        return node("max_pooling_2d", source, **windows, cover_all=False)

    def _softmax(self, source: int, shape: Any) -> Any:
        return node("softmax", source)


def draw_arrays(graph: Graph, seed: int) -> dict[str, Any]:
    """Sparse arrays with dead rows and columns, and zeros where a bias or a scale is."""
    arrays, random = make_arrays(graph, 0.5, seed), numpy.random.default_rng(seed)
    for path, array in arrays.items():
        if path.endswith("W"):
            array[random.random(len(array)) < 0.4] = 0
            array[:, random.random(array.shape[1]) < 0.3] = 0
        elif not path.endswith("var"):
            array[random.random(array.shape) < 0.3] = 0
    return arrays


@settings(
    max_examples=80, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow]
)
@given(st.data(), st.integers(0, 2**16))
def test_random_networks(data: Any, seed: int) -> None:
    graph = Drawn(data).graph
    compact(graph, draw_arrays(graph, seed))


def chain(activation: str) -> Graph:
    """Two convolutions with BatchNormalization, then two linear layers."""
    act = node(activation, 0, **ACTIVATIONS[activation])
    return make_graph(
        [2, 6, 6],
        convolution([4, 2, 2, 2], 0, name="c"),
        normalisation(1, channels=4, name="cn"),
        {**act, "inputs": [2]},
        node("max_pooling_2d", 3, ksize=[2, 2], stride=[1, 1], pad=[0, 0], cover_all=False),
        convolution([3, 4, 2, 2], 4, name="d"),
        normalisation(5, channels=3, name="dn"),
        {**act, "inputs": [6]},
        node("average_pooling_2d", 7, ksize=[2, 2], stride=[1, 1], pad=[0, 0]),
        node("reshape", 8, shape=[12]),
        linear([5, 12], 9, name="l"),
        {**act, "inputs": [10]},
        linear([3, 5], 11, name="m"),
    )


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_units_that_nobody_feeds_or_reads_go(activation: str) -> None:
    graph = chain(activation)
    arrays = make_arrays(graph, density=1)
    arrays["c/W"][1] = 0  # not fed
    arrays["d/W"][:, 2] = 0  # not read
    arrays["l/W"][:, 4:8] = 0  # all four pixels of filter 1 of d
    arrays["l/W"][:, 1] = 0  # one pixel of filter 0, which stays
    arrays["l/W"][3] = 0
    arrays["m/W"][:, 4] = 0
    found = compact(graph, arrays)
    assert shapes_of(found) == {
        "c/W": (2, 2, 2, 2),
        "d/W": (2, 2, 2, 2),
        "l/W": (3, 8),
        "m/W": (3, 3),
    }
    assert {found.others[f"cn/{role}"].shape for role in ("gamma", "beta", "mean", "var")} == {(2,)}
    numpy.testing.assert_array_equal(found.others["dn/mean"], arrays["dn/mean"][[0, 2]])


def test_a_dead_unit_takes_along_what_only_it_reads_and_feeds() -> None:
    graph = make_graph(
        [4], *(linear([4, 4], i, name=name) for i, name in enumerate("abcd")), node("tanh", 4)
    )
    arrays = make_arrays(graph, density=0)
    for name in "abcd":
        arrays[f"{name}/W"][0, 0] = 1
    arrays["a/W"][1, 1] = arrays["b/W"][1, 1] = 1  # ends at unit 1 of b, which c does not read
    arrays["c/W"][2, 2] = arrays["d/W"][2, 2] = 1  # begins at unit 2 of b, which is not fed
    found = compact(graph, arrays)
    shapes = {"a/W": (1, 4), "b/W": (1, 1), "c/W": (1, 1), "d/W": (4, 1)}
    assert shapes_of(found) == shapes
    assert numpy.count_nonzero(found.weights["d/W"]) == 1


def test_what_normalisation_multiplies_by_zero_goes() -> None:
    graph = make_graph(
        [3], linear([4, 3], 0), normalisation(1, channels=4), linear([2, 4], 2, name="m")
    )
    arrays = make_arrays(graph, density=1)
    arrays["n/gamma"][2] = 0
    assert shapes_of(compact(graph, arrays)) == {"l/W": (3, 3), "m/W": (2, 3)}


def test_one_unit_stays_where_all_are_dead() -> None:
    graph = chain("sigmoid")
    arrays = make_arrays(graph, density=0)
    found = compact(graph, arrays)
    shapes = {"c/W": (1, 2, 2, 2), "d/W": (1, 1, 2, 2), "l/W": (1, 4), "m/W": (3, 1)}
    assert shapes_of(found) == shapes
    assert not any(W.any() for W in found.weights.values())
    unread = make_graph([4], linear([5, 4], 0, name="a"), linear([2, 4], 0, name="b"))
    found = compact(unread, make_arrays(unread, 1))
    assert shapes_of(found) == {"a/W": (1, 4), "b/W": (2, 4)}
    assert not found.weights["a/W"].any()


@pytest.mark.parametrize(("bias", "left"), [(-1.0, 2), (1.0, 3)])
@pytest.mark.parametrize("reader", ["convolution", "pooling"])
def test_a_constant_ends_at_the_border_of_a_padded_image(
    reader: str, bias: float, left: int
) -> None:
    """After a ReLU it is zero, and goes, or more, and stays."""
    window = {"ksize": [2, 2], "stride": [1, 1], "pad": [1, 1]}
    graph = make_graph(
        [1, 4, 4],
        convolution([3, 1, 2, 2], 0, name="c"),
        node("relu", 1),
        node("average_pooling_2d", 2, **window) if reader == "pooling" else node("relu", 2),
        convolution([2, 3, 1, 1], 3, name="d", pad=[int(reader == "convolution")] * 2),
    )
    arrays = make_arrays(graph, density=1)
    arrays["c/W"][1], arrays["c/b"][1] = 0, bias
    found = compact(graph, arrays)
    assert shapes_of(found) == {"c/W": (left, 1, 2, 2), "d/W": (2, left, 1, 1)}


def test_what_is_added_goes_where_it_is_dead_in_all_inputs() -> None:
    graph = make_graph(
        [4],
        linear([4, 4], 0, name="a"),
        linear([4, 4], 1, name="b"),
        node("tanh", 2),
        node("add", 1, 3),
        linear([3, 4], 4, name="c"),
    )
    arrays = make_arrays(graph, density=1)
    arrays["a/W"][:2] = 0
    arrays["b/W"][1:3] = 0  # unit 1 is dead in both
    arrays["c/W"][:, 3] = 0  # read by b, not by c
    assert shapes_of(compact(graph, arrays)) == {"a/W": (3, 4), "b/W": (3, 3), "c/W": (3, 3)}
    arrays["b/W"][:, 3] = 0  # and now by nobody
    found = compact(graph, arrays)
    assert shapes_of(found) == {"a/W": (2, 4), "b/W": (2, 2), "c/W": (3, 2)}
    assert not found.weights["a/W"][0].any()
    assert numpy.count_nonzero(found.weights["b/W"]) == 1, "unit 0 sees unit 2 alone"


def test_what_is_concatenated_goes_where_it_is_dead() -> None:
    graph = make_graph(
        [2, 3, 3],
        convolution([3, 2, 1, 1], 0, name="a"),
        convolution([2, 2, 1, 1], 0, name="b"),
        node("concatenate", 1, 0, 2),
        node("sigmoid", 3),
        convolution([2, 7, 3, 3], 4, name="c"),
    )
    arrays = make_arrays(graph, density=1)
    arrays["a/W"][1] = 0
    arrays["c/W"][:, [4, 6]] = 0  # a pixel of the input, which stays, and unit 1 of b
    found = compact(graph, arrays)
    assert shapes_of(found) == {
        "a/W": (2, 2, 1, 1),
        "b/W": (1, 2, 1, 1),
        "c/W": (2, 5, 3, 3),
    }


def test_what_reads_without_a_bias_gets_one_where_it_needs_it() -> None:
    graph = make_graph(
        [3, 2, 2],
        convolution([2, 3, 1, 1], 0, name="a"),
        node("sigmoid", 1),
        convolution([2, 2, 2, 2], 2, name="b"),
    )
    del graph.nodes[2].arrays["b"]
    arrays = {"b/b": numpy.ones(9, numpy.float32), **make_arrays(graph, density=1)}
    assert "b" not in compact(graph, arrays).graph.nodes[2].arrays
    arrays["a/W"][0] = 0
    found = compact(graph, arrays)
    assert shapes_of(found) == {"a/W": (1, 3, 1, 1), "b/W": (2, 1, 2, 2)}
    assert found.graph.nodes[2].arrays["b"].path == "b/b_", "another array has the name b/b"
    assert found.others["b/b"].shape == (9,)


def test_what_is_used_twice_and_groups_stay() -> None:
    twice = make_graph([3], *(linear([3, 3], i, name="a") for i in range(2)), linear([2, 3], 2))
    grouped = make_graph(
        [2, 3, 3], convolution([4, 2, 1, 1], 0), convolution([4, 2, 1, 1], 1, name="d", groups=2)
    )
    for graph in (twice, grouped):
        arrays = make_arrays(graph, density=1)
        for path in arrays:
            arrays[path][1:] = 0
        found = compact(graph, arrays)
        assert found.graph == graph


def test_scaled_inputs_and_softmax_stay() -> None:
    scaling = {"scale": ["s/scale", []], "mean": ["s/mean", [3, 2, 2]]}
    graph = make_graph(
        [3, 2, 2],
        node("scaling", 0, arrays=scaling),
        node("reshape", 1, shape=[12]),
        linear([4, 12], 2, name="a"),
        node("softmax", 3),
        linear([2, 4], 4, name="b"),
    )
    arrays = make_arrays(graph, density=1)
    arrays["a/W"][1] = 0
    arrays["a/W"][:, 4:] = 0
    arrays["b/W"][:, 2] = 0
    found = compact(graph, arrays)
    assert shapes_of(found) == {"a/W": (4, 12), "b/W": (2, 4)}
    assert found.others["s/mean"].shape == (3, 2, 2)


def test_windows_beyond_the_image_are_not_constant() -> None:
    pooling = node("max_pooling_2d", 1, ksize=[1, 1], stride=[3, 3], pad=[0, 0], cover_all=True)
    step = convolution([2, 1, 1, 1], 0)
    graph = make_graph([1, 3, 3], step, pooling, convolution([1, 2, 1, 1], 2, name="d"))
    arrays = make_arrays(graph, density=1)
    arrays["c/W"][1] = 0
    found = compact_weights(make_weights(graph, arrays))
    assert shapes_of(found)["d/W"] == (1, 2, 1, 1)


@pytest.mark.parametrize("arch", INPUT_SHAPES)
@pytest.mark.parametrize("ending", [".h5", ".npz"])
def test_compact_files(tmp_path: Path, arch: str, ending: str) -> None:
    weights = collect_checkpoint(make_checkpoint(arch))
    name = weights.header["layers"][1]
    weights.weights[f"{name}/W"][:5] = 0
    found = compact_weights(weights)
    assert len(found.weights[f"{name}/W"]) <= len(weights.weights[f"{name}/W"]) - 5
    assert found.header == {**weights.header, "compact": True}
    path = tmp_path / f"compact{ending}"
    save_weights(path, found, "dense")
    loaded = load_weights(path)
    assert loaded.graph == found.graph
    assert loaded.header["compact"] is True
    x = numpy.random.default_rng(0).integers(0, 256, (3, *INPUT_SHAPES[arch])).astype("f4")
    expected = evaluate_graph(weights.graph, arrays_of(weights), x)
    numpy.testing.assert_allclose(
        evaluate_graph(loaded.graph, arrays_of(loaded), x), expected, rtol=1e-5, atol=1e-5
    )


def test_weights_that_are_not_finite_are_no_reason_to_warn() -> None:
    arrays = make_arrays(chain("relu"), density=1)
    arrays["m/W"][0, 0] = numpy.inf
    compacted = compact_weights(make_weights(chain("relu"), arrays))
    assert compacted.weights["m/W"][0, 0] == numpy.inf
