from typing import Any

import numpy
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.formats.test_packed import make_weights
from tests.runtime.test_steps import linear, make_graph, node
from vdprune.datasets import Split
from vdprune.errors import ArgumentError
from vdprune.evaluation import Evaluation
from vdprune.export import quantising
from vdprune.export.quantising import choose_bits, find_quantisable, quantise
from vdprune.formats import Weights
from vdprune.formats.packed import pack_weights
from vdprune.runtime import make_network

few = settings(max_examples=40, deadline=None, derandomize=True)
numbers = st.floats(-100, 100, width=32).map(lambda x: 0.0 if abs(x) < 1e-3 else x)


def make_network_of_two_layers() -> Weights:
    first = node("scaling", 0, arrays={"scale": ["s/scale", []], "mean": ["s/mean", [20]]})
    layers = (linear([15, 20], 1, name="l1"), node("relu", 2), linear([4, 15], 3, name="l2"))
    weights = make_weights(make_graph([20], first, *layers), values=200)
    weights.others["s/scale"][()] = 1
    return weights


def make_examples(weights: Weights, count: int = 400) -> Split:
    """Draw examples whose labels are what the network says, but for a tenth."""
    random = numpy.random.default_rng(0)
    x = random.standard_normal((count, *weights.graph.input_shape)).astype("f4")
    t = make_network(weights, 1, "sparse").predict(x).astype("i4")
    t[: count // 10] = 0
    return Split("some examples", x, t)


def measure_error(weights: Weights, split: Split) -> float:
    network = make_network(weights, 1, "sparse")
    return 100 * float((network.predict(split.x) != split.t).mean())


def quantise_array(array: Any, bits: int) -> Any:
    weights = make_weights(make_graph([2], linear([2, 2], 0)))
    weights.others["more"] = numpy.asarray(array)
    return quantise(weights, {"more": bits}).others["more"]


@few
@given(st.lists(numbers, min_size=2, max_size=60), st.integers(1, 8))
def test_few_values_and_the_same_zeros(values: list[float], bits: int) -> None:
    array = numpy.array(values, "f4")
    found = quantise_array(array, bits)
    assert found.dtype == numpy.float32
    assert ((found == 0) == (array == 0)).all()
    assert len(numpy.unique(found[found != 0])) <= 2**bits
    spread = numpy.ptp(array[array != 0]) if array.any() else 0
    assert abs(found - array).max() <= spread / 2 + abs(array).max() / 8


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([1e-3, -1e-3, 100], [8, 8, 96]),  # of the first two the mean is 0
        ([5, -5, 0, 100], [8, 8, 0, 96]),
        ([-(2**-149), 2**-149, 2**-147], [2**-149, 2**-149, 2**-147]),  # the least of float32
    ],
)
def test_nothing_becomes_zero(values: list[float], expected: list[float]) -> None:
    assert quantise_array(numpy.array(values, "f4"), 1).tolist() == expected


@pytest.mark.parametrize("bits", [1, 2, 4, 6])
@pytest.mark.parametrize("name", ["standard_normal", "laplace", "uniform"])
def test_no_worse_than_values_at_equal_distances(name: str, bits: int) -> None:
    draw = getattr(numpy.random.default_rng(bits), name)
    array = draw(size=2000).astype("f4")
    edges = numpy.linspace(array.min(), array.max(), 2 ** (bits + 1) + 1)[1::2]
    evenly = edges[abs(array[:, None] - edges).argmin(axis=1)]
    found, expected = (
        float(((values - array) ** 2).sum()) for values in (quantise_array(array, bits), evenly)
    )
    assert found <= 1.05 * expected  # values of a codebook are rounded
    if name != "uniform" and bits > 1:
        assert found < 0.9 * expected


