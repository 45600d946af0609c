"""Slices against the matrices they are of."""

import numpy
from hypothesis import given, settings
from hypothesis import strategies as st

from vdprune.runtime.slices import slice_rows
from vdprune.sparse_rows import compress

few = settings(max_examples=100, deadline=None, derandomize=True)
sizes = st.integers(1, 9)


def draw(rows: int, columns: int, density: float, seed: int) -> numpy.ndarray:
    random = numpy.random.default_rng(seed)
    W = random.standard_normal((rows, columns)).astype("f4")
    return W * (random.random(W.shape) < density)


@given(sizes, sizes, sizes, st.sampled_from([0.0, 0.2, 0.6, 1.0]), st.integers(0, 5))
@few
def test_nothing_is_lost(rows: int, columns: int, size: int, density: float, seed: int) -> None:
    W = draw(rows, columns, density, seed)
    order, starts, data, indices = slice_rows(compress(W), size)
    assert len(starts) == len(order) // size + 1
    assert len(data) == len(indices) == starts[-1]
    found = numpy.zeros((len(order), columns), "f4")
    for place in range(len(order)):
        part = slice(starts[place // size] + place % size, starts[place // size + 1], size)
        numpy.add.at(found[place], indices[part], data[part])
    numpy.testing.assert_array_equal(found, W[order])
    assert list(numpy.unique(order)) == list(range(rows))


def test_rows_of_one_slice_are_of_about_one_length() -> None:
    W = draw(64, 200, 0.1, 0)
    slices = slice_rows(compress(W), 4)
    lengths = numpy.count_nonzero(W, axis=1)[slices.order]
    assert (numpy.diff(lengths) <= 0).all()
    assert slices.data.size < 1.05 * numpy.count_nonzero(W)


def test_zeros_read_what_their_row_reads() -> None:
    W = numpy.zeros((2, 5), "f4")
    W[0, :3], W[1, 4] = 1, 1
    slices = slice_rows(compress(W), 2)
    assert list(slices.indices) == [0, 4, 1, 4, 2, 4]
    assert list(slices.data) == [1, 1, 1, 0, 1, 0]
