"""The smallest weight file: codebooks and places, entropy-coded; docs/packed.md has it byte by byte."""

import math
import zlib
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy

from vdprune.errors import ArgumentError, FileFormatError
from vdprune.formats.layout import unpack
from vdprune.formats.packed_arrays import Context, code_array
from vdprune.formats.packed_codebook import MOST_VALUES, to_bits
from vdprune.formats.packed_coding import Decoder, Encoder
from vdprune.formats.packed_header import deflate_header, inflate_header
from vdprune.formats.weights import Weights
from vdprune.graph import Graph
from vdprune.graph.graph import is_shape
from vdprune.storage import MAX_GZIP_RATIO, PACKED, tell_unreadable, write_atomically
from vdprune.version import __version__

VERSION = 1

_START, _CHECKSUM = len(PACKED) + 1, 4
_SMALL = 2**26  # numbers that may be zeros, however little is stored
_DTYPES = ("f2", "f4", "f8", "i1", "i2", "i4", "i8", "b1")
_DTYPE = "f4"  # of arrays whose dtype is not said
# what a header says of the file that it was read from
_OF_FILES = (
    *("format", "format_version", "vdprune_version"),
    *("encoding", "encoding-type", "encoding-version"),
)


def write_packed(path: Path, weights: Weights) -> None:
    """Write a packed file.

    Args:
        path: The file.
        weights: What it shall hold; of each array at most 256 distinct values, zero apart.

    Raises:
        ArgumentError: An array has more values, or constriction is not installed.
        FileWriteError: The file can't be written.
    """
    write_atomically(path, pack_weights(weights))


def pack_weights(weights: Weights) -> bytes:
    """Make the bytes of a packed file.

    Args:
        weights: As for `write_packed`.

    Returns:
        The bytes.

    Raises:
        ArgumentError: As for `write_packed`.
    """
    arrays = {
        path: array.astype(array.dtype.newbyteorder("="), copy=False)
        for path, array in {**weights.weights, **weights.others}.items()
    }
    _check_arrays(arrays)
    header = {name: value for name, value in weights.header.items() if name not in _OF_FILES}
    dtypes = {path: array.dtype.str[1:] for path, array in arrays.items()}
    shapes = weights.graph.arrays
    fields = {
        "dtypes": {path: dtype for path, dtype in dtypes.items() if dtype != _DTYPE},
        "more": {path: list(array.shape) for path, array in arrays.items() if path not in shapes},
    }
    header.update({name: field for name, field in fields.items() if field})
    header["graph"] = weights.graph.to_json()
    coder = Encoder()
    layers = [f"{name}/W" for name in weights.header["layers"]]
    context = Context(weights.graph, layers)
    for path in dict.fromkeys([*layers, *shapes, *arrays]):
        code_array(coder, context, path, arrays[path])
    data = PACKED + bytes([VERSION]) + deflate_header(header) + coder.data()
    return data + _checksum(data)


def read_packed(path: Path) -> Weights:
    """Read a packed file.

    Args:
        path: The file.

    Returns:
        What it holds.

    Raises:
        FileFormatError: It can't be read, is not as it was written, or makes no sense.
        ArgumentError: constriction is not installed.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise FileFormatError(tell_unreadable(path, error)) from error
    if not data.startswith(PACKED):
        raise FileFormatError(f"{path} is not a packed file: it does not begin with {PACKED!r}")
    if len(data) < _START + _CHECKSUM or _checksum(data[:-_CHECKSUM]) != data[-_CHECKSUM:]:
        raise FileFormatError(
            f"{path} is damaged or cut short: its checksum does not match; use another copy"
        )
    version = data[len(PACKED)]
    if version != VERSION:
        raise FileFormatError(
            f"{path} is a packed file of version {version}, this vdprune ({__version__}) reads version "
            f"{VERSION}: install the vdprune that wrote it or a newer one"
        )
    try:
        header, rest = inflate_header(data[_START:-_CHECKSUM])
        return _unpack(header, rest, len(data))
    except ArgumentError:
        raise
    except Exception as error:  # whatever a forged header makes of it
        raise FileFormatError(f"{path} is damaged: {error}; use another copy") from error


def _unpack(header: Any, rest: bytes, size: int) -> Weights:
    if not isinstance(header, dict):
        raise ValueError("its header is no header")
    found = header.pop("graph", None)
    graph = Graph.from_json(found)
    more, dtypes = _read_more(header.pop("more", {})), _read_dtypes(header.pop("dtypes", {}))
    shapes = {**graph.arrays, **more}
    claimed = sum(map(math.prod, shapes.values()))
    if claimed > max(_SMALL, MAX_GZIP_RATIO * size):
        raise ValueError(f"its arrays claim {claimed:,} numbers, in {size:,} bytes")
    coder = Decoder(rest)
    context = Context(graph, [f"{name}/W" for name in header.get("layers", ())])

    def read(path: str) -> numpy.ndarray:
        empty = numpy.zeros(shapes[path], dtypes.get(path, _DTYPE))
        return code_array(coder, context, path, empty)

    weights = unpack({**header, "encoding": "dense"}, found, shapes, read, size)
    return replace(weights, header={**weights.header, "encoding": "packed"})


def _read_more(found: Any) -> dict[str, tuple[int, ...]]:
    """Read the shapes of arrays that the graph does not know."""
    if not isinstance(found, dict) or not all(
        isinstance(shape, list) and is_shape([n for n in shape if n != 0])
        for shape in found.values()
    ):
        raise ValueError("its arrays have no shapes")
    return {path: tuple(shape) for path, shape in found.items()}


def _read_dtypes(found: Any) -> dict[str, str]:
    if not isinstance(found, dict) or not all(dtype in _DTYPES for dtype in found.values()):
        raise ValueError(f"its arrays have dtypes other than {', '.join(_DTYPES)}")
    return found


def _check_arrays(arrays: dict[str, numpy.ndarray]) -> None:
    for path, array in arrays.items():
        if array.dtype.str[1:] not in _DTYPES:
            raise ArgumentError(
                f"{path} is an array of {array.dtype}: a packed file holds {', '.join(_DTYPES)}"
            )
        values = numpy.count_nonzero(numpy.unique(to_bits(array)))
        if values > MOST_VALUES:
            raise ArgumentError(
                f"{path} has {values:,} distinct values: a packed file holds up to {MOST_VALUES} of "
                "each array; quantise them first, as `vdprune export CHECKPOINT --format packed` does, "
                "or bits=5 of export_chain and export_weights in Python"
            )


def _checksum(data: bytes) -> bytes:
    return zlib.crc32(data).to_bytes(_CHECKSUM, "little")
