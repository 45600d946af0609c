"""Where linear layers have their arrays, and which parts of them are a thread's: see `linear.py`."""

from typing import Any

import numpy

from vdprune.kernels import linear_layout as at
from vdprune.kernels.compiled import compiled
from vdprune.kernels.constants import PANEL_BYTES, TILE_ROWS
from vdprune.kernels.pointers import array_at

# See vdprune/kernels/cpu.py.
_TAKEN_FROM_ELSEWHERE = "2abde69cea838386"

__all__ = [
    "columns_at",
    "count_tiles",
    "factor_at",
    "first_columns",
    "rows_of_a_group",
    "share",
    "varying_inputs",
]

_GROUP_BYTES = 2**17  # of the moments of the outputs that are gone through at a time

# Of the dtypes of numbers of inputs, and of outputs.
INDEX = numpy.zeros(1, numpy.intp)
NUMBER = numpy.zeros(1, numpy.uint32)


@compiled
def share(length: int, unit: int, thread: int, threads: int) -> tuple[int, int]:
    """Return a thread's part of a range, in units but for the last."""
    units = (length + unit - 1) // unit
    first, last = units * thread // threads * unit, units * (thread + 1) // threads * unit
    return first, min(last, length)


@compiled
def count_tiles(outputs: int) -> int:
    return (outputs + TILE_ROWS - 1) // TILE_ROWS


@compiled
def rows_of_a_group(inputs: int, itemsize: int) -> int:
    return max(1, _GROUP_BYTES // (2 * inputs * itemsize * TILE_ROWS)) * TILE_ROWS


@compiled
def factor_at(address: int, columns: int, length: int, like: Any) -> Any:
    """Find a right factor: see `vdprune.kernels.products.lay_out`."""
    width = PANEL_BYTES // like.itemsize
    return array_at(address, ((columns + width - 1) // width, length, width), like)


@compiled
def first_columns(panels: Any) -> Any:
    """Return the first columns of the panels of a whole factor."""
    return numpy.arange(panels.shape[0]) * panels.shape[2]


@compiled
def varying_inputs(layer: Any) -> tuple[Any, Any]:
    """Return what `_find_varying` found: numbers of the inputs, and those where panels begin."""
    counts = array_at(layer[at.COUNTS], (2,), INDEX)
    return (
        array_at(layer[at.VARYING], (counts[0],), INDEX),
        array_at(layer[at.FIRSTS], (counts[1],), INDEX),
    )


@compiled
def columns_at(layer: Any, firsts: Any, batch: int, like: Any) -> tuple[Any, Any]:
    """Find inputs as right factors whose panels begin at these inputs, and their squares."""
    shape = firsts.size, batch, PANEL_BYTES // like.itemsize
    return (
        array_at(layer[at.COLUMNS], shape, like),
        array_at(layer[at.SQUARED_COLUMNS], shape, like),
    )
