"""Weight files: what a pruned network is shipped as. Nothing here needs Chainer."""

import importlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from vdprune.errors import ArgumentError, FileFormatError
from vdprune.formats.weights import Weights
from vdprune.storage import HDF5, PACKED, tell_unreadable

__all__ = ["ENDINGS", "Weights", "choose_format", "is_weight_file", "load_weights", "save_weights"]

# What files of each format end in, the usual ending first.
ENDINGS = {
    "csr": (".h5", ".npz"),
    "dense": (".h5", ".npz"),
    "packed": (".packed",),
    "safetensors": (".safetensors",),
}
# Where files of each ending are written and read; imported when they are.
_HOMES = {
    ".h5": ("h5", "write_h5", "read_h5"),
    ".npz": ("npz", "write_npz", "read_npz"),
    ".packed": ("packed", "write_packed", "read_packed"),
    ".safetensors": ("safetensors_file", "write_safetensors", "read_safetensors"),
}
_HINT = (
    "; `vdprune convert` makes .onnx and .c of a weight file, vdprune.export_onnx .onnx of a model"
)
_TAKEN = {"graph", "header", "file"}
_BEGINNINGS = {b"PK": ".npz", PACKED: ".packed", HDF5: ".h5"}


def choose_format(
    path: Path, format: str | None = None, endings: Mapping[str, tuple[str, ...]] = ENDINGS
) -> str:
    """Choose the format of a file, before the work that the file is for is done.

    Args:
        path: The file.
        format: The one that is asked for; None for the first one that has files of this ending.
        endings: The formats, each with what its files end in.

    Returns:
        The format.

    Raises:
        ArgumentError: There is no such format, or its files end otherwise.
    """
    found = f"{path} ends in {path.suffix or 'nothing'}"
    by_ending = {ending: name for name in reversed(list(endings)) for ending in endings[name]}
    is_made_of_one = {path.suffix, f".{format}"} & {".onnx", ".c"}
    hint = _HINT if is_made_of_one else ""
    if format is None:
        if path.suffix in by_ending:
            return by_ending[path.suffix]
        raise ArgumentError(
            f"{found}, which is of no format: choose {', '.join(sorted(by_ending))}{hint}"
        )
    if format not in endings:
        raise ArgumentError(
            f"there is no weight format {format!r}: choose from {', '.join(endings)}{hint}"
        )
    if path.suffix in endings[format]:
        return format
    raise ArgumentError(
        f"{found}: a file of format {format} ends in {' or '.join(endings[format])}; without a format "
        "the ending decides"
    )


def save_weights(path: str | Path, weights: Weights, format: str | None = None) -> None:
    """Write a weight file.

    Args:
        path: The file; its ending goes with the format.
        weights: What it shall hold.
        format: ``csr`` for compressed sparse rows or ``dense`` for arrays with their zeros, both in
            .h5 or .npz; ``packed`` for the smallest file, of weights that were quantised before;
            ``safetensors``, dense under PyTorch's names. None for that of the file's ending, csr for
            .h5 and .npz.

    Raises:
        ArgumentError: There is no such format, its files end otherwise, it can't hold these weights,
            or a package that it needs is missing.
        FileWriteError: The file can't be written.
    """
    path = Path(path)
    format = choose_format(path, format)
    taken = {array.split("/")[0] for array in (*weights.weights, *weights.others)} & _TAKEN
    if taken:
        raise ArgumentError(
            f"a layer is called {taken.pop()!r}, which has a meaning of its own in a file: give it "
            "another name"
        )
    write = _find(path.suffix, 1)
    if format in ("csr", "dense"):
        write(path, weights, format)
    else:
        write(path, weights)


def load_weights(path: str | Path) -> Weights:
    """Read a weight file of any format.

    Args:
        path: The file.

    Returns:
        What it holds; `vdprune.build_chain` makes a Chainer model of it, `vdprune.runtime` runs it.

    Raises:
        FileFormatError: It is missing, damaged or something else.
        ArgumentError: A package that its format needs is missing.
    """
    path = Path(path)
    ending = _ending_by_contents(path)
    if ending is None:
        raise FileFormatError(
            f"{path} is no weight file that can be read, of {', '.join(_HOMES)}: give one that `vdprune "
            "export` wrote"
        )
    return _find(ending, 2)(path)


def is_weight_file(path: Path) -> bool:
    """Tell whether a file may be one of weights, by how it begins; HDF5 may be something else.

    Args:
        path: The file.

    Returns:
        Whether it is a zip, packed or safetensors file.

    Raises:
        FileFormatError: It can't be read.
    """
    return _ending_by_contents(path) not in (None, ".h5")


def _ending_by_contents(path: Path) -> str | None:
    try:
        with path.open("rb") as file:
            data = file.read(9)
    except OSError as error:
        raise FileFormatError(tell_unreadable(path, error)) from error
    for beginning, ending in _BEGINNINGS.items():
        if data.startswith(beginning):
            return ending
    return ".safetensors" if data[8:] == b"{" else None


def _find(ending: str, place: int) -> Callable[..., Any]:
    home = _HOMES[ending]
    return getattr(importlib.import_module(f"{__name__}.{home[0]}"), home[place])
