"""Whole numbers in few bits: models that learn, and the range coder of the package constriction.

Each function that codes runs in both directions: with an `Encoder` it writes what it is given and
returns it, with a `Decoder` it ignores what it is given and returns what was written. So a writer and
its reader can't differ.
"""

import importlib
import sys
from typing import Any

import numpy

from vdprune.errors import ArgumentError

_TOTAL = 2**24  # the sum of a model's frequencies: constriction's precision
_CHUNK = 16  # bits written at a time where all values are as likely
_SEEN = 8  # what each number seen adds to its count, which starts with 1 ... _PRIOR
_PRIOR = 256  # sum of the counts that a model of gaps starts with, about
_ONE = 2**30  # one, as a fixed-point number

# Buckets of numbers: 0, 1, 2, 3, 4-5, 6-7, 8-11, 12-15, 16-23, ..., to 2**64 - 1
_WIDTHS = numpy.array([0, 0, *(e for e in range(63) for _ in range(2))], numpy.uint64)
_STARTS = numpy.array(
    [0, 1, *(2**e + half * 2 ** (e - 1) for e in range(1, 64) for half in range(2))], numpy.uint64
)


class Encoder:
    """Writes.

    Raises:
        ArgumentError: constriction is not installed.
    """

    def __init__(self) -> None:
        self._library = load_constriction()
        self._coder = self._library.queue.RangeEncoder()

    def code(self, values: numpy.ndarray, count: int, frequencies: numpy.ndarray) -> numpy.ndarray:
        """Write symbols of one model.

        Args:
            values: The symbols.
            count: How many.
            frequencies: How often each symbol is expected, of `_TOTAL`.

        Returns:
            The symbols.
        """
        self._coder.encode(values.astype(numpy.int32), _categorical(self._library, frequencies))
        return values

    def code_evenly(self, values: numpy.ndarray, sizes: numpy.ndarray) -> numpy.ndarray:
        """Write numbers that can be anything below a bound.

        Args:
            values: The numbers.
            sizes: Their bounds, powers of 2.

        Returns:
            The numbers.
        """
        self._coder.encode(values.astype(numpy.int32), self._library.model.Uniform(), sizes)
        return values

    def data(self) -> bytes:
        """Return what was written, in as few bytes as tell it.

        Any number in the coder's last interval will do: one that ends in zeros is taken, without these.
        """
        data = self._coder.get_compressed().astype(">u4").tobytes()
        _, (_, interval) = self._coder.pos()
        number = int.from_bytes(data, "big")
        for unit in (2**24, 2**16, 2**8):
            rounded = -(-number // unit) * unit
            if data and (rounded - number + 1) * 2**32 < interval:
                return rounded.to_bytes(len(data), "big").rstrip(b"\0")
        return data.rstrip(b"\0")


class Decoder:
    """Reads.

    Args:
        data: What an `Encoder` wrote; where it ends, zeros follow.

    Raises:
        ArgumentError: constriction is not installed.
    """

    def __init__(self, data: bytes) -> None:
        self._library = load_constriction()
        words = numpy.frombuffer(data + bytes(-len(data) % 4), ">u4").astype(numpy.uint32)
        self._coder = self._library.queue.RangeDecoder(words)

    def code(self, values: numpy.ndarray, count: int, frequencies: numpy.ndarray) -> numpy.ndarray:
        """Read ``count`` symbols, as `Encoder.code` wrote them."""
        return self._coder.decode(_categorical(self._library, frequencies), count)

    def code_evenly(self, values: numpy.ndarray, sizes: numpy.ndarray) -> numpy.ndarray:
        """Read numbers, as `Encoder.code_evenly` wrote them."""
        return self._coder.decode(self._library.model.Uniform(), sizes)


Coder = Encoder | Decoder


def code_symbols(
    coder: Coder, values: numpy.ndarray, count: int, counts: numpy.ndarray
) -> numpy.ndarray:
    """Code numbers from 0, by how often each of them came before.

    What came before is taken in at once after 1 number eight times, then after 2, 2, 2, 2, 3, ...: one
    more than an eighth of those before.

    Args:
        coder: The coder.
        values: The numbers.
        count: How many.
        counts: For each number that is possible, how often it is taken to have come at the start.

    Returns:
        The numbers.
    """
    found = numpy.zeros(count, numpy.int64)
    counts, start = counts.copy(), 0
    while start < count and len(counts) > 1:
        stop = min(count, start + 1 + start // 8)
        found[start:stop] = coder.code(values[start:stop], stop - start, _frequencies(counts))
        counts += _SEEN * numpy.bincount(found[start:stop], minlength=len(counts))
        start = stop
    return found


def code_gaps(coder: Coder, gaps: numpy.ndarray, count: int, most: int) -> numpy.ndarray:
    """Code numbers from 0 that are the likelier the smaller they are.

    Args:
        coder: The coder.
        gaps: The numbers, uint64.
        count: How many.
        most: The largest one that is possible, below 2**64.

    Returns:
        The numbers, uint64; a damaged file can make them larger than ``most``.
    """
    size = int(numpy.searchsorted(_STARTS, numpy.uint64(most), "right"))
    buckets = numpy.searchsorted(_STARTS, gaps, "right") - 1
    rests = gaps - _STARTS[buckets]
    buckets = code_symbols(coder, buckets, count, _expect(count, most, size))
    return _STARTS[buckets] + _code_bits(coder, rests, _WIDTHS[buckets])


def code_number(coder: Coder, value: int, most: int) -> int:
    """Code one number from 0 to ``most``.

    Args:
        coder: The coder.
        value: The number.
        most: The largest one that is possible.

    Returns:
        The number.

    Raises:
        ValueError: It is larger, in a damaged file.
    """
    (found,) = code_gaps(coder, numpy.array([value], numpy.uint64), 1, most).tolist()
    if found > most:
        raise ValueError(f"one of its numbers is {found:,}, at most {most:,} is possible")
    return found


def code_subset(coder: Coder, places: numpy.ndarray, size: int, least: int = 0) -> numpy.ndarray:
    """Code which of some places are taken.

    Args:
        coder: The coder.
        places: The places, rising.
        size: How many there are.
        least: How many are taken at least.

    Returns:
        The places, int64.

    Raises:
        ValueError: There are not that many, in a damaged file.
    """
    count = least + code_number(coder, max(0, len(places) - least), size - least)
    gaps = (numpy.diff(places, prepend=-1) - 1).astype(numpy.uint64)
    found = code_gaps(coder, gaps, count, size - count).astype(numpy.int64)
    found = numpy.cumsum(found + 1) - 1
    if count and found[-1] >= size:
        raise ValueError(f"one of its places is {found[-1]:,}, there are {size:,}")
    return found


def _code_bits(coder: Coder, values: numpy.ndarray, widths: numpy.ndarray) -> numpy.ndarray:
    """Code numbers of some bits each, the highest first, `_CHUNK` bits at a time."""
    found = numpy.zeros(len(widths), numpy.uint64)
    for shift in range(64 - _CHUNK, -1, -_CHUNK):
        bits = numpy.clip(widths.astype(numpy.int64) - shift, 0, _CHUNK)
        there = numpy.flatnonzero(bits)
        if there.size:
            parts = values[there] if len(values) else values
            parts = (parts >> numpy.uint64(shift)) & numpy.uint64(2**_CHUNK - 1)
            sizes = (1 << bits[there]).astype(numpy.int32)
            parts = coder.code_evenly(parts, sizes)
            found[there] |= parts.astype(numpy.uint64) << numpy.uint64(shift)
    return found


def _expect(count: int, most: int, size: int) -> numpy.ndarray:
    """Expect gaps between ``count`` places that are taken and ``most`` others, all as likely."""
    free = _ONE * most // max(1, most + count)
    left = [_power(free, start) for start in _STARTS[:size].tolist()] + [0]
    shares = [1 + (left[i] - left[i + 1]) * _PRIOR // _ONE for i in range(size)]
    return numpy.array(shares, numpy.int64)


def _power(base: int, exponent: int) -> int:
    """Raise a fixed-point number below one to a power, in whole numbers: the same on all machines."""
    result = _ONE
    while exponent and result:
        if exponent & 1:
            result = result * base // _ONE
        base = base * base // _ONE
        exponent >>= 1
    return result


def _frequencies(counts: numpy.ndarray) -> numpy.ndarray:
    """Scale counts to frequencies that sum to `_TOTAL`, each of them at least 1."""
    free = _TOTAL - len(counts)
    scaled = counts * free // counts.sum()
    scaled[counts.argmax()] += free - scaled.sum()
    return scaled + 1


def _categorical(library: Any, frequencies: numpy.ndarray) -> Any:
    """Make constriction's model that has exactly these frequencies.

    It gives each symbol 1, and scales what it is given to the rest, here by exactly 1.0: nothing is
    rounded.
    """
    return library.model.Categorical((frequencies - 1).astype(numpy.float64), perfect=False)


def load_constriction() -> Any:
    """Import constriction.

    Returns:
        Its module of coders.

    Raises:
        ArgumentError: It is not installed.
    """
    try:
        return importlib.import_module("constriction").stream
    except ImportError:
        raise ArgumentError(
            "packed files need constriction 0.5 or later, which is not installed: "
            f"{sys.executable} -m pip install constriction"
        ) from None
