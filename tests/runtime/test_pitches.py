"""Which images keep what is worthless at the ends of their rows."""

from typing import Any

import pytest

from tests.runtime.test_steps import assert_right, convolution, make_arrays, make_graph, node
from vdprune.runtime.layers import make_layers
from vdprune.runtime.pitches import find_pitches

WHOLE = {"ksize": [2, 2], "stride": [2, 2], "pad": [0, 0], "cover_all": False}


def find(*nodes: dict[str, Any], way: str = "sparse") -> dict[int, int]:
    graph = make_graph([1, 8, 9], *nodes)
    layers = make_layers(graph, make_arrays(graph))
    return find_pitches(layers, [way] * len(layers.layers))


def pooling(source: int, **changes: Any) -> dict[str, Any]:
    return node("max_pooling_2d", source, **{**WHOLE, **changes})


def test_between_a_sparse_convolution_and_whole_windows() -> None:
    assert find(convolution([2, 1, 3, 3], 0), pooling(1)) == {1: 9}
    assert find(convolution([2, 1, 3, 3], 0, pad=[1, 2]), pooling(1)) == {1: 13}


@pytest.mark.parametrize(
    "changes",
    [
        {"ksize": [3, 2]},
        {"pad": [1, 0]},
        {"cover_all": True},  # the last window of the seven columns has one
    ],
)
def test_windows_that_reach_beyond_the_image_or_are_larger(changes: Any) -> None:
    assert find(convolution([2, 1, 3, 3], 0), pooling(1, **changes)) == {}


def test_what_is_written_row_by_row_or_read_by_others() -> None:
    assert find(convolution([2, 1, 3, 3], 0), pooling(1), way="dense") == {}
    assert find(convolution([2, 1, 3, 3], 0, stride=[1, 2]), pooling(1)) == {}
    both = convolution([2, 1, 3, 3], 0), pooling(1), pooling(1), node("add", 2, 3)
    assert find(*both) == {}
    assert find(pooling(0)) == {}


@pytest.mark.parametrize("examples", [1, 5, 70])
@pytest.mark.parametrize("pad", [[0, 0], [1, 2]])
def test_what_is_at_the_ends_of_rows_is_not_read(examples: int, pad: list[int]) -> None:
    layers = (
        convolution([3, 1, 3, 3], 0, pad=pad),
        pooling(1),
        convolution([2, 3, 2, 2], 2, name="d"),
    )
    assert_right(make_graph([1, 8, 9], *layers, node("relu", 3)), examples)
