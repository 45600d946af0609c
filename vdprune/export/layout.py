"""How a network's arrays are named in a weight file, in HDF5 as in .npz."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy

from vdprune.errors import FileFormatError
from vdprune.export import csr, dense
from vdprune.export.weights import Weights, expected_shapes

ENCODINGS = {"csr": csr, "dense": dense}


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
    file: Path,
    header: dict[str, Any],
    shapes: list[tuple[int, ...]],
    read: Callable[[str], numpy.ndarray],
) -> Weights:
    """Put a network's arrays together again.

    Args:
        file: The file, for the messages.
        header: Its header.
        shapes: Shapes of all arrays in the file.
        read: Returns the array of a path.

    Returns:
        The network's arrays.

    Raises:
        FileFormatError: The header describes no network, or an array does not fit it.
        KeyError: An array, or a part of the header, is missing.
        ValueError: An array is not what the header says.
    """
    weight_shapes, other_shapes = expected_shapes(file, header, shapes)
    if header["encoding"] not in list(ENCODINGS):
        raise ValueError(f"its encoding is {header['encoding']!r}")
    encoding = ENCODINGS[header["encoding"]]
    weights = {
        path: encoding.decode({name: read(_join(path, name)) for name in encoding.MEMBERS}, shape)
        for path, shape in weight_shapes.items()
    }
    others = {path: read(path) for path in other_shapes}
    for path, shape in other_shapes.items():
        if others[path].shape != shape:
            raise FileFormatError(
                f"{file}: {path} has shape {others[path].shape}, {header['arch']} needs {shape}"
            )
    for path, array in (*weights.items(), *others.items()):
        if array.dtype.kind not in "bif":
            raise ValueError(f"{path} is an array of {array.dtype}")
    return Weights(header, weights, others)


def _join(path: str, member: str) -> str:
    return f"{path}/{member}" if member else path
