"""vdprune export."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from vdprune.cli.options import (
    FILE,
    PERCENT,
    check_out,
    config_option,
    dataset_options,
    output_options,
)
from vdprune.cli.running import load_runtime, tell_of_state
from vdprune.cli.writing import FORMATS, choose_format, write_weights

if TYPE_CHECKING:
    from vdprune.checkpoint import Checkpoint
    from vdprune.datasets import Split
    from vdprune.formats import Weights

_MOST_EXAMPLES = 10_000  # that bits are chosen by
_MOST_CHANGED = 0.1  # percent of them
_IS_FOR = {
    "--bits": ("packed",),
    "--max-error-increase": ("packed",),
    "--dataset": ("packed",),
    "--data-root": ("packed",),
    "--sparse": ("onnx",),
    "--dtype float16": ("csr", "dense", "safetensors"),
}


@click.command("export")
@click.argument("checkpoint", type=FILE, default=Path("pruned.h5"))
@click.option(
    "--format",
    type=click.Choice(list(FORMATS)),
    help="csr: compressed sparse rows, zeros not stored; dense: arrays with their zeros; packed: the "
    "smallest, quantised; safetensors: dense under PyTorch's names; onnx; c: source code in C99 with a "
    "header.  [default: by the ending of --out; csr for .h5 and .npz]",
)
@click.option(
    "--compact",
    is_flag=True,
    help="Leave out units that have no weights left, in or out; the results stay the same.",
)
@click.option(
    "--dtype",
    type=click.Choice(["float32", "float16"]),
    default="float32",
    show_default=True,
    help="float16 takes half the bytes and has 11 significant bits; for csr, dense and safetensors.",
)
@click.option(
    "--bits",
    type=click.IntRange(1, 8),
    metavar="N",
    help="For packed: at most 2^N different values in each array, whatever that does to the error, "
    "which `vdprune eval` tells.  [default: for each array as few as --max-error-increase allows]",
)
@click.option(
    "--max-error-increase",
    type=PERCENT,
    metavar="PERCENT",
    help="For packed: percent of the images that may turn from right to wrong, or back, of those that "
    "training held out, or of up to 10,000 training images where it held out none.  "
    f"[default: {_MOST_CHANGED}]",
)
@click.option(
    "--sparse",
    is_flag=True,
    help="For onnx: weights as sparse initializers.",
)
@dataset_options(default="the one it was trained on; for packed")
@click.option(
    "--out",
    type=FILE,
    metavar="FILE",
    help="The file to write; its ending goes with the format.  "
    "[default: weights.h5, weights.packed, ...]",
)
@output_options
@config_option
def export_command(
    checkpoint: Path,
    format: str | None,
    compact: bool,
    dtype: str,
    bits: int | None,
    max_error_increase: float | None,
    sparse: bool,
    dataset: str | None,
    data_root: Path | None,
    out: Path | None,
    json: bool,
    quiet: bool,
) -> None:
    """Write a pruned network to a small file that other programs open.

    CHECKPOINT is what `vdprune prune` wrote (pruned.h5 by default). An .h5 file with csr weights gives a
    scipy.sparse matrix through anndata.io.read_elem; README.md shows how to read it with h5py
    alone.
    """
    format = choose_format(format, out)
    _check_options(
        format,
        {
            "--bits": bits is not None,
            "--max-error-increase": max_error_increase is not None,
            "--dataset": dataset is not None,
            "--data-root": data_root is not None,
            "--sparse": sparse,
            "--dtype float16": dtype != "float32",
        },
    )
    if bits is not None and max_error_increase is not None:
        raise click.UsageError("give --bits or --max-error-increase, not both")
    from vdprune.cli.loading import load_checkpoint
    from vdprune.cli.results import describe_file, print_result, tell_threshold
    from vdprune.export.collecting import collect_checkpoint
    from vdprune.formats.packed_coding import load_constriction
    from vdprune.pruning import noise_threshold

    out = out or Path(FORMATS[format])
    loaded = load_checkpoint(checkpoint)
    check_out(out, checkpoint)
    if format == "packed":
        load_constriction()  # or say that it is missing before anything takes time
    if not quiet:
        tell_of_state(checkpoint, loaded)
    threshold = noise_threshold(loaded.model, loaded.threshold)
    if not loaded.pruned and not quiet and threshold is not None:
        click.echo(
            f"{checkpoint} is not pruned: its weights are cut at the threshold that it was trained "
            f"with, log alpha {tell_threshold(threshold)}",
            err=True,
        )
    whole = weights = collect_checkpoint(loaded)
    if compact:
        from vdprune.formats.compacting import compact_weights

        weights = compact_weights(weights)
    if dtype == "float16":
        weights = weights.in_float16()
    if format == "packed":
        examples = None
        if bits is None:
            examples = _load_examples(checkpoint, loaded, dataset, data_root)
            if not quiet:
                words = examples.description
                if not loaded.recipe["validation"]:
                    words = f"{len(examples.x):,} training examples, for training held out none"
                click.echo(f"choosing bits by {words}", err=True)
            load_runtime(quiet)
        most_changed = _MOST_CHANGED if max_error_increase is None else max_error_increase
        weights = _quantise(weights, bits, examples, most_changed)
    files = write_weights(out, weights, format, sparse)
    size = sum(file.stat().st_size for file in files)
    dense = 4 * sum(array.size for array in (*whole.weights.values(), *whole.others.values()))
    kind = "compact weights" if compact else "weights"
    result = describe_file(
        out, kind, loaded.arch, loaded.dataset, loaded.threshold, weights.sparsity()
    )
    result.update({"format": format, "dtype": dtype, "bytes": size, "dense_bytes": dense})
    print_result(result, json)
    if not json:
        names = " and ".join(map(str, files))
        times = f" ({dense / size:.1f} times as much)" if dense > 1.05 * size else ""
        click.echo(f"{names}: {size:,} bytes; the arrays dense in float32: {dense:,} bytes{times}")


def _check_options(format: str, given: dict[str, bool]) -> None:
    """Refuse options that are for another format."""
    for option, is_given in given.items():
        if is_given and format not in _IS_FOR[option]:
            raise click.UsageError(f"{option} is for --format {' or '.join(_IS_FOR[option])}")


def _load_examples(
    path: Path, checkpoint: "Checkpoint", dataset: str | None, data_root: Path | None
) -> "Split":
    """Load what the error is measured on: never the test examples."""
    from vdprune.cli.loading import load_its_dataset

    data = load_its_dataset(path, checkpoint.dataset, dataset, data_root)
    held_out = data.hold_out(checkpoint.recipe["validation"]).validation
    return data.sample(_MOST_EXAMPLES) if held_out is None else held_out


def _quantise(
    weights: "Weights", bits: int | None, examples: Any, max_error_increase: float
) -> "Weights":
    from vdprune.export.quantising import choose_bits, quantise

    if bits is not None:
        return quantise(weights, bits)
    return choose_bits(weights, examples, max_error_increase)
