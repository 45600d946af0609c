"""Files that are written whole or not at all, and known to be as they were written."""

import contextlib
import hashlib
import os
import re
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from vdprune.errors import FileFormatError, FileWriteError
from vdprune.version import __version__

MARK = "vdprune"  # the maker that pages, pictures and files without a seal name
PACKED = b"vdpk"  # what packed files begin with
HDF5 = b"\x89HDF\r\n\x1a\n"  # and HDF5 files
# How files of ours without a seal begin, or else end: what each kind says of its maker, in its place.
_MARKS = {
    "C": rb"/\* Made by vdprune ",
    "HTML": rb'<!DOCTYPE html>.{,500}<meta name="generator" content="vdprune ',
    "ONNX": rb"\x08.\x12\x07vdprune",  # the version of ONNX, then producer_name
    "packed": re.escape(PACKED),
    "PDF": rb"%PDF-.*/Creator \(vdprune\).{,20000}\Z",  # pages come first
    "PNG": rb"\x89PNG.{,100}tEXtSoftware\0vdprune",
    "safetensors": rb'.{8}\{"__metadata__":.*"format":"vdprune-weights"',  # metadata have no order
    "SVG": rb"<\?xml.{,1000}<dc:creator>\s*<cc:Agent>\s*<dc:title>vdprune<",
}
COPIES = "vdprune-copies"  # the format of files of changed images
_SEAL = b"vdprune-sha256:"
SEAL_SIZE = len(_SEAL) + 64
_MOST_BEHIND = 4096  # bytes that are looked through for a seal that is not at the end
MAX_GZIP_RATIO = 1100  # DEFLATE can't do better than 1032


def tell_unreadable(path: Path, error: OSError) -> str:
    """Say why a file can't be read.

    Args:
        path: The file.
        error: What was raised.

    Returns:
        A sentence.
    """
    if isinstance(error, FileNotFoundError):
        return f"there is no file {str(path)!r}"
    return f"{path} can't be read: {error.strerror or error}"


def write_atomically(path: Path, data: bytes) -> None:
    """Replace a file by another in one step, on disk before the old one goes.

    Args:
        path: The file.
        data: What it shall hold.

    Raises:
        FileWriteError: It can't be written; a file that was there is as it was.
    """
    write_together({path: data})


