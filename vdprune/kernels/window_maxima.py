"""The largest pixels of windows of two by two, found in registers.

Loops that Numba compiles by itself take the pixels of rows as short as a LeNet's one by one.
"""

from typing import Any

from llvmlite import ir
from numba import types
from numba.extending import intrinsic
from numpy import uintp

from vdprune.kernels.compiled import compiled

__all__ = ["larger", "most_of_squares"]

_WIDTH = 4  # windows at a time


@intrinsic
def _some_windows(
    typing_context: Any, x: Any, above: Any, below: Any, out: Any, first: Any, at: Any
) -> Any:
    """Find the largest pixels of neighbouring windows, from one on: see `most_of_squares`."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        x_type, _, _, out_type, _, _ = signature.args
        x, above, below, out, first, at = arguments
        number = context.get_value_type(x_type.dtype)
        pixels, windows = (ir.VectorType(number, n) for n in (2 * _WIDTH, _WIDTH))
        size = x_type.dtype.bitwidth // 8

        def pointer(array_type: Any, array: Any, index: Any, vector: Any) -> Any:
            data = context.make_array(array_type)(context, builder, array).data
            return builder.bitcast(builder.gep(data, [index]), vector.as_pointer())

        def row(start: Any) -> Any:
            place = builder.add(start, builder.add(at, at))
            return builder.load(pointer(x_type, x, place, pixels), align=size)

        def most(a: Any, b: Any) -> Any:
            is_more = builder.fcmp_ordered(">", a, b)
            is_nan = builder.fcmp_unordered("uno", a, a)
            return builder.select(builder.or_(is_more, is_nan), a, b)

        def every_other(vector: Any, first: int) -> Any:
            lanes = ir.Constant(
                ir.VectorType(ir.IntType(32), _WIDTH), list(range(first, 2 * _WIDTH, 2))
            )
            return builder.shuffle_vector(vector, ir.Constant(pixels, ir.Undefined), lanes)

        columns = most(row(above), row(below))
        found = most(every_other(columns, 0), every_other(columns, 1))
        place = pointer(out_type, out, builder.add(first, at), windows)
        builder.store(found, place, align=size)
        return context.get_dummy_value()

    places = (types.uintp, types.uintp)
    return types.void(x, *places, out, *places), generate


@compiled
def larger(a: Any, b: Any) -> Any:
    """The larger of two numbers; NaN is larger than any, as for NumPy."""
    return a if (a > b) | (a != a) else b


@compiled
def most_of_squares(
    x: Any, first: int, pitch: int, out: Any, place: int, height: int, width: int
) -> None:
    """Find the largest pixels of windows of two by two that lie next to each other.

    Args:
        x: Pixels, one-dimensional, contiguous.
        first: Where the first window begins.
        pitch: How far rows of pixels lie apart.
        out: Where the result goes, one-dimensional, contiguous.
        place: Where in that it begins; its rows follow one another.
        height: Rows of windows.
        width: Windows in a row.
    """
    step, count = uintp(_WIDTH), uintp(width)
    for row in range(height):
        above, line = uintp(first + 2 * row * pitch), uintp(place + row * width)
        below = above + uintp(pitch)
        if count >= step:
            for i in range(uintp(0), count - step, step):
                _some_windows(x, above, below, out, line, i)
            # the last ones, of which some have been found already
            _some_windows(x, above, below, out, line, count - step)
        else:
            for i in range(count):
                k = uintp(2) * i
                upper = larger(x[above + k], x[above + k + uintp(1)])
                out[line + i] = larger(upper, larger(x[below + k], x[below + k + uintp(1)]))
