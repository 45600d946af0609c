"""Weights written in any format."""

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from vdprune.formats import Weights

# The formats, each with what its file is called unless the user says otherwise.
FORMATS = {
    "csr": "weights.h5",
    "dense": "weights.h5",
    "packed": "weights.packed",
    "safetensors": "weights.safetensors",
    "onnx": "weights.onnx",
    "c": "weights.c",
}

_NO_NOISE = -100.0


def choose_format(format: str | None, out: Path | None) -> str:
    """Choose the format of a file that is to be written.

    Args:
        format: The one that is asked for, or None.
        out: The file, or None where it is called as the format has it.

    Returns:
        The format: the one asked for, or else that of the file's ending.

    Raises:
        ArgumentError: The file's name does not go with it, or is of no format.
    """
    from vdprune import formats

    if out is None:
        return format or "csr"
    return formats.choose_format(out, format, {**formats.ENDINGS, "onnx": (".onnx",), "c": (".c",)})


def write_weights(out: Path, weights: "Weights", format: str, sparse: bool = False) -> list[Path]:
    """Write weights.

    Args:
        out: The file.
        weights: What it shall hold.
        format: One of `FORMATS`.
        sparse: Whether an ONNX file has sparse initializers.

    Returns:
        The files that were written.
    """
    if format == "onnx":
        from vdprune.conversion import to_variational_dropout
        from vdprune.export import build_chain
        from vdprune.export.onnx_file import export_onnx

        chain = build_chain(weights)
        # whose weights may be sparse; so little noise that none is masked
        to_variational_dropout(chain, initial_log_sigma2=_NO_NOISE)
        export_onnx(chain, weights.graph.input_shape, out, sparse)
        return [out]
    if format == "c":
        from vdprune.export.c import write_c

        return write_c(out, weights)
    from vdprune.formats import save_weights

    save_weights(out, weights, format)
    return [out]
