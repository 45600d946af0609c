"""Matrix products, a tile of the result in registers at a time.

A factor is laid out for it once, for several products, or while it is made; a BLAS library would lay out
both factors anew for each product.
"""

from typing import Any

import numpy
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic
from numpy import uintp

from vdprune.kernels.compiled import compiled
from vdprune.kernels.constants import PANEL_BYTES, TILE_ROWS
from vdprune.kernels.turning import SIDE, turn_block

# See vdprune/kernels/cpu.py.
_TAKEN_FROM_ELSEWHERE = "d75025cb7ed99f13"

__all__ = ["lay_out", "lay_out_turned", "multiply"]

# A tile has two registers in a row, of AVX2's sixteen: twelve for the sums, the others for the factors.
_REGISTERS = 2
_REGISTER_BYTES = PANEL_BYTES // _REGISTERS


@intrinsic
def _tile(
    typing_context: Any,
    a: Any,
    start: Any,
    row_step: Any,
    steps: Any,
    rows: Any,
    panel: Any,
    place: Any,
    length: Any,
    out: Any,
    first: Any,
    pitch: Any,
) -> Any:
    """Compute up to six rows of a product, as wide as a panel: see `multiply`."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        a_type, _, _, steps_type, _, panel_type, _, _, out_type, _, _ = signature.args
        a, start, row_step, steps, rows, panel, place, length, out, first, pitch = arguments
        number, index = context.get_value_type(a_type.dtype), ir.IntType(32)
        size = a_type.dtype.bitwidth // 8
        lanes = _REGISTER_BYTES // size
        vector = ir.VectorType(number, lanes)
        undefined = ir.Constant(vector, ir.Undefined)

        def pointer(array_type: Any, array: Any, at: Any) -> Any:
            data = context.make_array(array_type)(context, builder, array).data
            return builder.gep(data, [at])

        def along(base: Any, k: int) -> Any:
            return builder.bitcast(
                builder.gep(base, [ir.Constant(start.type, k * lanes)]), vector.as_pointer()
            )

        def spread(value: Any) -> Any:
            one = builder.insert_element(undefined, value, ir.Constant(index, 0))
            mask = ir.Constant(ir.VectorType(index, lanes), [0] * lanes)
            return builder.shuffle_vector(one, undefined, mask)

        # rows beyond the last are the last once more
        last = builder.sub(rows, ir.Constant(rows.type, 1))
        numbers = [ir.Constant(rows.type, k) for k in range(TILE_ROWS)]
        numbers = [builder.select(builder.icmp_signed("<", k, rows), k, last) for k in numbers]
        lefts = [pointer(a_type, a, builder.add(start, builder.mul(row_step, k))) for k in numbers]
        zero = ir.Constant(vector, [0.0] * lanes)
        sums = [[cgutils.alloca_once(builder, vector) for _ in range(_REGISTERS)] for _ in numbers]
        for row in sums:
            for total in row:
                builder.store(zero, total)
        with cgutils.for_range(builder, length, intp=length.type) as loop:
            below = builder.add(
                place, builder.mul(loop.index, ir.Constant(place.type, lanes * _REGISTERS))
            )
            here = pointer(panel_type, panel, below)
            rights = [builder.load(along(here, k), align=size) for k in range(_REGISTERS)]
            step = builder.load(pointer(steps_type, steps, loop.index))
            for left, row in zip(lefts, sums, strict=True):
                factor = spread(builder.load(builder.gep(left, [step])))
                for right, total in zip(rights, row, strict=True):
                    product = builder.fmul(factor, right, flags=("contract",))
                    added = builder.fadd(builder.load(total), product, flags=("contract",))
                    builder.store(added, total)
        for k, row in zip(numbers, sums, strict=True):
            there = pointer(out_type, out, builder.add(first, builder.mul(pitch, k)))
            for register, total in enumerate(row):
                builder.store(builder.load(total), along(there, register), align=size)
        return context.get_dummy_value()

    at = types.intp
    return types.void(a, at, at, steps, at, panel, at, at, out, at, at), generate


@compiled
def lay_out(
    x: Any, inputs: Any, firsts: Any, first: int, last: int, panels: Any, squares: Any
) -> None:
    """Lay out some columns of a matrix as a right factor, or a part of it.

    A factor has panels of neighbouring columns, each of `PANEL_BYTES` in a row: it has the shape
    (panels, rows, columns of a panel). What is beyond the last column does not count, but is a number.

    Args:
        x: The matrix, two-dimensional and contiguous.
        inputs: Numbers of the columns.
        firsts: Where in those each panel begins, int64.
        first: The first of the panels that are wanted.
        last: The one after the last.
        panels: Result: the factor.
        squares: Result: one of its squares.
    """
    length, width = uintp(panels.shape[1]), uintp(panels.shape[2])
    numbers, pitch, columns = x.reshape(-1), uintp(x.shape[1]), uintp(inputs.size)
    a, b = panels.reshape(-1), squares.reshape(-1)
    for p in range(uintp(first), uintp(last)):
        column, place = uintp(firsts[p]), p * length * width
        here, begin = min(width, columns - column), uintp(inputs[column])
        if here == width and uintp(inputs[column + width - uintp(1)]) == begin + width - uintp(1):
            for k in range(length):
                for lane in range(width):
                    value = numbers[k * pitch + begin + lane]
                    a[place + k * width + lane] = value
                    b[place + k * width + lane] = value * value
            continue
        for k in range(length):
            for lane in range(here):
                value = numbers[k * pitch + uintp(inputs[column + lane])]
                a[place + k * width + lane] = value
                b[place + k * width + lane] = value * value
            for lane in range(here, width):
                a[place + k * width + lane] = b[place + k * width + lane] = 0


@compiled
def lay_out_turned(x: Any, inputs: Any, first: int, last: int, panels: Any, squares: Any) -> None:
    """Lay out the transpose of some columns of a matrix as a right factor, or a part of it.

    Args:
        x: The matrix, two-dimensional and contiguous.
        inputs: Numbers of the columns.
        first: The first of the panels that are wanted: see `lay_out`.
        last: The one after the last.
        panels: Result: the factor.
        squares: Result: one of its squares.
    """
    length, width = uintp(panels.shape[1]), uintp(panels.shape[2])
    numbers, pitch, rows = x.reshape(-1), uintp(x.shape[1]), uintp(x.shape[0])
    a, b = panels.reshape(-1), squares.reshape(-1)
    ones, zeros = numpy.ones(SIDE, x.dtype), numpy.zeros(SIDE, x.dtype)
    side, zero = uintp(SIDE), uintp(0)
    for p in range(uintp(first), uintp(last)):
        row = p * width
        here = min(width, rows - row)
        whole, k = here - here % side, zero
        while k < length:
            column, place, end = uintp(inputs[k]), (p * length + k) * width, k + side - uintp(1)
            count, done = uintp(1), zero
            if end < length and uintp(inputs[end]) == column + side - uintp(1):
                count, done = side, whole
                for lane in range(zero, whole, side):
                    start = (row + lane) * pitch + column
                    turn_block(numbers, start, pitch, ones, zeros, zero, a, place + lane, width)
            for i in range(count):
                for lane in range(done, here):
                    value = numbers[(row + lane) * pitch + column + i]
                    a[place + i * width + lane] = value
                for lane in range(here, width):
                    a[place + i * width + lane] = 0
            for at in range(place, place + count * width):
                b[at] = a[at] * a[at]
            k += count


@compiled
def multiply(
    a: Any,
    row_step: int,
    steps: Any,
    rows: int,
    panels: Any,
    firsts: Any,
    columns: int,
    out: Any,
) -> None:
    """Multiply matrices, or compute some columns of their product.

    Args:
        a: Numbers of the left factor, one-dimensional.
        row_step: How far its rows lie apart in that.
        steps: How far each of its columns lies from a row's start, int64; the columns may be some of
            those that there are, if the right factor has only their rows.
        rows: How many rows it has.
        panels: The right factor: see `lay_out`.
        firsts: Number of each panel's first column in the result, int64.
        columns: How many columns the result has.
        out: Result, one-dimensional: the rows one after the other; only the panels' columns are written.
    """
    count, length, width = panels.shape
    flat = panels.reshape(-1)
    spare = numpy.empty(TILE_ROWS * width, out.dtype)
    for p in range(count):
        column, place = firsts[p], p * length * width
        left = columns - column
        for r in range(0, rows, TILE_ROWS):
            height = min(TILE_ROWS, rows - r)
            start = r * row_step
            if left >= width:
                there = r * columns + column
                _tile(a, start, row_step, steps, height, flat, place, length, out, there, columns)
                continue
            _tile(a, start, row_step, steps, height, flat, place, length, spare, 0, width)
            for i in range(height):
                for lane in range(left):
                    out[(r + i) * columns + column + lane] = spare[i * width + lane]
