"""How a network's arrays are named in a weight file, in HDF5 as in .npz."""

import math
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy

from vdprune.formats import csr, dense
from vdprune.formats.weights import HEADER_FIELDS, Weights
from vdprune.graph import Graph, find_shapes
from vdprune.storage import MAX_GZIP_RATIO
from vdprune.threshold import is_loga_threshold

ENCODINGS = {"csr": csr, "dense": dense}

_KINDS = {"arch": str, "arch_kwargs": dict, "dataset": str, "threshold": int | float}
_SMALL = 2**26  # numbers that may be zeros, however little is stored


def pack(weights: Weights, encoding: str) -> Iterator[tuple[str, dict, dict[str, numpy.ndarray]]]:
    """Lay out the variational layers' weights.

    Args:
        weights: The network.
        encoding: ``csr`` or ``dense``.

    Yields:
        Path of a weight, its attributes and its member arrays by their full path.
    """
    for path, W in weights.weights.items():
        attributes, members = ENCODINGS[encoding].encode(W)
        yield path, attributes, {_join(path, name): array for name, array in members.items()}


def unpack(
    header: dict[str, Any],
    graph: Any,
    shapes: dict[str, tuple[int, ...]],
    read: Callable[[str], numpy.ndarray],
    size: int,
) -> Weights:
    """Put a network's arrays together again.

    Args:
        header: Its header.
        graph: Its graph, as `Graph.to_json` makes it.
        shapes: Shapes of all arrays in the file by their path.
        read: Returns the array of a path.
        size: The file's size in bytes.

    Returns:
        The network's arrays.

    Raises:
        KeyError: An array, or a part of the header, is missing.
        ValueError: The header makes no sense, or an array is not what it says.
    """
    missing = [name for name in HEADER_FIELDS if name not in header]
    if missing:
        raise KeyError(f"its header has no {', '.join(missing)}")
    for name, kind in _KINDS.items():
        if not isinstance(header[name], kind):
            raise ValueError(f"its {name} is {header[name]!r}")
    if isinstance(header["threshold"], bool) or not is_loga_threshold(header["threshold"]):
        raise ValueError(f"its threshold is {header['threshold']}")
    found = Graph.from_json(graph)
    find_shapes(found)
    if header["input_shape"] != list(found.input_shape):
        raise ValueError(f"its input_shape is {header['input_shape']} in one place only")
    expected = _expect_weights(header["layers"], found)
    _check_size(expected.values(), size)
    if header["encoding"] not in list(ENCODINGS):
        raise ValueError(f"its encoding is {header['encoding']!r}")
    for path, shape in found.arrays.items():
        if path not in expected and path not in shapes:
            raise KeyError(f"it has no {path}")
        if path not in expected and shapes[path] != shape:
            raise ValueError(f"{path} has shape {shapes[path]}, its graph needs {shape}")
    encoding = ENCODINGS[header["encoding"]]
    weights = {
        path: encoding.decode({name: read(_join(path, name)) for name in encoding.MEMBERS}, shape)
        for path, shape in expected.items()
    }
    others = {path: read(path) for path in shapes if not _belongs_to(path, weights)}
    for arrays, kinds in ((weights, "f"), (others, "bif")):
        for path, array in arrays.items():
            if array.dtype.kind not in kinds:
                raise ValueError(f"{path} is an array of {array.dtype}")
    known = {name: header[name] for name in (*HEADER_FIELDS, "compact") if name in header}
    return Weights(known, found, weights, others)


def _expect_weights(layers: Any, graph: Graph) -> dict[str, tuple[int, ...]]:
    if not isinstance(layers, list) or not all(isinstance(name, str) for name in layers):
        raise ValueError(f"its layers are {layers!r}")
    arrays = graph.arrays
    unknown = [name for name in layers if f"{name}/W" not in arrays]
    if unknown:
        raise ValueError(f"its graph knows no layer {unknown[0]!r}")
    return {f"{name}/W": arrays[f"{name}/W"] for name in layers}


def _check_size(expected: Iterable[tuple[int, ...]], size: int) -> None:
    """Refuse weights that take much more memory than the file before any of it is taken."""
    claimed = sum(map(math.prod, expected))
    if claimed > max(_SMALL, MAX_GZIP_RATIO * size):
        raise ValueError(f"its weights claim {claimed:,} numbers, in {size:,} bytes")


def _belongs_to(path: str, weights: dict[str, numpy.ndarray]) -> bool:
    return path in weights or path.rpartition("/")[0] in weights


def _join(path: str, member: str) -> str:
    return f"{path}/{member}" if member else path
