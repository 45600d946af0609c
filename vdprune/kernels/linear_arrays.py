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
    "factors_at",
    "first_columns",
    "own_inputs",
    "own_outputs",
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
def own_outputs(thread: int, threads: int, layer: Any) -> tuple[int, int, int, int]:
    """Return the outputs that are a thread's: the first and last of those alive, and of all."""
    outputs, width = layer[at.OUTPUTS], layer[at.ALL_OUTPUTS]
    numbers = array_at(layer[at.OUTPUT_NUMBERS], (outputs,), NUMBER)
    begin, end = share(outputs, TILE_ROWS, thread, threads)
    return begin, end, *_stretch(thread, threads, numbers, begin, end, width)


@compiled
def own_inputs(thread: int, threads: int, layer: Any, width: int) -> tuple[int, int, int, int]:
    """Return the inputs that are a thread's, of panels of so many: likewise."""
    inputs = layer[at.INPUTS]
    numbers = array_at(layer[at.INPUT_NUMBERS], (inputs,), INDEX)
    begin, end = share(inputs, width, thread, threads)
    return begin, end, *_stretch(thread, threads, numbers, begin, end, layer[at.ALL_INPUTS])


@compiled
def _stretch(
    thread: int, threads: int, numbers: Any, begin: int, end: int, width: int
) -> tuple[int, int]:
    """Add to a thread's part of what is alive the dead around it, so that each is somebody's."""
    first, last = 0, width
    if thread > 0:
        first = numbers[begin] if begin < numbers.size else width
    if thread < threads - 1:
        last = numbers[end] if end < numbers.size else width
    return first, last


@compiled
def factors_at(layer: Any, thread: int, batch: int, length: int, like: Any) -> tuple[Any, Any]:
    """Find a thread's own inputs as a right factor, and their squares.

    Each thread lays out its own: to write where another one has read, or the other way round, takes
    longer. See `vdprune.kernels.products.lay_out`.
    """
    width = PANEL_BYTES // like.itemsize
    shape = (batch + width - 1) // width, length, width
    place = thread * shape[0] * layer[at.INPUTS] * PANEL_BYTES
    return array_at(layer[at.FACTOR] + place, shape, like), array_at(
        layer[at.SQUARES] + place, shape, like
    )


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
def columns_at(layer: Any, thread: int, firsts: Any, batch: int, like: Any) -> tuple[Any, Any]:
    """Find a thread's own inputs as right factors whose panels begin at these inputs, and squares."""
    width = PANEL_BYTES // like.itemsize
    shape = firsts.size, batch, width
    place = thread * ((layer[at.INPUTS] + width - 1) // width) * batch * PANEL_BYTES
    return (
        array_at(layer[at.COLUMNS] + place, shape, like),
        array_at(layer[at.SQUARED_COLUMNS] + place, shape, like),
    )
