"""Weight files: what a pruned network is shipped as."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from vdprune.errors import ArgumentError, FileFormatError
from vdprune.export.h5 import read_h5, write_h5
from vdprune.export.layout import ENCODINGS
from vdprune.export.npz import read_npz, write_npz
from vdprune.export.weights import Weights

if TYPE_CHECKING:
    from chainer import Chain

    from vdprune.checkpoint import Checkpoint

__all__ = ["Weights", "export_chain", "export_weights", "load_weights"]

_WRITERS: dict[str, Callable[[Path, Weights, str], None]] = {".h5": write_h5, ".npz": write_npz}


def export_weights(checkpoint: "Checkpoint", path: str | Path, encoding: str = "csr") -> Weights:
    """Write a checkpoint's network to a weight file.

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
    path = _check(path, encoding)
    from vdprune.export.collecting import collect_checkpoint

    return _write(path, collect_checkpoint(checkpoint), encoding)


def export_chain(
    chain: "Chain", input_shape: tuple[int, ...], path: str | Path, encoding: str = "csr"
) -> Weights:
    """Write a Chainer model of one's own to a weight file.

    Args:
        chain: The model, with variational layers; weights above their layer's threshold are written as
            zero, or not at all.
        input_shape: Shape of one example.
        path: The file; its ending, .h5 or .npz, says what it is.
        encoding: ``csr`` or ``dense``, as for `export_weights`.

    Returns:
        What was written.

    Raises:
        ArgumentError: The ending or the encoding is not one of these, or the model has no variational
            layers or does what a weight file can't say: see `vdprune.graph`.
        FileWriteError: The file can't be written.
    """
    path = _check(path, encoding)
    from vdprune.export.collecting import collect_chain

    return _write(path, collect_chain(chain, input_shape), encoding)


def _check(path: str | Path, encoding: str) -> Path:
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
    return path


def _write(path: Path, weights: Weights, encoding: str) -> Weights:
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
