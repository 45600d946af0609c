"""Rows of a sparse matrix side by side, some to a slice."""

from typing import NamedTuple

import numpy

from vdprune.sparse_rows import SparseRows


class Slices(NamedTuple):
    """A matrix whose rows lie side by side, the longest first.

    Args:
        order: Which row each is; the last one is repeated until its slice is full.
        starts: Where each slice begins in the others, and the last one's end.
        data: Weights: the first of each row of a slice, then the second of each, and so on; zeros where
            a row has no more.
        indices: Column of each.

    Source: Kreutzer et al., "A unified sparse matrix data format for efficient general sparse
    matrix-vector multiplication on modern processors with wide SIMD units", SIAM Journal on Scientific
    Computing 36 (5), 2014.
    """

    order: numpy.ndarray
    starts: numpy.ndarray
    data: numpy.ndarray
    indices: numpy.ndarray


def slice_rows(rows: SparseRows, size: int) -> Slices:
    """Lay rows of about the same length side by side.

    Args:
        rows: The matrix, one row at least.
        size: Rows of a slice.

    Returns:
        The slices.
    """
    lengths = numpy.diff(rows.indptr)
    order = numpy.argsort(-lengths, kind="stable")
    slices = -(-order.size // size)
    order = numpy.pad(order, (0, slices * size - order.size), mode="edge")
    longest = lengths[order[::size]]
    starts = numpy.concatenate([[0], numpy.cumsum(longest * size)])
    data, indices = numpy.zeros(starts[-1], rows.data.dtype), numpy.zeros(starts[-1], numpy.int32)
    for place, row in enumerate(order):
        first = starts[place // size] + place % size
        own = slice(rows.indptr[row], rows.indptr[row + 1])
        whole, filled = (slice(first, starts[place // size + 1], size), slice(first, None, size))
        length = lengths[row]
        data[filled][:length] = rows.data[own]
        if length:
            indices[whole] = rows.indices[own][-1]  # of a zero: what the row reads anyway
            indices[filled][:length] = rows.indices[own]
    return Slices(order, starts, data, indices)
