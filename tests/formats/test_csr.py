import math
from collections.abc import Callable

import numpy
import pytest
import scipy.sparse
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from vdprune.formats import csr, dense

Members = dict[str, numpy.ndarray]

weight_arrays = hnp.arrays(
    numpy.float32,
    hnp.array_shapes(min_dims=2, max_dims=4, max_side=5),
    elements=st.one_of(st.just(0.0), st.floats(-4, 4, width=32)),
)


@given(W=weight_arrays)
def test_weights_come_back(W: numpy.ndarray) -> None:
    _, members = csr.encode(W)
    decoded = csr.decode(members, W.shape)
    assert decoded.dtype == W.dtype
    numpy.testing.assert_array_equal(decoded, W)


@given(W=weight_arrays)
def test_no_zeros_are_stored_and_columns_are_in_order(W: numpy.ndarray) -> None:
    _, members = csr.encode(W)
    assert members["data"].size == members["indices"].size == numpy.count_nonzero(W)
    assert (members["data"] != 0).all()
    matrix = scipy.sparse.csr_matrix(
        (members["data"], members["indices"], members["indptr"]), (len(W), W[0].size)
    )
    assert matrix.has_canonical_format


def test_a_known_matrix() -> None:
    W = numpy.array([[0, 1.5, 0], [0, 0, 0], [-2, 0, 3]], "f4")
    attributes, members = csr.encode(W)
    assert attributes == {
        "encoding-type": "csr_matrix",
        "encoding-version": "0.1.0",
        "shape": [3, 3],
        "weight_shape": [3, 3],
    }
    assert {name: array.tolist() for name, array in members.items()} == {
        "data": [1.5, -2, 3],
        "indices": [1, 0, 2],
        "indptr": [0, 1, 1, 3],
    }
    assert members["data"].dtype == numpy.float32
    assert members["indices"].dtype == members["indptr"].dtype == numpy.uint8


@pytest.mark.parametrize(("columns", "dtype"), [(256, "u1"), (257, "u2"), (65537, "u4")])
def test_indices_take_as_few_bytes_as_they_can(columns: int, dtype: str) -> None:
    W = numpy.zeros((1, columns), "f4")
    W[0, -1] = 2
    _, members = csr.encode(W)
    assert (members["indices"].dtype, members["indptr"].dtype) == (dtype, "u1")
    assert numpy.array_equal(csr.decode(members, W.shape), W)


def test_a_convolution_is_a_matrix_of_filters() -> None:
    W = numpy.zeros((2, 3, 5, 4), "f4")
    W[1, 2, 4, 3] = 7
    W[1, 0, 1, 0] = 5
    attributes, members = csr.encode(W)
    assert attributes["shape"] == [2, 60]
    assert attributes["weight_shape"] == [2, 3, 5, 4]
    assert members["indices"].tolist() == [4, 59]
    assert members["indptr"].tolist() == [0, 0, 2]


def test_negative_zeros_are_not_stored() -> None:
    _, members = csr.encode(numpy.array([[-0.0, 1.0]], "f4"))
    assert members["data"].tolist() == [1.0]


def put(name: str, index: int, value: int) -> Callable[[Members], None]:
    def spoil(members: Members) -> None:
        members[name] = members[name].astype(numpy.int64)
        members[name][index] = value

    return spoil


def cut(name: str) -> Callable[[Members], None]:
    def spoil(members: Members) -> None:
        members[name] = members[name][:-1]

    return spoil


def change(name: str, function: Callable[[numpy.ndarray], numpy.ndarray]) -> Callable:
    def spoil(members: Members) -> None:
        members[name] = function(members[name])

    return spoil


DAMAGES = {
    "column out of range": put("indices", 0, 4),
    "column far out of range": put("indices", 0, 2**30),
    "negative column": put("indices", 2, -1),
    "rows not in order": put("indptr", 1, 5),
    "negative row start": put("indptr", 1, -1),
    "first row not at 0": put("indptr", 0, 1),
    "more than there is": put("indptr", -1, 7),
    "data too short": cut("data"),
    "indices too short": cut("indices"),
    "indptr too short": cut("indptr"),
    "indptr of one row more": change("indptr", lambda a: numpy.append(a, a[-1])),
    "no indptr": change("indptr", lambda a: a[:0]),
    "data of two axes": change("data", lambda a: a[:, None]),
    "indices of two axes": change("indices", lambda a: a[None]),
    "data a number": change("data", lambda a: a[0]),
    "data text": change("data", lambda a: a.astype("U")),
    "data complex": change("data", lambda a: a * 1j),
    "fractional indices": change("indices", lambda a: a + 0.5),
    "fractional rows": change("indptr", lambda a: a + 0.5),
    "indices text": change("indices", lambda a: a.astype("U")),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_damaged_members_are_refused(damage: str) -> None:
    W = numpy.array([[1, 0, 2, 0], [0, 3, 0, 0], [0, 0, 4, 5], [6, 0, 0, 0]], "f4")
    _, members = csr.encode(W)
    members = {name: array.copy() for name, array in members.items()}
    numpy.testing.assert_array_equal(csr.decode(members, (4, 4)), W)
    DAMAGES[damage](members)
    with pytest.raises((ValueError, TypeError)):
        csr.decode(members, (4, 4))


@pytest.mark.parametrize("shape", [(3, 4), (5, 4), (4, 2), (4, 2, 1)])
def test_another_shape_is_refused(shape: tuple[int, ...]) -> None:
    _, members = csr.encode(numpy.eye(4, dtype="f4"))
    with pytest.raises(ValueError, match=r"."):
        csr.decode(members, shape)


@given(W=weight_arrays)
def test_dense_weights_come_back_with_their_zeros(W: numpy.ndarray) -> None:
    attributes, members = dense.encode(W)
    assert attributes == {"encoding-type": "array", "encoding-version": "0.2.0"}
    assert members[""].shape == W.shape
    numpy.testing.assert_array_equal(dense.decode(members, W.shape), W)


@pytest.mark.parametrize("shape", [(4,), (2, 8), (4, 4, 1), (1, 4, 4)])
def test_dense_weights_of_another_shape_are_refused(shape: tuple[int, ...]) -> None:
    _, members = dense.encode(numpy.eye(4, dtype="f4"))
    with pytest.raises(ValueError, match=r"the array has shape \(4, 4\), expected"):
        dense.decode(members, shape)


def test_the_matrix_product_is_that_of_the_layer() -> None:
    W = numpy.random.default_rng(0).normal(size=(6, 2, 3, 3)).astype("f4")
    W[abs(W) < 0.8] = 0
    attributes, members = csr.encode(W)
    matrix = scipy.sparse.csr_matrix(tuple(members.values()), shape=attributes["shape"])
    x = numpy.random.default_rng(1).normal(size=(2, 3, 3)).astype("f4")
    expected = (W * x).sum(axis=(1, 2, 3))
    assert math.prod(W.shape[1:]) == matrix.shape[1]
    numpy.testing.assert_allclose(matrix @ x.ravel(), expected, rtol=1e-5)
