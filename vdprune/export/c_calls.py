"""The calls of C functions that run a network, and the arrays that they take."""

import math
import re
from collections.abc import Iterable
from typing import Any

import numpy

from vdprune.errors import ArgumentError
from vdprune.export.c_functions import FUNCTIONS, HELPERS, MATHEMATICAL
from vdprune.runtime.arena import Arena
from vdprune.runtime.layers import ACTIVATIONS, Layer, Layers
from vdprune.sparse_rows import compress

_INDEX_TYPES = ("uint8", "uint16", "uint32")
_MOST = 2**28  # of a stride and its like: sums of a few of them fit int32_t
_PER_LINE = 8  # numbers of an array


class Calls:
    """Writes them; the example is x, the results y, and what is in between lies in work.

    Args:
        layers: The network, of one layer at least.
    """

    def __init__(self, layers: Layers) -> None:
        self.calls: list[str] = []
        self.arrays: list[str] = []
        self._layers = layers
        self._used: set[str] = set()
        self._arena = Arena()
        self._places = {0: ("x", 0)}
        self._last_uses = {i: n for n, layer in enumerate(layers.layers, 1) for i in layer.sources}

    @property
    def includes(self) -> list[str]:
        """Headers of C's library."""
        return ["<math.h>", "<stdint.h>"] if self._used & MATHEMATICAL else ["<stdint.h>"]

    @property
    def functions(self) -> list[str]:
        """Functions that are called, of those the types of indices."""
        found = []
        for name, text in FUNCTIONS.items():
            types = [kind for kind in _INDEX_TYPES if f"{name}_{kind}" in self._used]
            found += [text.replace("INDEX", kind) for kind in types]
            found += [text] if name in self._used else []
        helpers = [text for name, text in HELPERS.items() if any(name in part for part in found)]
        return helpers + found

    @property
    def work_size(self) -> int:
        """How many numbers are kept at the same time."""
        return self._arena.size

    def add_all(self) -> None:
        """Write the calls, in their order."""
        layers = self._layers
        if layers.scale != 1 or layers.mean.any():
            size = layers.mean.size
            self._places[0] = ("work", self._arena.take(size))
            mean = self._array("float", "mean", layers.mean)
            self._call("scaling", "x", self._at(0), size, *_write_floats([layers.scale]), mean)
        for number, layer in enumerate(layers.layers, 1):
            is_last = number == len(layers.layers)
            size = math.prod(layer.out_shape)
            self._places[number] = ("y", 0) if is_last else ("work", self._arena.take(size))
            self._add(number, layer)
            if layer.activation:
                has_parameter = ACTIVATIONS[layer.activation] is not None
                parameters = _write_floats([layer.parameter] * has_parameter)
                self._call(f"apply_{layer.activation}", self._at(number), size, *parameters)
            self._give_back(number)
        if not self.work_size:
            self.calls.append("(void)work")

    def _give_back(self, number: int) -> None:
        for value in {*self._layers.layers[number - 1].sources, number}:
            buffer, place = self._places[value]
            if buffer == "work" and self._last_uses.get(value, number) == number:
                self._arena.give_back(place)

    def _at(self, value: int, shift: int = 0) -> str:
        buffer, place = self._places[value]
        return f"{buffer} + {place + shift}" if place + shift else buffer

    def _size(self, value: int) -> int:
        layers = self._layers
        return math.prod(layers.layers[value - 1].out_shape) if value else layers.mean.size

    def _call(self, function: str, *arguments: Any) -> None:
        self._used.add(function)
        self.calls.append(f"{function}({', '.join(map(str, arguments))})")

    def _add(self, number: int, layer: Layer) -> None:
        x, y = self._at(layer.sources[0]), self._at(number)
        channels, size = layer.out_shape[0] if layer.out_shape else 1, math.prod(layer.out_shape)
        if layer.W is not None and layer.W.ndim == 4:
            window = self._window(number, layer, layer.W.shape[2:])
            groups = layer.attributes["groups"]
            self._call_sparse(number, layer, x, y, channels, layer.in_shape[0], groups, window)
        elif layer.kind == "linear":
            self._call_sparse(number, layer, x, y, channels)
        elif layer.kind in ("max_pooling_2d", "average_pooling_2d"):
            window = self._window(number, layer, layer.attributes["ksize"])
            self._call(layer.kind, x, y, channels, window)
        elif layer.kind == "affine":
            W, b = (self._array("float", f"{r}{number}", getattr(layer, r)) for r in ("W", "b"))
            self._call("affine", x, y, channels, size // channels, W, b)
        elif layer.kind == "concatenate":
            shift = 0
            for source in layer.sources:
                self._call("copy", self._at(source), self._at(number, shift), self._size(source))
                shift += self._size(source)
        else:
            self._call("copy" if layer.kind == "add" else layer.kind, x, y, size)
            for source in layer.sources[1:]:
                self._call("add", self._at(source), y, size)

    def _call_sparse(self, number: int, layer: Layer, *arguments: Any) -> None:
        """Call a function that takes weights as rows."""
        W: Any = layer.W
        rows = compress(W)
        counts = numpy.diff(rows.indptr)
        most = max(counts.max(), rows.indices.max(initial=0))
        kind = next(kind for kind in _INDEX_TYPES if most <= numpy.iinfo(kind).max)
        self.arrays.append(
            f"/* {make_harmless(layer.name)}: {tell_shape(W.shape)}, {rows.data.size} weights */"
        )
        self._call(
            f"{layer.kind}_{kind}",
            *arguments,
            self._array("float", f"weights{number}", rows.data),
            self._array(f"{kind}_t", f"columns{number}", rows.indices),
            self._array(f"{kind}_t", f"counts{number}", counts),
            self._array("float", f"bias{number}", layer.b),
        )

    def _window(self, number: int, layer: Layer, kernel: Any) -> str:
        given = {name: layer.attributes.get(name, [1, 1]) for name in ("stride", "pad", "dilate")}
        pairs = {"size": layer.in_shape[1:], "out": layer.out_shape[1:], "kernel": kernel, **given}
        if any(n >= _MOST for pair in pairs.values() for n in pair):
            raise ArgumentError(
                f"{make_harmless(layer.name)} has a window with {given}: in C source, each number "
                f"has to be less than {_MOST:,}"
            )
        fields = ", ".join(f".{name} = {{{a}, {b}}}" for name, (a, b) in pairs.items())
        self.arrays.append(f"static const struct window window{number} = {{{fields}}};")
        return f"&window{number}"

    def _array(self, kind: str, name: str, array: Any) -> str:
        flat = array.reshape(-1)
        flat = flat if flat.size else numpy.zeros(1, flat.dtype)  # C knows no empty arrays
        numbers = _write_floats(flat) if kind == "float" else [str(n) for n in flat]
        lines = (", ".join(numbers[i : i + _PER_LINE]) for i in range(0, len(numbers), _PER_LINE))
        body = ",\n    ".join(lines)
        self.arrays.append(f"static const {kind} {name}[{len(numbers)}] = {{\n    {body}}};")
        return name


def _write_floats(values: Any) -> list[str]:
    with numpy.errstate(over="ignore"):
        floats = numpy.asarray(values, numpy.float32)
    if not numpy.isfinite(floats).all():
        raise ArgumentError("the network has numbers that are infinite or none: C can't write them")
    return [f"{value!s}f" for value in floats]


def tell_shape(shape: Iterable[int]) -> str:
    """Return a shape as in 3 x 4."""
    return " x ".join(map(str, shape))


def make_harmless(text: str) -> str:
    """Return a text without what could end a comment."""
    return re.sub(r"[^A-Za-z0-9_.,: ()/-]", "_", text)
