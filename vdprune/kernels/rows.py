"""Numbers copied from one array into another; Numba's slices take long, to compile and to run."""

from typing import Any

from numpy import uintp

from vdprune.kernels.compiled import compiled

__all__ = ["copy_rows", "fill"]


@compiled
def copy_rows(
    source: Any, begin: int, distance: int, out: Any, place: int, pitch: int, rows: int, length: int
) -> None:
    """Copy rows.

    Args:
        source: Where they are, one-dimensional.
        begin: Where the first begins.
        distance: How far they lie apart.
        out: Where they go, one-dimensional.
        place: Where in that the first begins.
        pitch: How far they lie apart there.
        rows: How many there are.
        length: How long each is.
    """
    for row in range(rows):
        here, there = uintp(begin + row * distance), uintp(place + row * pitch)
        for k in range(uintp(length)):
            out[there + k] = source[here + k]


@compiled
def fill(out: Any, value: Any) -> None:
    """Set all numbers of an array.

    Args:
        out: The array, one-dimensional.
        value: The number, of its dtype.
    """
    for i in range(out.size):
        out[i] = value
