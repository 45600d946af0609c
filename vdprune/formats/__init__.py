"""Weight files: what a pruned network is shipped as. Nothing here needs Chainer."""

from collections.abc import Callable
from pathlib import Path

from vdprune.errors import ArgumentError, FileFormatError
from vdprune.formats.h5 import read_h5, write_h5
from vdprune.formats.layout import ENCODINGS
from vdprune.formats.npz import read_npz, write_npz
from vdprune.formats.weights import Weights

__all__ = ["Weights", "check_format", "load_weights", "save_weights"]

_WRITERS: dict[str, Callable[[Path, Weights, str], None]] = {".h5": write_h5, ".npz": write_npz}


def check_format(path: Path, encoding: str) -> None:
    """Make sure that there is such a format, before the work that the file is for is done.

    Args:
        path: The file.
        encoding: As for `save_weights`.

    Raises:
        ArgumentError: The ending or the encoding is not one of those there are.
    """
    if path.suffix not in _WRITERS:
        raise ArgumentError(
            f"{path} ends in {path.suffix or 'nothing'}: a weight file ends in "
            f"{' or '.join(_WRITERS)}"
        )
    if encoding not in ENCODINGS:
        raise ArgumentError(
            f"there is no weight format {encoding!r}: choose from {', '.join(ENCODINGS)}"
        )


def save_weights(path: str | Path, weights: Weights, encoding: str = "csr") -> None:
    """Write a weight file.

    Args:
        path: The file; its ending, .h5 or .npz, says what it is.
        weights: What it shall hold.
        encoding: ``csr`` for compressed sparse rows, ``dense`` for arrays with their zeros.

    Raises:
        ArgumentError: The ending or the encoding is not one of these.
        FileWriteError: The file can't be written.
    """
    path = Path(path)
    check_format(path, encoding)
    _WRITERS[path.suffix](path, weights, encoding)


def load_weights(path: str | Path) -> Weights:
    """Read a weight file.

    Args:
        path: The file.

    Returns:
        What it holds; `vdprune.build_chain` makes a Chainer model of it, `vdprune.runtime` runs it.

    Raises:
        FileFormatError: It is missing, damaged or something else.
    """
    path = Path(path)
    try:
        with path.open("rb") as file:
            is_zip = file.read(2) == b"PK"
    except OSError as error:
        raise FileFormatError(f"{path} can't be read: {error.strerror or error}") from error
    return read_npz(path) if is_zip else read_h5(path)
