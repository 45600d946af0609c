"""IDX files, the format that MNIST and its kin come in."""

import gzip
import math
import zlib
from pathlib import Path

import numpy

from vdprune.errors import DatasetError

_DTYPES = {8: ">u1", 9: ">i1", 11: ">i2", 12: ">i4", 13: ">f4", 14: ">f8"}
_PARTS = {
    "x_train": "train-images-idx3-ubyte",
    "t_train": "train-labels-idx1-ubyte",
    "x_test": "t10k-images-idx3-ubyte",
    "t_test": "t10k-labels-idx1-ubyte",
}


def parse_idx(data: bytes, name: str) -> numpy.ndarray:
    """Read an array from the bytes of an IDX file.

    Args:
        data: The bytes, not compressed.
        name: What to call the file in messages.

    Returns:
        The array, in the machine's byte order.

    Raises:
        DatasetError: The bytes are not an IDX file, or not all of one.
    """
    if len(data) < 4 or data[:2] != b"\0\0" or data[2] not in _DTYPES:
        raise DatasetError(f"{name} is not an IDX file: it starts with {data[:4]!r}")
    dtype = numpy.dtype(_DTYPES[data[2]])
    start = 4 + 4 * data[3]
    shape = [int.from_bytes(data[i : i + 4], "big") for i in range(4, start, 4)]
    expected = start + math.prod(shape) * dtype.itemsize
    if len(data) != expected:
        raise DatasetError(
            f"{name} has {len(data)} bytes, its header announces {expected} for shape "
            f"{tuple(shape)}: the file is cut short or damaged"
        )
    try:
        array = numpy.frombuffer(data, dtype, offset=start).reshape(shape)
    except ValueError as error:
        raise DatasetError(f"{name} announces an impossible shape: {error}") from error
    return array.astype(dtype.newbyteorder("="), copy=False)


def read_idx(path: Path) -> numpy.ndarray:
    """Read an IDX file, gzipped or not.

    Args:
        path: The file.

    Returns:
        The array.

    Raises:
        DatasetError: The file can't be read, or is not an IDX file.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise DatasetError(f"{path} can't be read: {error.strerror or error}") from error
    try:
        if data[:2] == b"\x1f\x8b":
            data = gzip.decompress(data)
    except (OSError, EOFError, zlib.error) as error:
        raise DatasetError(f"{path} can't be read: {error}; use another copy") from error
    return parse_idx(data, str(path))


def read_idx_folder(folder: Path) -> dict[str, numpy.ndarray]:
    """Read the four files of a data set laid out like MNIST.

    Args:
        folder: Where they are; each may be gzipped, and a dot may stand for the last but one dash.

    Returns:
        x_train, t_train, x_test and t_test.

    Raises:
        DatasetError: One of them is missing or unreadable.
    """
    arrays = {}
    for part, name in _PARTS.items():
        names = [name, name.replace("-idx", ".idx")]
        candidates = [folder / (n + end) for n in names for end in ("", ".gz")]
        path = next((candidate for candidate in candidates if candidate.is_file()), None)
        if path is None:
            raise DatasetError(
                f"{folder} has no {name} or {name}.gz: a folder given as a data set holds the four "
                f"IDX files {', '.join(_PARTS.values())}"
            )
        arrays[part] = read_idx(path)
    return arrays
