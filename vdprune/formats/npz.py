"""Weight files in NumPy's .npz."""

import io
import json
import math
import zipfile
from pathlib import Path

import numpy

from vdprune.errors import FileFormatError
from vdprune.formats.layout import pack, unpack
from vdprune.formats.weights import FORMAT, FORMAT_VERSION, Weights
from vdprune.storage import (
    MAX_GZIP_RATIO,
    SEAL_SIZE,
    check_header,
    check_seal,
    seal,
    write_atomically,
)
from vdprune.version import __version__

_MOST_BYTES = 2**26  # of a header


def write_npz(path: Path, weights: Weights, encoding: str) -> None:
    """Write a weight file; its header is a JSON text under ``header``.

    Args:
        path: The file.
        weights: What it shall hold.
        encoding: ``csr`` or ``dense``.

    Raises:
        FileWriteError: It can't be written.
    """
    header = {
        "format": FORMAT,
        "format_version": FORMAT_VERSION,
        "vdprune_version": __version__,
        **weights.header,
        "encoding": encoding,
        "graph": weights.graph.to_json(),
    }
    arrays = {"header": numpy.array(json.dumps(header)), **weights.others}
    for name, attributes, members in pack(weights, encoding):
        arrays.update(members)
        if "shape" in attributes:
            arrays[f"{name}/shape"] = numpy.array(attributes["shape"])
    buffer = io.BytesIO()
    numpy.savez_compressed(buffer, **arrays)  # type: ignore[arg-type]
    with zipfile.ZipFile(buffer, "a") as file:
        file.comment = bytes(SEAL_SIZE)  # the seal stands where a zip file has its comment
    write_atomically(path, seal(buffer.getvalue()[:-SEAL_SIZE]))


def read_npz(path: Path) -> Weights:
    """Read a weight file.

    Args:
        path: The file.

    Returns:
        What it holds.

    Raises:
        FileFormatError: It can't be read, or its arrays do not fit its header.
    """
    check_seal(path)
    try:
        with zipfile.ZipFile(path) as file:
            if "header.npy" not in file.namelist():
                raise FileFormatError(
                    f"{path} is not a {FORMAT} file: it has no header; give one that vdprune wrote"
                )
            if file.getinfo("header.npy").file_size > _MOST_BYTES:
                raise ValueError("its header is too long")
            header = json.loads(str(_read_array(file, "header")))
            if not isinstance(header, dict):
                raise ValueError("its header is no header")
            check_header(path, header, {FORMAT: FORMAT_VERSION})
            shapes = {
                name.removesuffix(".npy"): _read_shape(file, name)
                for name in file.namelist()
                if name != "header.npy"
            }
            graph = header.pop("graph", None)
            size = path.stat().st_size
            return unpack(header, graph, shapes, lambda name: _read_array(file, name), size)
    except FileFormatError:
        raise
    except Exception as error:  # whatever a damaged zip file makes zipfile raise
        raise FileFormatError(f"{path} is damaged: {error}; use another copy") from error


def _read_array(file: zipfile.ZipFile, name: str) -> numpy.ndarray:
    _read_shape(file, f"{name}.npy")
    with file.open(f"{name}.npy") as member:
        return numpy.lib.format.read_array(member, allow_pickle=False)


def _read_shape(file: zipfile.ZipFile, member: str) -> tuple[int, ...]:
    """Read an array's shape, and check its size against what is stored of it."""
    info = file.getinfo(member)
    with file.open(info) as stream:
        version = numpy.lib.format.read_magic(stream)
        if version != (1, 0):
            raise ValueError(f"{member} is an array file of version {version}")
        shape, _, dtype = numpy.lib.format.read_array_header_1_0(stream)
        claimed = math.prod(shape) * dtype.itemsize
        stored = min(info.compress_size, Path(str(file.filename)).stat().st_size)
        if claimed != info.file_size - stream.tell() or info.file_size > MAX_GZIP_RATIO * stored:
            raise ValueError(f"{member} claims {claimed} bytes, which are not stored")
    return tuple(shape)
