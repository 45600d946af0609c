"""vdprune convert."""

import json as json_format
from pathlib import Path

import click

from vdprune.cli.options import FILE, check_out, config_option, output_options
from vdprune.cli.writing import FORMATS, choose_format, write_weights
from vdprune.errors import ArgumentError


@click.command("convert")
@click.argument("source", type=FILE)
@click.argument("out", type=FILE)
@click.option(
    "--format",
    type=click.Choice(list(FORMATS)),
    help="What OUT becomes, as for `vdprune export`.  [default: by its ending; csr for .h5 and .npz]",
)
@output_options
@config_option
def convert_command(source: Path, out: Path, format: str | None, json: bool, quiet: bool) -> None:
    """Write an exported network in another format, with the same numbers.

    SOURCE is what `vdprune export` wrote: .h5, .npz, .packed or .safetensors. OUT is written in the
    format of its ending, .onnx and .c too; a packed file of weights that were quantised before, as
    `vdprune export --format packed` does it.
    """
    from vdprune.cli.loading import load_any

    format = choose_format(format, out)
    weights = load_any(source, needs_model=False).weights
    if weights is None:
        raise ArgumentError(
            f"{source} is a checkpoint: `vdprune export` makes weight files of those"
        )
    check_out(out, source)
    files = write_weights(out, weights, format)
    before, after = source.stat().st_size, sum(file.stat().st_size for file in files)
    if json:
        result = {
            "file": str(out),
            "format": format,
            "bytes": after,
            "source": str(source),
            "source_bytes": before,
        }
        click.echo(json_format.dumps(result))
    elif not quiet:
        names = " and ".join(map(str, files))
        click.echo(f"{source}, {before:,} bytes -> {names}, {after:,} bytes")
