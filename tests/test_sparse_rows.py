import numpy
import pytest
import scipy.sparse
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from vdprune.sparse_rows import SparseRows, compress, expand

weight_arrays = hnp.arrays(
    st.sampled_from([numpy.float16, numpy.float32, numpy.float64]),
    hnp.array_shapes(min_dims=2, max_dims=4, max_side=6),
    elements=st.one_of(st.just(0.0), st.just(-0.0), st.floats(-4, 4, width=16)),
)


@given(W=weight_arrays)
def test_arrays_are_those_of_scipys_matrix(W: numpy.ndarray) -> None:
    rows = compress(W)
    assert rows.data.dtype == W.dtype
    known_to_scipy = W.reshape(len(W), -1).astype(numpy.float64)
    expected = scipy.sparse.csr_matrix(known_to_scipy)
    for name in SparseRows._fields:
        numpy.testing.assert_array_equal(getattr(rows, name), getattr(expected, name))
    assert rows.indices.dtype == rows.indptr.dtype == numpy.int32


@given(W=weight_arrays)
def test_weights_come_back(W: numpy.ndarray) -> None:
    expanded = expand(compress(W), W.shape)
    assert expanded.dtype == W.dtype
    numpy.testing.assert_array_equal(expanded, W)


@given(
    places=st.lists(st.tuples(st.integers(0, 3), st.integers(0, 4)), max_size=12),
    kind=st.sampled_from([numpy.uint8, numpy.int32, numpy.uint64]),
)
def test_weights_in_any_order_and_several_of_one_place_are_as_scipy_has_them(
    places: list[tuple[int, int]], kind: type
) -> None:
    places.sort(key=lambda place: place[0])
    counts = numpy.bincount([row for row, _ in places], minlength=4)
    data = numpy.arange(1, len(places) + 1, dtype="f4")
    indices = numpy.array([column for _, column in places], kind)
    indptr = numpy.concatenate([[0], counts.cumsum()]).astype(kind)
    expected = scipy.sparse.csr_matrix((data, indices, indptr), (4, 5)).toarray()
    expanded = expand(SparseRows(data, indices, indptr), (4, 5))
    numpy.testing.assert_array_equal(expanded, expected)


@pytest.mark.parametrize(
    ("indices", "indptr", "message"),
    [
        ([0, 3], [0, 1, 2], "indices are 0 to 3, there are 3 columns"),
        ([-1, 2], [0, 1, 2], "indices are -1 to 2, there are 3 columns"),
        ([0, 1], [0, 2], "indptr has 2 numbers, 2 rows take 3"),
        ([0, 1], [0, 3, 2], "indptr does not begin at 0, or falls"),
        ([0, 1], [1, 1, 2], "indptr does not begin at 0, or falls"),
        ([0, 1], [0, 1, 1], "there are 2 weights and 2 columns of them, for indptr says 1"),
        ([0], [0, 1, 2], "there are 2 weights and 1 columns of them, for indptr says 2"),
    ],
)
def test_other_arrays_are_refused(indices: list[int], indptr: list[int], message: str) -> None:
    rows = SparseRows(numpy.ones(2, "f4"), numpy.array(indices), numpy.array(indptr))
    with pytest.raises(ValueError, match=message):
        expand(rows, (2, 3))
