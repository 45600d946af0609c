"""Few distinct values per array, so that a packed file is small."""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy

from vdprune.datasets import Split
from vdprune.errors import ArgumentError
from vdprune.evaluation import Evaluation, evaluate_network, is_at_most
from vdprune.formats.packed import pack_weights
from vdprune.formats.packed_folding import fold_weights, replace_arrays
from vdprune.formats.weights import Weights
from vdprune.runtime import make_network

MOST_BITS = 8

_ROUNDS = 100  # of Lloyd's algorithm; it is done after fewer, mostly
_LEAST_POWER = -149  # of 2 that float32 can hold
_MORE_BITS = 3  # of each value of a codebook, beyond those that tell so many values apart


def quantise(weights: Weights, bits: int | Mapping[str, int]) -> Weights:
    """Give each array a codebook: its nonzero numbers become the nearest of a few.

    Biases and statistics are quantised as weights are: on a network of a thousand weights their bytes
    count as much. Zeros stay, and so do scalars and whole numbers. The values themselves are rounded to
    3 bits more than tell so many apart, since a file holds each of them.

    Args:
        weights: The network.
        bits: 1 to 8; an array gets at most ``2**bits`` distinct nonzero values. By path, or the same
            for all; what is not named stays as it is.

    Returns:
        The network with float32 arrays of few values.

    Raises:
        ArgumentError: ``bits`` is out of range, or names an array that is not there.
    """
    arrays = {**weights.weights, **weights.others}
    if not isinstance(bits, Mapping):
        bits = dict.fromkeys(find_quantisable(weights), bits)
    for path, number in bits.items():
        if path not in arrays:
            raise ArgumentError(f"there is no array {path!r}, only {', '.join(arrays)}")
        if not 1 <= number <= MOST_BITS:
            raise ArgumentError(f"bits of {path} is {number}: it must be 1 to {MOST_BITS}")
    return replace_arrays(weights, {path: _quantise(arrays[path], bits[path]) for path in bits})


def find_quantisable(weights: Weights) -> list[str]:
    """Tell which arrays of a network can be quantised: all but scalars and whole numbers."""
    arrays = {**weights.weights, **weights.others}
    return [path for path, array in arrays.items() if array.dtype.kind == "f" and array.size > 1]


def choose_bits(weights: Weights, examples: Split, max_error_increase: float) -> Weights:
    """Quantise a network to as few bytes as its error allows.

    Starts with `MOST_BITS` for each array. Then, as long as the error allows, the array has a bit less
    for which the loss rises least per byte that this saves: the loss tells good from bad where the error
    is mostly chance. Counted are the examples that become wrong and those that become right: the latter
    do not make up for the former, since among many candidates some are lucky on the examples they are
    chosen by, and new examples are less sure than those that were learned. What `fold_weights` can fold
    is folded, if that makes the file smaller.

    Args:
        weights: The network.
        examples: What error and loss are measured on; not the test examples.
        max_error_increase: How many examples may become wrong or right, in percent of all; the error on
            them is then at most so many percentage points larger than the network's own.

    Returns:
        The quantised network.

    Raises:
        ArgumentError: ``max_error_increase`` is negative, or too small even for `MOST_BITS`, or the
            network can't be run.
    """
    if not max_error_increase >= 0:
        raise ArgumentError(
            f"max_error_increase is {max_error_increase}: it must be 0 percentage points or more"
        )
    own = _evaluate(weights, examples)
    source = min(
        (weights, fold_weights(weights)),
        key=lambda network: len(pack_weights(quantise(network, MOST_BITS))),
    )
    now = _Candidate.of(quantise(source, MOST_BITS), examples, own)
    if not is_at_most(now.changed, max_error_increase):
        raise ArgumentError(
            f"even with {MOST_BITS} bits, {now.changed:.4g} % of {examples.description} become wrong or "
            f"right, {max_error_increase:g} % are allowed: allow more, or write another format"
        )
    bits = dict.fromkeys(find_quantisable(source), MOST_BITS)
    tried: dict[
        str, tuple[_Candidate, _Candidate]
    ] = {}  # the network as it was, and with a bit less
    while bits:
        for path in bits.keys() - tried.keys():
            tried[path] = now, _take_bit(source, now, path, bits, examples, own)
        path = min(bits, key=lambda path: tried[path][0].price(tried[path][1]))
        before, fewer = tried.pop(path)
        if before is not now:
            fewer = _take_bit(source, now, path, bits, examples, own)
        if fewer.size < now.size and is_at_most(fewer.changed, max_error_increase):
            now, bits[path] = fewer, bits[path] - 1
        if now is not fewer or bits[path] == 1:
            del bits[path]
    return now.weights