def test_clusters_are_found() -> None:
    random = numpy.random.default_rng(0)
    centres = numpy.array([-4, -1, 0.5, 3], "f4")
    labels = random.integers(0, 4, 300)
    array = centres[labels] + random.normal(0, 0.01, 300).astype("f4")
    numpy.testing.assert_allclose(quantise_array(array, 2), centres[labels], atol=0.15)
    assert quantise_array(array, 2).tolist() == quantise_array(array, 2).tolist()


def test_which_arrays() -> None:
    weights = make_network_of_two_layers()
    weights.others["count"] = numpy.arange(300)
    assert find_quantisable(weights) == ["l1/W", "l2/W", "s/mean", "l1/b", "l2/b"]
    found = quantise(weights, {"l1/W": 2})
    assert len(numpy.unique(found.weights["l1/W"])) <= 5
    assert found.weights["l2/W"] is weights.weights["l2/W"]
    all_of_them = quantise(weights, 2)
    assert len(numpy.unique(all_of_them.others["l1/b"])) <= 5
    assert all_of_them.others["count"] is weights.others["count"]
    assert all_of_them.others["s/scale"] is weights.others["s/scale"]


def test_bits_out_of_range() -> None:
    weights = make_network_of_two_layers()
    for bits in (0, 9):
        with pytest.raises(ArgumentError, match=f"bits of l1/W is {bits}: it must be 1 to 8"):
            quantise(weights, bits)
    with pytest.raises(ArgumentError, match="there is no array 'l9/W', only l1/W"):
        quantise(weights, {"l9/W": 3})


@pytest.mark.parametrize("increase", [0, 100])
def test_the_error_is_kept(increase: float) -> None:
    weights = make_network_of_two_layers()
    examples = make_examples(weights)
    found = choose_bits(weights, examples, increase)
    assert measure_error(found, examples) <= measure_error(weights, examples) + increase
    assert len(pack_weights(found)) < len(pack_weights(quantise(weights, 8)))
    assert "s/mean" not in found.others
    if increase == 100:
        values = [len(numpy.unique(found.weights[path])) for path in weights.weights]
        assert values == [3, 3]


@pytest.mark.parametrize(
    ("changed", "of", "percent", "is_allowed"),
    [
        (7, 1000, 0.7, True),  # 100 * 0.007 is 0.7000000000000001
        (8, 1000, 0.7, False),
        (10, 10_000, 0.1, True),
        (11, 10_000, 0.1, False),
    ],
)
def test_as_many_may_change_as_the_percentage_says(
    monkeypatch: pytest.MonkeyPatch, changed: int, of: int, percent: float, is_allowed: bool
) -> None:
    weights = make_network_of_two_layers()

    def evaluate(network: Weights, examples: Split) -> Evaluation:
        wrong = numpy.zeros(of, bool)
        wrong[:changed] = network is not weights
        return Evaluation(of, 0.0, 0.0, wrong)

    monkeypatch.setattr(quantising, "_evaluate", evaluate)
    examples = make_examples(weights, 10)
    if is_allowed:
        choose_bits(weights, examples, percent)
    else:
        with pytest.raises(ArgumentError, match=f"even with 8 bits, .* {percent} % are allowed"):
            choose_bits(weights, examples, percent)


def test_an_error_that_can_not_be_kept() -> None:
    weights = make_network_of_two_layers()
    with pytest.raises(ArgumentError, match="max_error_increase is -1: it must be 0"):
        choose_bits(weights, make_examples(weights), -1)
    # two classes of which the second is a little likelier, by 300 different numbers
    close = make_weights(make_graph([300], linear([2, 300], 0)))
    first = numpy.linspace(1, 2, 300)
    close.weights["l/W"][:] = first, first + 1e-4
    close.others["l/b"][:] = 0
    examples = Split("some examples", numpy.eye(300, dtype="f4"), numpy.ones(300, "i4"))
    with pytest.raises(
        ArgumentError,
        match="even with 8 bits, .* % of some examples become wrong or right, 0 % are",
    ):
        choose_bits(close, examples, 0)
