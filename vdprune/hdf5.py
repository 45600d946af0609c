"""HDF5 files of ours: made in memory and written in one step, opened with checks."""

import contextlib
import json
import math
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import h5py

from vdprune.errors import FileFormatError, VdpruneError
from vdprune.storage import HDF5, MAX_GZIP_RATIO, check_header, check_seal, seal, write_atomically
from vdprune.version import __version__

# Of checkpoints, which `vdprune.checkpoint` writes: what a file is can be told without Chainer.
CHECKPOINT = "vdprune-checkpoint"
CHECKPOINT_VERSION = 1

_END_PLACES = {
    0: 40,
    1: 44,
    2: 28,
    3: 28,
}  # where superblocks of each version say where a file ends


@contextlib.contextmanager
def new_h5(path: Path, kind: str, version: int) -> Iterator[h5py.File]:
    """Make an HDF5 file of ours, written atomically when the context ends without an error.

    It is put together in memory, so that a full disk meets plain bytes and not the HDF5 library.

    Args:
        path: The file.
        kind: Its ``format`` attribute.
        version: Its ``format_version`` attribute.

    Yields:
        The open file.

    Raises:
        FileWriteError: It can't be written; a file that was there is as it was.
    """
    # Version 1.10 of the format takes half the room of the oldest for arrays as small as ours.
    options = {"driver": "core", "backing_store": False, "libver": ("v110", "v110")}
    with h5py.File("in memory", "w", **options) as file:
        file.attrs["format"] = kind
        file.attrs["format_version"] = version
        file.attrs["vdprune_version"] = __version__
        yield file
        file.flush()
        image = file.id.get_file_image()
    write_atomically(path, seal(image))


def check_regular(path: Path) -> None:
    """Refuse a folder, or a device, in the place of a file.

    Args:
        path: What was given as a file to read.

    Raises:
        FileFormatError: It is one.
    """
    if path.is_dir():
        raise FileFormatError(f"{str(path)!r} is a folder: give a file in it")
    if path.exists() and not path.is_file():
        raise FileFormatError(f"{str(path)!r} is a device or a pipe: give a file")


@contextlib.contextmanager
def open_h5(path: Path, kinds: dict[str, int]) -> Iterator[h5py.File]:
    """Open an HDF5 file of ours for reading.

    Args:
        path: The file.
        kinds: The ``format`` attributes that will do, each with the newest version known.

    Yields:
        The open file.

    Raises:
        FileFormatError: It is missing, cut short, damaged, of another format or of a newer version.
    """
    check_regular(path)
    if not path.is_file():
        raise FileFormatError(f"there is no file {str(path)!r}")
    if not check_seal(path):
        _check_end(path)
    try:
        file = h5py.File(path, "r")
    except OSError as error:
        raise FileFormatError(f"{path} {_why_unreadable(path, error)}") from error
    with file:
        try:
            check_header(path, dict(file.attrs), kinds)
            yield file
        except VdpruneError:
            raise
        except (OSError, RuntimeError, KeyError, ValueError, TypeError) as error:
            raise FileFormatError(
                f"{path} is damaged: {_first_line(error)}; use another copy"
            ) from error


def read_json_attribute(file: h5py.File, name: str) -> Any:
    """Read an attribute that holds JSON.

    Args:
        file: The open file.
        name: The attribute.

    Returns:
        What it holds.

    Raises:
        KeyError: There is no such attribute.
        ValueError: It does not hold JSON.
    """
    return json.loads(read_attribute(file, name))


def read_attribute(file: h5py.File, name: str) -> Any:
    """Read an attribute.

    Args:
        file: The open file.
        name: The attribute.

    Returns:
        Its value.

    Raises:
        KeyError: There is no such attribute; h5py's own message does not name it.
    """
    if name not in file.attrs:
        raise KeyError(f"it has no attribute {name}")
    return file.attrs[name]


def named_datasets(group: h5py.Group) -> dict[str, h5py.Dataset]:
    """List the arrays in a group and below, after a look at their sizes.

    Args:
        group: The group.

    Returns:
        Path and array.

    Raises:
        ValueError: It is no group, or an array claims more than what is stored of it can hold.
    """
    if not isinstance(group, h5py.Group):
        raise ValueError(f"{getattr(group, 'name', 'something')} is not a group")
    found: dict[str, h5py.Dataset] = {}

    def visit(name: str, item: Any) -> None:
        if isinstance(item, h5py.Dataset):
            check_plausible_size(item)
            found[name] = item

    group.visititems(visit)
    return found


def check_plausible_size(dataset: h5py.Dataset) -> None:
    """Refuse an array that claims more than what is stored of it, in this file, can hold.

    Args:
        dataset: The array.

    Raises:
        ValueError: It claims too much, or there is no telling what it claims.
    """
    if dataset.is_virtual or dataset.external:
        raise ValueError(f"{dataset.name} lies in another file")
    if dataset.dtype.hasobject:
        raise ValueError(f"{dataset.name} is an array of texts or references, not of numbers")
    stored = dataset.id.get_storage_size()
    # a chunk is unpacked as a whole, and can be larger than the array
    chunk = math.prod(dataset.chunks) * dataset.dtype.itemsize if dataset.chunks and stored else 0
    unpacked = max(dataset.nbytes, chunk)
    if dataset.shape is not None and unpacked > MAX_GZIP_RATIO * stored + 1024:
        raise ValueError(
            f"{dataset.name} claims shape {dataset.shape}, {unpacked} bytes, of which "
            f"{stored} are stored"
        )


def _check_end(path: Path) -> None:
    """Refuse a file without a seal that goes on where HDF5 ends: the seal that was there is damaged.

    What HDF5 itself writes, as when h5py changes a file of ours, ends there.
    """
    with path.open("rb") as file:
        head = file.read(64)
    place = _END_PLACES.get(head[8]) if head.startswith(HDF5) and len(head) > 8 else None
    if place is None:
        return
    end, size = int.from_bytes(head[place : place + 8], "little"), path.stat().st_size
    if size > end:
        raise FileFormatError(
            f"{path} is damaged: {size - end:,} bytes at its end are not its checksum; use another copy"
        )


def _why_unreadable(path: Path, error: OSError) -> str:
    if not os.access(path, os.R_OK):
        return "can't be read: permission denied"
    if "truncated" in str(error):
        return "is cut short: it has fewer bytes than its header announces; use another copy"
    if h5py.is_hdf5(path):
        return f"is damaged: {_first_line(error)}"
    return "is not an HDF5 file"


def _first_line(error: Exception) -> str:
    text = str(error.args[0]) if isinstance(error, KeyError) and error.args else str(error)
    return text.splitlines()[0] if text else type(error).__name__
