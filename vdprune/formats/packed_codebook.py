"""The distinct values of an array in a packed file.

As in `vdprune.formats.packed_coding`, each function runs in both directions; for reading it is given
empty arrays.
"""

import math

import numpy

from vdprune.formats.packed_coding import Coder, code_gaps, code_number, code_symbols

MOST_VALUES = 256  # zero apart

_PRIOR = 6  # how often each value is taken to have come before: a value that came once counts 8
_MOST_BITS = 53  # of a whole number that is exact as a float64


def to_bits(array: numpy.ndarray) -> numpy.ndarray:
    """View numbers as unsigned whole numbers of their size; -0.0 is not zero there."""
    return numpy.ascontiguousarray(array).view(f"u{array.itemsize}")


def code_by_codebook(
    coder: Coder, values: numpy.ndarray, count: int, image: tuple[int, int] | None = None
) -> numpy.ndarray:
    """Code numbers as numbers of a codebook, and the codebook.

    Args:
        coder: The coder.
        values: The numbers.
        count: How many.
        image: For images, one after the other, height and width: a number is expected to be left
            neighbour + upper neighbour - the one before that, of the codebook's numbers.

    Returns:
        The numbers.

    Raises:
        ValueError: The file is damaged.
    """
    if not count:
        return values
    bits, symbols = numpy.unique(to_bits(values), return_inverse=True)
    codebook = bits.view(values.dtype)
    whole = _find_whole(codebook)
    size = 1 + code_number(coder, max(0, len(codebook) - 1), MOST_VALUES)
    if code_number(coder, int(whole is not None), 1):
        order = numpy.argsort(codebook)
        symbols = numpy.argsort(order)[symbols]
        codebook = _code_fixed_point(coder, *(whole or ([], 0)), size, values.dtype)
    else:
        codebook = _code_bits(coder, bits, size).view(values.dtype)
    if image and len(symbols):
        symbols = symbols.reshape(-1, *image)
        symbols = numpy.diff(numpy.diff(symbols, axis=1, prepend=0), axis=2, prepend=0) % size
    counts = numpy.full(size, _PRIOR)
    symbols = code_symbols(coder, symbols.reshape(-1), count, counts)
    if image:
        symbols = symbols.reshape(-1, *image).cumsum(axis=1).cumsum(axis=2).reshape(-1) % size
    return codebook[symbols]


def _find_whole(codebook: numpy.ndarray) -> tuple[list[int], int] | None:
    """Find the whole numbers that values are, times a power of 2.

    Returns:
        The numbers, rising, and the power; None if values are not finite, or -0.0, or these would be
        large, or whole numbers anyway.
    """
    if codebook.dtype.kind != "f" or not numpy.isfinite(codebook).all():
        return None
    if (numpy.signbit(codebook) & (codebook == 0)).any():
        return None
    ratios = [value.as_integer_ratio() for value in codebook.tolist()]
    below = max((bottom for _, bottom in ratios), default=1)
    numbers = sorted(top * (below // bottom) for top, bottom in ratios)
    shared = math.gcd(0, *(number & -number for number in numbers)) or 1
    numbers = [number // shared for number in numbers]
    if any(number.bit_length() > _MOST_BITS for number in numbers):
        return None
    return numbers, shared.bit_length() - below.bit_length()


def _code_fixed_point(
    coder: Coder, numbers: list[int], power: int, size: int, dtype: numpy.dtype
) -> numpy.ndarray:
    """Code rising values as whole numbers times a power of 2."""
    kind = numpy.finfo(dtype)
    least = int(kind.minexp) - int(kind.nmant)
    power = least + code_number(coder, max(0, power - least), int(kind.maxexp) - least)
    width = code_number(coder, max((n.bit_length() for n in numbers), default=0), _MOST_BITS)
    bound = 1 << width
    found = _code_rising(coder, [number + bound for number in numbers], size, 2 * bound)
    if power + width > int(kind.maxexp):
        raise ValueError(f"its codebook has numbers of 2**{power + width}")
    return numpy.ldexp(numpy.array([n - bound for n in found], numpy.float64), power).astype(dtype)


def _code_bits(coder: Coder, bits: numpy.ndarray, size: int) -> numpy.ndarray:
    """Code any values by their bits, but for the zeros that all of them end with."""
    width = 8 * bits.itemsize
    shared = math.gcd(0, *(value & -value for value in bits.tolist())) or 1
    shift = code_number(coder, shared.bit_length() - 1, width - 1)
    found = _code_rising(coder, [n >> shift for n in bits.tolist()], size, 1 << (width - shift))
    return numpy.array([n << shift for n in found], bits.dtype)


def _code_rising(coder: Coder, numbers: list[int], size: int, bound: int) -> list[int]:
    """Code rising whole numbers below a bound by the gaps between them."""
    gaps = [after - before - 1 for before, after in zip([-1, *numbers], numbers, strict=False)]
    coded = code_gaps(coder, numpy.array(gaps, numpy.uint64), size, bound - size)
    found, number = [], -1
    for gap in coded.tolist():
        number += gap + 1
        found.append(number)
    if number >= bound:
        raise ValueError(f"its codebook has the number {number:,}, {bound:,} are possible")
    return found
