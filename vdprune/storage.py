"""Files that are written whole or not at all, and read with checks."""

import contextlib
import hashlib
import json
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import h5py

from vdprune.errors import FileFormatError, FileWriteError, VdpruneError
from vdprune.version import __version__

_SEAL = b"vdprune-sha256:"
SEAL_SIZE = len(_SEAL) + 64
MAX_GZIP_RATIO = 1100  # DEFLATE can't do better than 1032


def write_atomically(path: Path, data: bytes) -> None:
    """Replace a file by another in one step, on disk before the old one goes.

    Args:
        path: The file.
        data: What it shall hold.

    Raises:
        FileWriteError: It can't be written; a file that was there is as it was.
    """
    temporary = None
    try:
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        temporary = Path(name)
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        temporary.chmod(_mode_of(path))
        temporary.replace(path)
        temporary = None
    except OSError as error:
        raise FileWriteError(
            f"{path} can't be written: {error.strerror or error}; what was there is untouched"
        ) from error
    finally:
        if temporary is not None:
            with contextlib.suppress(OSError):
                temporary.unlink()
    with contextlib.suppress(OSError):  # some file systems can't; the file is in place
        _sync_folder(path.parent)


def check_writable(path: Path) -> None:
    """Make sure that a file can be written, before the work that it is for is done.

    Args:
        path: The file.

    Raises:
        FileWriteError: Its folder is missing or can't be written to.
    """
    try:
        if path.is_dir():
            raise IsADirectoryError(None, "it is a folder")
        with tempfile.NamedTemporaryFile(dir=path.parent, prefix=f".{path.name}."):
            pass
    except OSError as error:
        raise FileWriteError(
            f"{path} can't be written: {error.strerror or error}; choose another file"
        ) from error


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
    with h5py.File("in memory", "w", driver="core", backing_store=False) as file:
        file.attrs["format"] = kind
        file.attrs["format_version"] = version
        file.attrs["vdprune_version"] = __version__
        yield file
        file.flush()
        image = file.id.get_file_image()
    write_atomically(path, seal(image))


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
    if not path.is_file():
        raise FileFormatError(f"there is no file {str(path)!r}")
    check_seal(path)
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
            raise FileFormatError(f"{path} is damaged: {_first_line(error)}") from error


def seal(data: bytes) -> bytes:
    """Put a checksum at the end of a file's bytes, where HDF5 and zip readers don't look.

    Args:
        data: The bytes.

    Returns:
        The bytes, then `SEAL_SIZE` bytes: ``vdprune-sha256:`` and their SHA-256 in hexadecimal.
    """
    return data + _SEAL + hashlib.sha256(data).hexdigest().encode()


def check_seal(path: Path) -> None:
    """Make sure that a sealed file is as it was written, before a library parses it.

    A file without a seal, as another program leaves it that changes it, passes.

    Args:
        path: The file.

    Raises:
        FileFormatError: It can't be read, or is not as it was written.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise FileFormatError(f"{path} can't be read: {error.strerror or error}") from error
    start = data.rfind(_SEAL, max(0, len(data) - SEAL_SIZE))
    if start >= 0 and len(data) - start < SEAL_SIZE:
        raise FileFormatError(f"{path} is cut short: its last bytes are missing; use another copy")
    if start >= 0 and seal(data[:start]) != data:
        raise FileFormatError(f"{path} is damaged: its checksum does not match; use another copy")


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
        found = f"it is a {kind} file" if isinstance(kind, str) else "it says nothing of vdprune"
        raise FileFormatError(f"{path} is not a {wanted} file: {found}")
    version = attributes.get("format_version")
    try:
        is_known = 1 <= int(version) <= kinds[kind]  # type: ignore[arg-type]
    except (TypeError, ValueError, OverflowError):
        raise FileFormatError(f"{path} is damaged: its format_version is {version!r}") from None
    if not is_known:
        raise FileFormatError(
            f"{path} is a {kind} file of version {version}, this vdprune ({__version__}) reads up "
            f"to {kinds[kind]}: install the vdprune that wrote it "
            f"({attributes.get('vdprune_version', 'unknown')}) or a newer one"
        )


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
    """Refuse an array that claims more than what is stored of it can hold.

    Args:
        dataset: The array.

    Raises:
        ValueError: It claims too much.
    """
    stored = dataset.id.get_storage_size()
    if dataset.shape is not None and dataset.nbytes > MAX_GZIP_RATIO * stored + 1024:
        raise ValueError(
            f"{dataset.name} claims shape {dataset.shape}, {dataset.nbytes} bytes, of which "
            f"{stored} are stored"
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
