"""Weight files: what a pruned network is shipped as."""

from collections.abc import Callable
from pathlib import Path

from vdprune.checkpoint import Checkpoint
from vdprune.errors import ArgumentError, FileFormatError
from vdprune.export.h5 import read_h5, write_h5
from vdprune.export.layout import ENCODINGS
from vdprune.export.npz import read_npz, write_npz
from vdprune.export.weights import Weights, collect_weights

__all__ = ["Weights", "export_weights", "load_weights"]

_WRITERS: dict[str, Callable[[Path, Weights, str], None]] = {".h5": write_h5, ".npz": write_npz}


def export_weights(checkpoint: Checkpoint, path: str | Path, encoding: str = "csr") -> Weights:
    """Write a network to a weight file.

    Args:
        checkpoint: The network; weights above its threshold are written as zero, or not at all.
        path: The file; its ending, .h5 or .npz, says what it is.
        encoding: ``csr`` for compressed sparse rows, ``dense`` for arrays with their zeros.

    Returns:
        What was written.

    Raises:
        ArgumentError: The ending or the encoding is not one of these.
        FileWriteError: The file can't be written.
    """
    path = Path(path)
    if path.suffix not in _WRITERS:
        raise ArgumentError(
            f"{path} ends in {path.suffix or 'nothing'}: a weight file ends in "
            f"{' or '.join(_WRITERS)}"
        )
    if encoding not in ENCODINGS:
        raise ArgumentError(
            f"there is no weight format {encoding!r}: choose from {', '.join(ENCODINGS)}"
        )
    weights = collect_weights(checkpoint)
    _WRITERS[path.suffix](path, weights, encoding)
    return weights


def load_weights(path: str | Path) -> Weights:
    """Read a weight file.

    Args:
        path: The file.

    Returns:
        What it holds; its ``build`` makes the network.

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
