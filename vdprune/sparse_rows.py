"""Weights as compressed sparse rows, in arrays as SciPy's csr_matrix has them.

SciPy's own would do, but it takes a quarter of a second to import, which is a quarter of what it takes a
new process to read a weight file and run it.
"""

import math
from typing import NamedTuple

import numpy


class SparseRows(NamedTuple):
    """The arrays of a CSR matrix.

    Args:
        data: Nonzero weights, row by row, in the order of their columns.
        indices: Column of each, int32, or int64 where that is too small.
        indptr: Where each row begins in them, and the last one's end, likewise.
    """

    data: numpy.ndarray
    indices: numpy.ndarray
    indptr: numpy.ndarray


def compress(W: numpy.ndarray) -> SparseRows:
    """Take the zeros out of an array.

    Args:
        W: Weights, shape (rows, ...); all axes but the first together are the columns.

    Returns:
        What is left.
    """
    matrix = W.reshape(len(W), -1)
    rows, columns = matrix.nonzero()
    kind = numpy.int32 if matrix.size <= numpy.iinfo(numpy.int32).max else numpy.int64
    indptr = numpy.zeros(len(W) + 1, kind)
    numpy.cumsum(numpy.bincount(rows, minlength=len(W)), out=indptr[1:])
    return SparseRows(matrix[rows, columns], columns.astype(kind), indptr)


def expand(rows: SparseRows, shape: tuple[int, ...]) -> numpy.ndarray:
    """Fill the zeros in again; of weights of one place the sum counts, as in SciPy.

    Args:
        rows: What `compress` made, or another program; any integers.
        shape: Shape of the weights.

    Returns:
        The weights, in the dtype of ``rows.data``.

    Raises:
        ValueError: The arrays are not those of such weights.
    """
    data, indices, indptr = rows
    columns = math.prod(shape[1:])
    if indptr.size != shape[0] + 1:
        raise ValueError(f"indptr has {indptr.size} numbers, {shape[0]} rows take {shape[0] + 1}")
    starts = indptr.astype(numpy.int64)
    counts = numpy.diff(starts)
    if starts[0] != 0 or (counts < 0).any():
        raise ValueError("indptr does not begin at 0, or falls")
    if not indices.size == data.size == starts[-1]:
        raise ValueError(
            f"there are {data.size} weights and {indices.size} columns of them, for indptr says "
            f"{starts[-1]}"
        )
    if indices.size and not 0 <= indices.min() <= indices.max() < columns:
        raise ValueError(
            f"indices are {indices.min()} to {indices.max()}, there are {columns} columns"
        )
    W = numpy.zeros((shape[0], columns), data.dtype)
    numpy.add.at(W, (numpy.repeat(numpy.arange(len(W)), counts), indices), data)
    return W.reshape(shape)
