"""Weight files in NumPy's .npz."""

import io
import json
import math
import zipfile
from pathlib import Path

import numpy

from vdprune.errors import FileFormatError
from vdprune.export.layout import pack, unpack
from vdprune.export.weights import FORMAT, FORMAT_VERSION, Weights
from vdprune.storage import SEAL_SIZE, check_header, check_seal, seal, write_atomically
from vdprune.version import __version__


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
                raise FileFormatError(f"{path} is not a {FORMAT} file: it has no header")
            header = json.loads(str(_read_array(file, "header")))
            if not isinstance(header, dict):
                raise ValueError("its header is no header")
            check_header(path, header, {FORMAT: FORMAT_VERSION})
            return unpack(path, header, lambda name: _read_array(file, name))
    except FileFormatError:
        raise
    except Exception as error:  # whatever a damaged zip file makes zipfile raise
        raise FileFormatError(f"{path} is damaged: {error}") from error


def _read_array(file: zipfile.ZipFile, name: str) -> numpy.ndarray:
    """Read an array, its size checked against its member's before it is allocated."""
    info = file.getinfo(f"{name}.npy")
    with file.open(info) as member:
        version = numpy.lib.format.read_magic(member)
        if version != (1, 0):
            raise ValueError(f"{name} is an array file of version {version}")
        shape, _, dtype = numpy.lib.format.read_array_header_1_0(member)
        if info.compress_size > Path(str(file.filename)).stat().st_size:
            raise ValueError(f"{name} claims {info.compress_size} compressed bytes")
        claimed = math.prod(shape) * dtype.itemsize
        if claimed != info.file_size - member.tell() or info.file_size > 1100 * info.compress_size:
            raise ValueError(f"{name} claims {claimed} bytes, which its member does not hold")
    with file.open(info) as member:
        return numpy.lib.format.read_array(member, allow_pickle=False)
