"""Which images may lie in the arena with something worthless at the ends of their rows.

A sparse convolution computes rows as long as those of its padded input. Where its only reader does not
look at what is too much, it need not be taken out.
"""

from collections import Counter
from collections.abc import Sequence

from vdprune.runtime.layers import Layer, Layers


def find_pitches(layers: Layers, ways: Sequence[str]) -> dict[int, int]:
    """Find them.

    Args:
        layers: The network.
        ways: For each layer ``sparse`` or ``dense``.

    Returns:
        By the number of a value, counted from 1, how far the rows of its images lie apart.
    """
    uses = Counter(source for layer in layers.layers for source in layer.sources)
    pitches = {}
    for layer in layers.layers:
        if layer.kind == "max_pooling_2d" and _looks_at_whole_windows(layer):
            (number,) = layer.sources
            source = layers.layers[number - 1]
            if number and uses[number] == 1 and _has_long_rows(source, ways[number - 1]):
                pitches[number] = source.in_shape[2] + 2 * source.attributes["pad"][1]
    return pitches


def _looks_at_whole_windows(pooling: Layer) -> bool:
    a = pooling.attributes
    sizes = zip(pooling.in_shape[1:], pooling.out_shape[1:], a["ksize"], a["stride"], strict=True)
    fits = all((out - 1) * step + kernel <= size for size, out, kernel, step in sizes)
    return tuple(a["ksize"]) == (2, 2) and tuple(a["pad"]) == (0, 0) and fits


def _has_long_rows(layer: Layer, way: str) -> bool:
    is_sparse = layer.kind == "convolution_2d" and way == "sparse"
    return is_sparse and tuple(layer.attributes["stride"]) == (1, 1)
