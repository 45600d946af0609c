"""exp, log and normal noise that LLVM turns into vector instructions.

In float32 they are polynomials on the bits of the number, in float64 the C library's functions.
NaN stays NaN.
"""

import math
from typing import Any

import numpy
from llvmlite import ir
from numba import njit, types
from numba.extending import intrinsic, overload

_f4, _i4, _u4, _u8 = numpy.float32, numpy.int32, numpy.uint32, numpy.uint64


@intrinsic
def _bits_of(context: Any, x: Any) -> Any:
    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.bitcast(arguments[0], ir.IntType(32))

    return types.int32(types.float32), generate


@intrinsic
def _float_of(context: Any, bits: Any) -> Any:
    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.bitcast(arguments[0], ir.FloatType())

    return types.float32(types.int32), generate


@intrinsic
def _int_of(context: Any, x: Any) -> Any:
    """Cut to an int32; Numba's own conversion goes by way of 64 bits, which AVX2 has no vectors for."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.fptosi(arguments[0], ir.IntType(32))

    return types.int32(types.float32), generate


def log(x: Any) -> Any:
    """Natural logarithm of a number that is at least 1e-37, or NaN or infinite; see `exp`."""
    return math.log(x)


def exp(x: Any) -> Any:
    """Exponential of a number from -87 to 88, or NaN; float32 in, float32 out, as `log`.

    Source of the polynomials: S. L. Moshier, Cephes Mathematical Library, logf and expf.
    """
    return math.exp(x)


def _log_float64(x: Any) -> Any:
    return math.log(x)


def _exp_float64(x: Any) -> Any:
    return math.exp(x)


@overload(log)
def _log(x: Any) -> Any:
    if x != types.float32:
        return _log_float64

    def log_float32(x: Any) -> Any:
        bits = _bits_of(x)
        # 0x3F3504F3 is sqrt(1/2): the mantissa m lies between that and sqrt(2)
        exponent = (bits - _i4(0x3F3504F3)) >> _i4(23)
        m = _float_of(bits - (exponent << _i4(23))) - _f4(1)
        y = _f4(7.0376836292e-2) * m - _f4(1.1514610310e-1)
        y = y * m + _f4(1.1676998740e-1)
        y = y * m - _f4(1.2420140846e-1)
        y = y * m + _f4(1.4249322787e-1)
        y = y * m - _f4(1.6668057665e-1)
        y = y * m + _f4(2.0000714765e-1)
        y = y * m - _f4(2.4999993993e-1)
        y = y * m + _f4(3.3333331174e-1)
        square = m * m
        y = y * m * square - _f4(2.12194440e-4) * _f4(exponent) - _f4(0.5) * square
        y = m + y + _f4(0.693359375) * _f4(exponent)
        return y if x < _f4(numpy.inf) else x

    return log_float32


@overload(exp)
def _exp(x: Any) -> Any:
    if x != types.float32:
        return _exp_float64

    def exp_float32(x: Any) -> Any:
        n = numpy.floor(x * _f4(1.44269504088896341) + _f4(0.5))
        r = x - n * _f4(0.693359375) + n * _f4(2.12194440e-4)
        y = _f4(1.9875691500e-4) * r + _f4(1.3981999507e-3)
        y = y * r + _f4(8.3334519073e-3)
        y = y * r + _f4(4.1665795894e-2)
        y = y * r + _f4(1.6666665459e-1)
        y = y * r + _f4(5.0000001201e-1)
        y = y * r * r + r + _f4(1)
        return y * _float_of((_int_of(n) + _i4(127)) << _i4(23))

    return exp_float32


@njit(inline="always")
def four_normals(column: Any, row: Any, key0: Any, key1: Any) -> Any:
    """Draw the four standard normals that belong to a counter of two words, in float32.

    Args:
        column: First word, uint32.
        row: Second word, uint32.
        key0: First half of the key, uint32.
        key1: Second half.

    Returns:
        Four numbers of float32.

    Source: Philox4x32-10, Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC 2011;
    Box and Muller, "A note on the generation of random normal deviates", 1958.
    """
    a, b, c, d = philox(column, row, key0, key1)
    first, second = _box_muller(a, b)
    third, fourth = _box_muller(c, d)
    return first, second, third, fourth


@njit(inline="always")
def philox(first: Any, second: Any, key0: Any, key1: Any) -> Any:
    """Hash a counter under a key: Philox4x32 with ten rounds, the counter's other words 0."""
    a, b, c, d = first, second, _u4(0), _u4(0)
    for _ in range(10):
        left, right = _u8(0xD2511F53) * _u8(a), _u8(0xCD9E8D57) * _u8(c)
        a = _u4(right >> _u8(32)) ^ b ^ key0
        c = _u4(left >> _u8(32)) ^ d ^ key1
        b, d = _u4(right), _u4(left)
        key0 = _u4(key0 + _u4(0x9E3779B9))
        key1 = _u4(key1 + _u4(0xBB67AE85))
    return a, b, c, d


@njit(inline="always")
def _box_muller(a: Any, b: Any) -> Any:
    # 24 bits are all that a float32 holds; 0.5 keeps the logarithm off zero
    uniform = (_f4(_i4(a >> _u4(8))) + _f4(0.5)) * _f4(2**-24)
    radius = numpy.sqrt(_f4(-2) * log(uniform))
    # b / 2^32 of a full turn: the nearest quarter, and what is left of it in radians
    quarter = (b + _u4(0x20000000)) >> _u4(30)
    angle = _f4(_i4(b - (quarter << _u4(30)))) * _f4(2 * math.pi / 2**32)
    square = angle * angle
    sine = (_f4(-1.9515295891e-4) * square + _f4(8.3321608736e-3)) * square
    sine = (sine - _f4(1.6666654611e-1)) * square * angle + angle
    cosine = (_f4(2.443315711809948e-5) * square - _f4(1.388731625493765e-3)) * square
    cosine = (cosine + _f4(4.166664568298827e-2)) * square * square - _f4(0.5) * square + _f4(1)
    is_odd = (quarter & _u4(1)) != _u4(0)
    y = cosine if is_odd else sine
    x = sine if is_odd else cosine
    y = -y if (quarter & _u4(2)) != _u4(0) else y
    x = -x if ((quarter + _u4(1)) & _u4(2)) != _u4(0) else x
    return radius * y, radius * x
