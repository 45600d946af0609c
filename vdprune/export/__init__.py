"""From Chainer models to weight files, and back."""

from pathlib import Path

from chainer import Chain

from vdprune.checkpoint import Checkpoint, check_no_run
from vdprune.errors import ArgumentError
from vdprune.export.building import build_chain
from vdprune.export.collecting import collect_chain, collect_checkpoint
from vdprune.export.onnx_file import export_onnx
from vdprune.export.tracing import check_input_shape
from vdprune.formats import Weights, choose_format, save_weights
from vdprune.storage import check_output

__all__ = ["build_chain", "export_chain", "export_onnx", "export_weights"]


def export_weights(
    checkpoint: Checkpoint,
    path: str | Path,
    format: str | None = None,
    dtype: str = "float32",
    bits: int | None = None,
) -> Weights:
    """Write a checkpoint's network to a weight file.

    Args:
        checkpoint: The network; weights above its threshold are written as zero, or not at all.
        path: The file.
        format: See `vdprune.formats.save_weights`.
        dtype: ``float32``, or ``float16`` for half the bytes.
        bits: For packed, which needs it: 1 to 8; see `vdprune.export.quantising.quantise`.

    Returns:
        What was written.

    Raises:
        ArgumentError: There is no such format or dtype, the file's ending or ``bits`` do not go with
            it, float16 does not reach as far as the numbers do, or the file is a training run's
            checkpoint.
        FileWriteError: The file can't be written, or is there and not vdprune's.
    """
    format = _check(Path(path), format, bits)
    if dtype not in ("float32", "float16"):
        raise ArgumentError(f"there is no dtype {dtype!r} for weights: choose float32 or float16")
    weights = collect_checkpoint(checkpoint)
    if dtype == "float16":
        weights = weights.in_float16()
    return _write(Path(path), weights, format, bits)


def export_chain(
    chain: Chain,
    input_shape: tuple[int, ...],
    path: str | Path,
    format: str | None = None,
    bits: int | None = None,
) -> Weights:
    """Write a Chainer model of one's own to a weight file.

    Args:
        chain: The model, with variational layers; weights above their layer's threshold are written as
            zero, or not at all.
        input_shape: Shape of one example.
        path: The file.
        format: See `vdprune.formats.save_weights`.
        bits: For packed, which needs it: 1 to 8; see `vdprune.export.quantising.quantise`.

    Returns:
        What was written.

    Raises:
        ArgumentError: There is no such format or ending, the file's ending or ``bits`` do not go with
            it, or the model has no variational layers, can't be run on such an example, or does what a
            weight file can't say: see `vdprune.graph`; or the file is a training run's checkpoint.
        FileWriteError: The file can't be written, or is there and not vdprune's.
    """
    format = _check(Path(path), format, bits)
    check_input_shape(input_shape)
    weights = collect_chain(chain, input_shape)
    return _write(Path(path), weights, format, bits)


def _check(path: Path, format: str | None, bits: int | None) -> str:
    format = choose_format(path, format)
    check_output(path)
    check_no_run(path)
    if bits is not None and (not isinstance(bits, int) or isinstance(bits, bool)):
        raise ArgumentError(f"bits is {bits!r}: it must be a whole number, 1 to 8")
    if bits is not None and format != "packed":
        raise ArgumentError(
            f"bits is {bits}, the format {format}: bits are for packed files, which end in .packed"
        )
    return format


def _write(path: Path, weights: Weights, format: str, bits: int | None) -> Weights:
    if bits is not None:
        from vdprune.export.quantising import quantise

        weights = quantise(weights, bits)
    save_weights(path, weights, format)
    return weights
