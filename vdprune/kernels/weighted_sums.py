"""Weighted sums of parts of an array, kept in registers until the last weight is added.

Loops that Numba compiles by itself put a sum back into memory after each weight or few of them, which
takes longer than the sum.
"""

from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from vdprune.kernels.compiled import compiled

__all__ = ["weighted_sum"]

# Sums at a time. In AVX2's registers: eight, which hide how long an addition takes; two; one half.
_WIDE, _MIDDLE, _NARROW = 64, 16, 4


def _make_block(width: int) -> Any:
    """Make a function that computes some neighbouring sums."""

    @intrinsic
    def block(
        typing_context: Any,
        weights: Any,
        places: Any,
        begin: Any,
        end: Any,
        x: Any,
        shift: Any,
        step: Any,
        start: Any,
        out: Any,
        first: Any,
        at: Any,
    ) -> Any:
        """The sums from one index on: see `weighted_sum`."""

        def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            weights_type, places_type, _, _, x_type, _, _, _, out_type, _, _ = signature.args
            weights, places, begin, end, x, shift, step, start, out, first, at = arguments
            number = context.get_value_type(x_type.dtype)
            vector = ir.VectorType(number, width)
            size = x_type.dtype.bitwidth // 8

            def address(array_type: Any, array: Any, index: Any) -> Any:
                data = context.make_array(array_type)(context, builder, array).data
                return builder.gep(data, [index])

            def spread(value: Any) -> Any:
                one = builder.insert_element(
                    ir.Constant(vector, ir.Undefined), value, ir.Constant(ir.IntType(32), 0)
                )
                lanes = ir.Constant(ir.VectorType(ir.IntType(32), width), [0] * width)
                return builder.shuffle_vector(one, ir.Constant(vector, ir.Undefined), lanes)

            total = cgutils.alloca_once(builder, vector)
            builder.store(spread(start), total)
            with cgutils.for_range_slice(
                builder, begin, end, ir.Constant(begin.type, 1), begin.type
            ) as (k, _):
                place = builder.load(address(places_type, places, k))
                if places_type.dtype.bitwidth < begin.type.width:
                    place = builder.sext(place, begin.type)
                here = builder.add(builder.mul(builder.add(place, shift), step), at)
                pointer = address(x_type, x, here)
                part = builder.load(builder.bitcast(pointer, vector.as_pointer()), align=size)
                weight = spread(builder.load(address(weights_type, weights, k)))
                product = builder.fmul(weight, part, flags=("contract",))
                added = builder.fadd(builder.load(total), product, flags=("contract",))
                builder.store(added, total)
            pointer = builder.bitcast(
                address(out_type, out, builder.add(first, at)), vector.as_pointer()
            )
            builder.store(builder.load(total), pointer, align=size)
            return context.get_dummy_value()

        integers = (types.intp, types.intp)
        arguments = (weights, places, *integers, x, *integers, x.dtype, out, *integers)
        return types.void(*arguments), generate

    return block


_wide, _middle, _narrow = _make_block(_WIDE), _make_block(_MIDDLE), _make_block(_NARROW)


@compiled
def weighted_sum(
    weights: Any,
    places: Any,
    begin: int,
    end: int,
    x: Any,
    shift: int,
    step: int,
    start: Any,
    out: Any,
    first: int,
    length: int,
) -> None:
    """Add up parts of an array, each times its weight.

    Args:
        weights: The weights, contiguous, dtype of x.
        places: What each weight multiplies begins in x at (place + shift) * step; contiguous integers.
        begin: Number of the first weight that counts.
        end: Number of the one after the last.
        x: Where the parts are, one-dimensional and contiguous.
        shift: What is added to all places.
        step: What places and shift are counted in.
        start: What the sums begin with.
        out: Where the result goes, one-dimensional and contiguous.
        first: Where in that it begins.
        length: How many sums there are.
    """
    if length >= _WIDE:
        for at in range(0, length - _WIDE, _WIDE):
            _wide(weights, places, begin, end, x, shift, step, start, out, first, at)
        # the last ones, of which some have been summed up already
        _wide(weights, places, begin, end, x, shift, step, start, out, first, length - _WIDE)
    elif length >= _MIDDLE:
        for at in range(0, length - _MIDDLE, _MIDDLE):
            _middle(weights, places, begin, end, x, shift, step, start, out, first, at)
        _middle(weights, places, begin, end, x, shift, step, start, out, first, length - _MIDDLE)
    elif length >= _NARROW:
        for at in range(0, length - _NARROW, _NARROW):
            _narrow(weights, places, begin, end, x, shift, step, start, out, first, at)
        _narrow(weights, places, begin, end, x, shift, step, start, out, first, length - _NARROW)
    else:
        for i in range(length):
            total = start
            for k in range(begin, end):
                total += weights[k] * x[(places[k] + shift) * step + i]
            out[first + i] = total
