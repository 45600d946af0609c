"""Layers as the program that `vdprune.kernels.inference` runs."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy

from vdprune.kernels import inference
from vdprune.kernels import inference_layout as k
from vdprune.runtime.arena import Arena
from vdprune.runtime.layers import Layer, Layers
from vdprune.runtime.pitches import find_pitches
from vdprune.runtime.slices import slice_rows
from vdprune.sparse_rows import SparseRows, compress

_ACTIVATIONS = {
    "": k.NOTHING,
    "relu": k.RELU,
    "leaky_relu": k.LEAKY_RELU,
    "clipped_relu": k.CLIPPED_RELU,
    "elu": k.ELU,
    "sigmoid": k.SIGMOID,
    "tanh": k.TANH,
}
_KINDS = {
    "max_pooling_2d": k.MAX_POOLING,
    "average_pooling_2d": k.AVERAGE_POOLING,
    "copy": k.COPY,
    "affine": k.AFFINE,
    "softmax": k.SOFTMAX,
}
_SUMMED = 2**12  # numbers of results at a time: they stay in the first cache
_UNFOLDED = 2**18  # numbers of unfolded images at a time: they are multiplied while still in cache


@dataclass(frozen=True)
class Program:
    """What `vdprune.kernels.inference` needs.

    Args:
        numbers: What it is written down as, int32, but for weights, biases and the like, the bits of
            float32: see `vdprune.kernels.inference_layout`.
        room: Numbers of the arena for each example.
        outputs: Numbers of a result.
        has_products: Whether it multiplies with the BLAS library.
    """

    numbers: numpy.ndarray
    room: int
    outputs: int
    has_products: bool

    def run(self, x: numpy.ndarray, result: numpy.ndarray) -> None:
        """Run it on some examples.

        Args:
            x: Examples, shape (examples, features), contiguous, float32 or uint8.
            result: Results, shape (examples, outputs), float32.
        """
        inference.run(x, self.numbers, result)


def make_program(layers: Layers, ways: Sequence[str], examples: int) -> Program:
    """Lay out a network.

    Args:
        layers: The network.
        ways: For each layer ``sparse`` or ``dense``; those without weights have no choice.
        examples: How many are run at a time; a program for one is run with no more than one.

    Returns:
        The program.
    """
    return _Writer(layers, examples).write(ways)


def find_pixels(layers: Layers, examples: int) -> numpy.ndarray:
    """Find which numbers of an example a network reads.

    Args:
        layers: The network.
        examples: How many are run at a time: of one alone all are read, which takes less time than to
            leave some out.

    Returns:
        Their numbers, ascending, one at least: all, unless a linear layer with zeros takes them.
    """
    users = [layer for layer in layers.layers if 0 in layer.sources]
    if examples > 1 and len(users) == 1 and users[0].kind == "linear":
        assert users[0].W is not None
        pixels = numpy.flatnonzero(users[0].W.any(axis=0))
        return pixels if pixels.size else numpy.zeros(1, numpy.intp)
    return numpy.arange(layers.mean.size)


class _Writer:
    """Writes a program step by step."""

    def __init__(self, layers: Layers, examples: int) -> None:
        self._layers, self._examples = layers, examples
        self._steps: list[numpy.ndarray] = []
        self._pixels = find_pixels(layers, examples)
        self._indices = [self._pixels]
        self._floats: list[numpy.ndarray] = []
        self._pitches: dict[int, int] = {}
        self._arena = Arena()
        self._places = {0: self._arena.take(self._pixels.size)}
        last_uses = {
            source: number
            for number, layer in enumerate(layers.layers, 1)
            for source in layer.sources
        }
        self._ends: dict[int, list[int]] = {}
        for source, number in last_uses.items():
            self._ends.setdefault(number, []).append(source)

    def write(self, ways: Sequence[str]) -> Program:
        """Write all steps."""
        layers = self._layers
        self._pitches = find_pitches(layers, ways)
        for number, (layer, way) in enumerate(zip(layers.layers, ways, strict=True), 1):
            pitch = self._pitches.get(number, 0)
            shape = (*layer.out_shape[:2], pitch) if pitch else layer.out_shape
            self._places[number] = self._arena.take(math.prod(shape))
            self._write(layer, way, self._places[number], pitch)
            for source in self._ends.get(number, []):
                self._arena.give_back(self._places[source])
        header = numpy.zeros(k.HEADER, numpy.int64)
        header[k.STEPS], header[k.FEATURES] = len(self._steps), self._pixels.size
        header[k.LAST] = self._places[len(layers.layers)]
        header[k.ROOM], header[k.EXAMPLES] = self._arena.size, self._examples
        mean = layers.mean.reshape(-1)[self._pixels]
        header[k.SCALES] = self._floats_at(numpy.full(mean.size, layers.scale))
        self._floats_at(-mean)
        steps = numpy.array(self._steps)
        # indices are counted from their first, as long as it is not known how many steps come before
        steps[:, (k.STARTS, k.PLACES)] += header.size + steps.size
        parts = [header, steps.reshape(-1), *self._indices]
        header[k.FLOATS] = sum(part.size for part in parts)
        floats = numpy.concatenate(self._floats).view(numpy.int32)
        return Program(
            numpy.concatenate([*(part.astype(numpy.int32) for part in parts), floats]),
            self._arena.size,
            math.prod(layers.layers[-1].out_shape),
            self._has_products(steps[:, k.KIND]),
        )

    def _write(self, layer: Layer, way: str, target: int, pitch: int) -> None:
        source = self._places[layer.sources[0]]
        if layer.kind == "linear":
            self._linear(layer, way, source, target)
        elif layer.kind == "convolution_2d":
            self._convolution(layer, way, source, target, pitch)
        elif layer.kind == "add":
            self._add(layer, target)
        elif layer.kind == "concatenate":
            for number in layer.sources:
                size = self._size_of(number)
                row = self._begin(k.COPY, self._places[number], target, (size,), (size,))
                self._finish(row)
                target += size
        else:
            row = self._begin(_KINDS[layer.kind], source, target, layer.in_shape, layer.out_shape)
            if layer.kind == "affine":
                row[k.IN_CHANNELS : k.IN_CHANNELS + 3] = _channels_first(layer.in_shape)
                row[k.WEIGHTS], row[k.BIASES] = self._floats_at(layer.W), self._floats_at(layer.b)
            self._windows(row, layer, "ksize")
            row[k.IN_WIDTH] = self._pitches.get(layer.sources[0], row[k.IN_WIDTH])
            self._finish(row, layer)

    def _has_products(self, kinds: numpy.ndarray) -> bool:
        is_linear = (kinds == k.LINEAR_DENSE).any() and self._examples > 1
        return bool(is_linear or (kinds == k.CONVOLUTION_DENSE).any())

    def _size_of(self, number: int) -> int:
        return math.prod(self._layers.layers[number - 1].out_shape) if number else self._pixels.size

    def _begin(
        self, kind: int, source: int, target: int, in_shape: Any, out_shape: Any
    ) -> numpy.ndarray:
        row = numpy.zeros(k.LENGTH, numpy.int64)
        row[k.KIND], row[k.SOURCE], row[k.TARGET] = kind, source, target
        row[k.IN_CHANNELS : k.IN_CHANNELS + 3] = _three(in_shape)
        row[k.OUT_CHANNELS : k.OUT_CHANNELS + 3] = _three(out_shape)
        row[k.OUT_PITCH] = row[k.OUT_WIDTH]
        return row

    def _finish(self, row: numpy.ndarray, layer: Layer | None = None) -> None:
        if layer is not None:
            row[k.ACTIVATION] = _ACTIVATIONS[layer.activation]
        row[k.PARAMETER] = self._floats_at([0.0 if layer is None else layer.parameter])
        self._steps.append(row)

    def _windows(self, row: numpy.ndarray, layer: Layer, size: str) -> None:
        for name, place in ((size, k.KERNEL_Y), ("stride", k.STRIDE_Y), ("pad", k.PAD_Y)):
            if name in layer.attributes:
                row[place : place + 2] = layer.attributes[name]

    def _floats_at(self, array: Any) -> int:
        place = sum(part.size for part in self._floats)
        self._floats.append(numpy.asarray(array, numpy.float32).reshape(-1))
        return place

    def _sparse(self, row: numpy.ndarray, rows: SparseRows, places: numpy.ndarray) -> None:
        """Keep weights, and what each multiplies."""
        row[k.WEIGHTS] = self._floats_at(rows.data)
        row[k.STARTS] = sum(part.size for part in self._indices)
        self._indices += [rows.indptr, places]
        row[k.PLACES] = row[k.STARTS] + rows.indptr.size

    def _linear(self, layer: Layer, way: str, source: int, target: int) -> None:
        W: Any = layer.W
        if layer.sources == (0,):
            W = W[:, self._pixels]
        kind = k.LINEAR_SPARSE if way == "sparse" else k.LINEAR_DENSE
        row = self._begin(kind, source, target, W.shape[1:], W.shape[:1])
        if way == "sparse" and self._examples == 1:
            self._sliced(row, W, layer.b)
        else:
            row[k.BIASES] = self._floats_at(layer.b)
            if way == "sparse":
                rows = compress(W)
                self._sparse(row, rows, rows.indices)
            else:
                row[k.WEIGHTS] = self._floats_at(W)
        self._finish(row, layer)

    def _sliced(self, row: numpy.ndarray, W: numpy.ndarray, b: Any) -> None:
        slices = slice_rows(compress(W), k.SLICE)
        row[k.KIND] = k.LINEAR_SLICED
        row[k.BIASES] = self._floats_at(numpy.asarray(b)[slices.order])
        row[k.WEIGHTS] = self._floats_at(slices.data)
        row[k.STARTS] = sum(part.size for part in self._indices)
        self._indices += [slices.starts, slices.order, slices.indices]
        row[k.PLACES] = row[k.STARTS] + slices.starts.size + slices.order.size

    def _convolution(self, layer: Layer, way: str, source: int, target: int, pitch: int) -> None:
        shape, padding = layer.in_shape, layer.attributes["pad"]
        padded = None
        if any(padding):
            wide = (shape[0], *(n + 2 * p for n, p in zip(shape[1:], padding, strict=True)))
            padded = self._arena.take(math.prod(wide))
            row = self._begin(k.PAD, source, padded, shape, wide)
            row[k.PAD_Y : k.PAD_Y + 2] = padding
            self._finish(row)
            source, shape = padded, wide
        kind = k.CONVOLUTION_SPARSE if way == "sparse" else k.CONVOLUTION_DENSE
        row = self._begin(kind, source, target, shape, layer.out_shape)
        row[k.STRIDE_Y : k.STRIDE_Y + 2] = layer.attributes["stride"]
        row[k.BIASES] = self._floats_at(layer.b)
        if way == "sparse":
            self._sparse(row, *_shifted(layer, shape))
            rows = _SUMMED // (shape[2] * self._examples)
            row[k.ROWS] = max(1, min(layer.out_shape[1], rows))
            row[k.SCRATCH] = self._arena.take(int(row[k.ROWS]) * shape[2])
            self._arena.give_back(int(row[k.SCRATCH]))
            row[k.OUT_PITCH] = pitch or row[k.OUT_PITCH]
        else:
            self._unfolded(row, layer)
        self._finish(row, layer)
        if padded is not None:
            self._arena.give_back(padded)

    def _unfolded(self, row: numpy.ndarray, layer: Layer) -> None:
        W: Any = layer.W
        row[k.WEIGHTS] = self._floats_at(W)
        row[k.KERNEL_Y : k.KERNEL_Y + 2] = W.shape[2:]
        row[k.DILATE_Y : k.DILATE_Y + 2] = layer.attributes["dilate"]
        count, width = math.prod(W.shape[1:]), layer.out_shape[2]
        rows = max(1, min(layer.out_shape[1], _UNFOLDED // (count * width * self._examples)))
        row[k.ROWS] = rows
        row[k.SCRATCH] = self._arena.take((count + len(W)) * rows * width)
        self._arena.give_back(int(row[k.SCRATCH]))

    def _add(self, layer: Layer, target: int) -> None:
        first, *others = layer.sources
        size = (math.prod(layer.out_shape),)
        row = self._begin(k.COPY, self._places[first], target, size, size)
        self._finish(row, None if others else layer)
        for left, number in zip(reversed(range(len(others))), others, strict=True):
            row = self._begin(k.ADD, self._places[number], target, size, size)
            self._finish(row, None if left else layer)


def _channels_first(shape: tuple[int, ...]) -> tuple[int, ...]:
    return shape[0], math.prod(shape[1:]), 1


def _three(shape: Any) -> tuple[int, ...]:
    return tuple(shape) if len(shape) == 3 else (math.prod(shape), 1, 1)


def _shifted(layer: Layer, shape: tuple[int, ...]) -> tuple[SparseRows, numpy.ndarray]:
    """Find how far from a window's first pixel each weight's pixel lies, images one after the other."""
    W: Any = layer.W
    rows = compress(W)
    channels, down, across = numpy.unravel_index(rows.indices, W.shape[1:])
    filters = numpy.repeat(numpy.arange(len(W)), numpy.diff(rows.indptr))
    groups = layer.attributes["groups"]
    channels = channels + filters // (len(W) // groups) * W.shape[1]
    dilate = layer.attributes["dilate"]
    places = (channels * shape[1] + down * dilate[0]) * shape[2] + across * dilate[1]
    return rows, places
