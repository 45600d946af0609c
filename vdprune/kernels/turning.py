"""Examples, one after the other, turned so that what they have at one place lies together.

Eight by eight numbers at a time are turned in registers; one by one takes longer than a sparse layer.
"""

from typing import Any

import numpy
from llvmlite import ir
from numba import types
from numba.extending import intrinsic
from numpy import uintp

from vdprune.kernels.compiled import compiled

__all__ = ["SIDE", "turn", "turn_block"]

SIDE = 8

# How far apart the rows are that are shuffled, and what of both goes into the first and the second.
# Numbers stay within the halves of their registers, but for the last stage: more takes longer.
_STAGES = (
    (1, (0, 8, 1, 9, 4, 12, 5, 13), (2, 10, 3, 11, 6, 14, 7, 15)),
    (2, (0, 1, 8, 9, 4, 5, 12, 13), (2, 3, 10, 11, 6, 7, 14, 15)),
    (4, (0, 1, 2, 3, 8, 9, 10, 11), (4, 5, 6, 7, 12, 13, 14, 15)),
)
_FOUND_AT = 0, 2, 1, 3, 4, 6, 5, 7  # where each column is after that


@intrinsic
def turn_block(
    typing_context: Any,
    x: Any,
    start: Any,
    pitch: Any,
    scales: Any,
    shifts: Any,
    i: Any,
    out: Any,
    place: Any,
    distance: Any,
) -> Any:
    """Turn eight by eight numbers: see `turn`."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        x_type, _, _, scales_type, shifts_type, _, out_type, _, _ = signature.args
        x, start, pitch, scales, shifts, i, out, place, distance = arguments
        number, index = context.get_value_type(out_type.dtype), ir.IntType(32)
        vector = ir.VectorType(number, SIDE)
        undefined = ir.Constant(vector, ir.Undefined)

        def pointer(array_type: Any, array: Any, at: Any) -> Any:
            data = context.make_array(array_type)(context, builder, array).data
            return builder.gep(data, [at])

        def along(base: Any, step: Any, k: int) -> Any:
            return builder.add(base, builder.mul(step, ir.Constant(base.type, k)))

        def read(k: int) -> Any:
            kind = ir.VectorType(context.get_data_type(x_type.dtype), SIDE)
            at = pointer(x_type, x, along(start, pitch, k))
            size = x_type.dtype.bitwidth // 8
            row = builder.load(builder.bitcast(at, kind.as_pointer()), align=size)
            return row if kind == vector else builder.uitofp(row, vector)

        def shuffle(a: Any, b: Any, lanes: tuple[int, ...]) -> Any:
            mask = ir.Constant(ir.VectorType(index, SIDE), list(lanes))
            return builder.shuffle_vector(a, b, mask)

        def spread(array_type: Any, array: Any, k: int) -> Any:
            value = builder.load(pointer(array_type, array, along(i, ir.Constant(i.type, 1), k)))
            one = builder.insert_element(undefined, value, ir.Constant(index, 0))
            return shuffle(one, undefined, (0,) * SIDE)

        rows = [read(k) for k in range(SIDE)]
        for apart, first, second in _STAGES:
            turned = list(rows)
            for k in range(SIDE):
                if not k & apart:
                    a, b = rows[k], rows[k + apart]
                    turned[k], turned[k + apart] = shuffle(a, b, first), shuffle(a, b, second)
            rows = turned
        for k in range(SIDE):
            row = rows[_FOUND_AT[k]]
            scaled = builder.fmul(row, spread(scales_type, scales, k), flags=("contract",))
            shifted = builder.fadd(scaled, spread(shifts_type, shifts, k), flags=("contract",))
            at = pointer(out_type, out, along(place, distance, k))
            builder.store(shifted, builder.bitcast(at, vector.as_pointer()), align=4)
        return context.get_dummy_value()

    places = (types.uintp, types.uintp)
    return types.void(x, *places, scales, shifts, types.uintp, out, *places), generate


@compiled
def turn(x: Any, pixels: Any, scales: Any, shifts: Any, out: Any) -> None:
    """Lay examples out pixel by pixel, scaled and shifted.

    Args:
        x: Examples, shape (examples, features), contiguous, float32 or uint8.
        pixels: Which features are wanted, ascending.
        scales: What each of them is multiplied by, float32.
        shifts: What is then added to it, float32.
        out: Result, float32: all examples' numbers of the first pixel, then those of the next.
    """
    n, pitch, flat = uintp(x.shape[0]), uintp(x.shape[1]), x.reshape(-1)
    side, count = uintp(SIDE), uintp(pixels.size)
    whole = n - n % side
    i = uintp(0)
    while i < count:
        pixel = uintp(pixels[i])
        last = i + side - uintp(1)
        if last < count and uintp(pixels[last]) == pixel + side - uintp(1):
            for e in range(uintp(0), whole, side):
                start = e * pitch + pixel
                turn_block(flat, start, pitch, scales, shifts, i, out, i * n + e, n)
            rows, first = side, whole
        else:
            rows, first = uintp(1), uintp(0)
        for k in range(i, i + rows):
            feature, scale, shift = uintp(pixels[k]), scales[k], shifts[k]
            for e in range(first, n):
                out[k * n + e] = numpy.float32(flat[e * pitch + feature]) * scale + shift
        i += rows