@dataclass(frozen=True)
class _Candidate:
    """A quantised network, its file's size, what becomes wrong or right in percent, and its loss."""

    weights: Weights
    size: int
    changed: float
    loss: float

    @classmethod
    def of(cls, weights: Weights, examples: Split, own: Evaluation) -> "_Candidate":
        found = _evaluate(weights, examples)
        assert found.wrong is not None and own.wrong is not None
        changed = 100 * float((found.wrong != own.wrong).mean())
        return cls(weights, len(pack_weights(weights)), changed, found.loss)

    def price(self, smaller: "_Candidate") -> float:
        """Tell how much the loss rises per byte saved."""
        saved = self.size - smaller.size
        return (smaller.loss - self.loss) / saved if saved > 0 else math.inf


def _take_bit(
    source: Weights,
    now: _Candidate,
    path: str,
    bits: dict[str, int],
    examples: Split,
    own: Evaluation,
) -> _Candidate:
    fewer = quantise(source, {path: bits[path] - 1})
    array = {**fewer.weights, **fewer.others}[path]
    return _Candidate.of(replace_arrays(now.weights, {path: array}), examples, own)


def _evaluate(weights: Weights, examples: Split) -> Evaluation:
    return evaluate_network(make_network(weights, 1, "sparse"), examples)


def _quantise(array: numpy.ndarray, bits: int) -> numpy.ndarray:
    array = array.astype(numpy.float32)
    values = numpy.sort(array[array != 0].astype(numpy.float64))
    if not values.size:
        return array
    codebook = _round(_find_codebook(values, 2**bits), bits + _MORE_BITS)
    result = numpy.zeros_like(array)
    result[array != 0] = codebook[_nearest(array[array != 0], codebook)]
    return result


def _find_codebook(values: numpy.ndarray, size: int) -> numpy.ndarray:
    """Find values by k-means, from two starts; the one that is nearer to the numbers is taken.

    One start has equal distances, the other as many values per distance as the cube root of the numbers'
    density asks for, which is best for many values.

    Source: Panter and Dite, "Quantization distortion in pulse-count modulation with nonuniform spacing
    of levels", 1951.
    """
    places = numpy.arange(1, 2 * size, 2) / (2 * size)
    starts = []
    for power in (1, 2 / 3):
        way = numpy.concatenate([[0], numpy.cumsum(numpy.diff(values) ** power)])
        starts.append(numpy.unique(numpy.interp(places * way[-1], way, values)))
    found = [_iterate(values, start) for start in starts]
    return min(found, key=lambda codebook: _distortion(values, codebook))


def _iterate(values: numpy.ndarray, codebook: numpy.ndarray) -> numpy.ndarray:
    """Run Lloyd's algorithm on sorted numbers."""
    for _ in range(_ROUNDS):
        labels = _nearest(values, codebook)
        counts = numpy.bincount(labels, minlength=len(codebook))
        sums = numpy.bincount(labels, values, len(codebook))
        new = sums[counts > 0] / counts[counts > 0]
        if numpy.array_equal(new, codebook):
            break
        codebook = new
    return codebook


def _nearest(values: numpy.ndarray, codebook: numpy.ndarray) -> numpy.ndarray:
    return numpy.searchsorted((codebook[1:] + codebook[:-1]) / 2, values)


def _distortion(values: numpy.ndarray, codebook: numpy.ndarray) -> float:
    return float(((values - codebook[_nearest(values, codebook)]) ** 2).sum())


def _round(codebook: numpy.ndarray, bits: int) -> numpy.ndarray:
    """Round values to whole numbers times a power of 2, such that some 2**bits of these are in range.

    None becomes 0, and neither does the mean of numbers of both signs, which can be 0.
    """
    _, exponent = numpy.frexp(codebook[-1] - codebook[0] or codebook[0])
    step = numpy.ldexp(1.0, max(exponent - bits, _LEAST_POWER))
    rounded = numpy.round(codebook / step)
    rounded[rounded == 0] = numpy.where(codebook[rounded == 0] < 0, -1, 1)
    return numpy.unique((rounded * step).astype(numpy.float32))
