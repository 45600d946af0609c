"""Few distinct values per array, so that a packed file is small."""

from collections.abc import Callable, Mapping

import numpy

from vdprune.datasets import Split
from vdprune.errors import ArgumentError
from vdprune.evaluation import evaluate_network
from vdprune.formats.packed import pack_weights
from vdprune.formats.packed_folding import fold_weights, replace_arrays
from vdprune.formats.weights import Weights
from vdprune.runtime import make_network

MOST_BITS = 8

_ROUNDS = 100  # of Lloyd's algorithm; it is done after fewer, mostly
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

    Starts with one bit more for all arrays than are needed if all have the same; then, as long as the
    error allows, the array where that saves most has one bit less. What `fold_weights` can fold is
    folded, if that makes the file smaller.

    Args:
        weights: The network.
        examples: What the error is measured on; not the test examples.
        max_error_increase: Percentage points by which the error may be larger than the network's own.

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
    own = _measure_error(weights, examples)
    source = min(
        (weights, fold_weights(weights)),
        key=lambda network: len(pack_weights(quantise(network, MOST_BITS))),
    )

    def is_good(network: Weights) -> bool:
        return _measure_error(network, examples) <= own + max_error_increase

    for start in range(1, MOST_BITS + 1):
        network = quantise(source, start)
        if is_good(network):
            return _save_bits(source, network, start, is_good)
    raise ArgumentError(
        f"even with {MOST_BITS} bits, the error on {examples.description} is "
        f"{_measure_error(network, examples):.4g} %, {max_error_increase:g} percentage points more than "
        f"{own:.4g} % are allowed: allow more, or write another format"
    )


def _save_bits(
    source: Weights, network: Weights, start: int, is_good: Callable[[Weights], bool]
) -> Weights:
    """Take bits from one array after another, where most is saved first."""
    more = quantise(source, min(start + 1, MOST_BITS))
    if start < MOST_BITS and is_good(more):
        network, start = more, start + 1
    bits = dict.fromkeys(find_quantisable(source), start)
    while bits:
        tried = {}
        for path in bits:
            fewer = quantise(source, {path: bits[path] - 1})
            tried[path] = replace_arrays(network, {path: {**fewer.weights, **fewer.others}[path]})
        sizes = {path: len(pack_weights(less)) for path, less in tried.items()}
        path = min(sizes, key=sizes.__getitem__)
        if sizes[path] < len(pack_weights(network)) and is_good(tried[path]):
            network = tried[path]
            bits[path] -= 1
        else:
            del bits[path]
        bits = {path: number for path, number in bits.items() if number > 1}
    return network


def _measure_error(weights: Weights, examples: Split) -> float:
    return evaluate_network(make_network(weights, 1, "sparse"), examples).error


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
    """Find values by k-means, from two starts; the one that is nearer to all numbers is taken."""
    quantiles = values[(numpy.arange(size) * 2 + 1) * len(values) // (2 * size)]
    evenly = numpy.linspace(values[0], values[-1], 2 * size + 1)[1::2]
    found = [_iterate(values, numpy.unique(start)) for start in (quantiles, evenly)]
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
    """Round values to whole numbers times a power of 2, such that some 2**bits of these are in range."""
    _, exponent = numpy.frexp(codebook[-1] - codebook[0] or codebook[0])
    step = numpy.ldexp(1.0, exponent - bits)
    rounded = numpy.round(codebook / step)
    rounded[rounded == 0] = numpy.sign(codebook[rounded == 0])
    return numpy.unique((rounded * step).astype(numpy.float32))