def write_together(files: Mapping[Path, bytes]) -> None:
    """Replace files that belong together, all of them on disk before an old one goes.

    Args:
        files: What each shall hold.

    Raises:
        FileWriteError: One can't be written. What was there is as it was, unless the message names
            files that were replaced before.
    """
    temporaries: dict[Path, Path] = {}
    replaced: list[str] = []
    path = next(iter(files))
    try:
        for path, data in files.items():
            handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
            temporaries[path] = Path(name)
            with os.fdopen(handle, "wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            temporaries[path].chmod(_mode_of(path))
        for path in files:
            temporaries[path].replace(path)
            del temporaries[path]
            replaced.append(path.name)
    except OSError as error:
        rest = f"{', '.join(replaced)}: replaced" if replaced else "what was there is untouched"
        raise FileWriteError(
            f"{path} can't be written: {error.strerror or error}; {rest}"
        ) from error
    finally:
        for temporary in temporaries.values():
            with contextlib.suppress(OSError):
                temporary.unlink()
    for folder in {path.parent for path in files}:
        with contextlib.suppress(OSError):  # some file systems can't; the file is in place
            _sync_folder(folder)


def check_writable(path: Path) -> None:
    """Make sure that a file can be written, before the work that it is for is done.

    Args:
        path: The file.

    Raises:
        FileWriteError: Its folder is missing or can't be written to.
    """
    if not path.parent.exists():
        raise FileWriteError(
            f"{path} can't be written: there is no folder {str(path.parent)!r}; make it, or choose "
            "another file"
        )
    try:
        if path.is_dir():
            raise IsADirectoryError(None, "it is a folder")
        with tempfile.NamedTemporaryFile(dir=path.parent, prefix=f".{path.name}."):
            pass
    except OSError as error:
        raise FileWriteError(
            f"{path} can't be written: {error.strerror or error}; choose another file"
        ) from error


def seal(data: bytes) -> bytes:
    """Put a checksum at the end of a file's bytes, where HDF5 and zip readers don't look.

    Args:
        data: The bytes.

    Returns:
        The bytes, then `SEAL_SIZE` bytes: ``vdprune-sha256:`` and their SHA-256 in hexadecimal.
    """
    return data + _SEAL + hashlib.sha256(data).hexdigest().encode()


def check_seal(path: Path) -> bool:
    """Make sure that a sealed file is as it was written, before a library parses it.

    A file without a seal, as another program leaves it that changes it, passes.

    Args:
        path: The file.

    Returns:
        Whether it has a seal.

    Raises:
        FileFormatError: It can't be read, or is not as it was written.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise FileFormatError(tell_unreadable(path, error)) from error
    start = data.rfind(_SEAL, max(0, len(data) - SEAL_SIZE))
    # HDF5 says itself where it ends, and h5py may go on there
    if start < 0 and not data.startswith(HDF5):
        found = data.rfind(_SEAL, max(0, len(data) - SEAL_SIZE - _MOST_BEHIND))
        if found >= 0:
            raise FileFormatError(
                f"{path} is damaged: {len(data) - found - SEAL_SIZE:,} bytes follow its checksum; use "
                "another copy"
            )
    if start >= 0 and len(data) - start < SEAL_SIZE:
        raise FileFormatError(f"{path} is cut short: its last bytes are missing; use another copy")
    if start >= 0 and seal(data[:start]) != data:
        raise FileFormatError(f"{path} is damaged: its checksum does not match; use another copy")
    return start >= 0


def check_replaceable(path: Path) -> None:
    """Make sure that a file that is about to be replaced is one of ours.

    Args:
        path: The file; it need not be there.

    Raises:
        FileWriteError: It was not written by vdprune.
    """
    if not path.is_file():
        return
    with path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - SEAL_SIZE))
        if not file.read().startswith(_SEAL):
            raise FileWriteError(
                f"{path} exists and was not written by vdprune, or is damaged: choose another file, or "
                "remove it"
            )


def check_output(path: Path) -> None:
    """Make sure that a file of any kind that is about to be replaced is one of ours.

    Args:
        path: The file; it need not be there.

    Raises:
        FileWriteError: It was not written by vdprune.
    """
    # what is not HDF5 or a zip file of ours has no seal
    (check_replaceable if path.suffix in (".h5", ".hdf5", ".npz") else check_marked)(path)


def check_marked(path: Path) -> None:
    """Make sure that a file without a seal, as a picture, that is about to be replaced is one of ours.

    Args:
        path: The file; it need not be there. Ours say that vdprune made them, where their kind does.

    Raises:
        FileWriteError: It was not written by vdprune.
    """
    if not path.is_file():
        return
    data = path.read_bytes()
    if not any(re.match(mark, data, re.DOTALL) for mark in _MARKS.values()):
        raise FileWriteError(
            f"{path} exists and was not written by vdprune: choose another file, or remove it"
        )


_FOREIGN = "it says nothing of vdprune; give one that vdprune wrote"


def check_header(path: Path, attributes: dict[str, Any], kinds: dict[str, int]) -> None:
    """Make sure that a file is ours and not newer than this version.

    Args:
        path: The file, for the messages.
        attributes: Its root attributes.
        kinds: The ``format`` attributes that will do, each with the newest version known.

    Raises:
        FileFormatError: It is of another format or of a newer version.
    """
    kind = attributes.get("format")
    wanted = " or ".join(kinds)
    if not isinstance(kind, str) or kind not in kinds:
        found = f"it is a {kind} file" if isinstance(kind, str) else _FOREIGN
        if found == "it is a vdprune-checkpoint file" and wanted == "vdprune-weights":
            found += "; `vdprune export` makes a weight file of it"
        if found == f"it is a {COPIES} file":
            found += ", changed images that a training run keeps, and needs no more when it is done"
        raise FileFormatError(f"{path} is not a {wanted} file: {found}")
    version = attributes.get("format_version")
    try:
        is_known = 1 <= int(version) <= kinds[kind]  # type: ignore[arg-type]
    except (TypeError, ValueError, OverflowError):
        raise FileFormatError(
            f"{path} is damaged: its format_version is {version!r}; use another copy"
        ) from None
    if not is_known:
        raise FileFormatError(
            f"{path} is a {kind} file of version {version}, this vdprune ({__version__}) reads up "
            f"to {kinds[kind]}: install the vdprune that wrote it "
            f"({attributes.get('vdprune_version', 'unknown')}) or a newer one"
        )


def _mode_of(path: Path) -> int:
    """Tell the mode that ``open`` would leave a file with; mkstemp's are private."""
    if path.exists():
        return path.stat().st_mode & 0o777
    umask = os.umask(0)
    os.umask(umask)
    return 0o666 & ~umask


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
