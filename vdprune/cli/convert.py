"""vdprune convert."""

from pathlib import Path

import click

from vdprune.cli.options import FILE, check_out, config_option
from vdprune.cli.writing import FORMATS, check_ending, write_weights
from vdprune.errors import ArgumentError

_BY_ENDING = {Path(name).suffix: format for format, name in reversed(FORMATS.items())}
_BY_ENDING[".npz"] = "csr"


@click.command("convert")
@click.argument("source", type=FILE)
@click.argument("out", type=FILE)
@click.option(
    "--format",
    type=click.Choice(list(FORMATS)),
    help="What OUT becomes, as for `vdprune export`.  [default: by its ending; csr for .h5 and .npz]",
)
@click.option("--quiet", is_flag=True, help="Say nothing.")
@config_option
def convert_command(source: Path, out: Path, format: str | None, quiet: bool) -> None:
    """Write an exported network in another format, with the same numbers.

    SOURCE is what `vdprune export` wrote: .h5, .npz, .packed or .safetensors. OUT is written in the
    format of its ending, .onnx and .c too; a packed file of weights that were quantised before, as
    `vdprune export --format packed` does it.
    """
    from vdprune.cli.loading import load_any

    if format is None:
        if out.suffix not in _BY_ENDING:
            raise ArgumentError(
                f"{out} ends in {out.suffix or 'nothing'}, which is of no format: choose "
                f"{', '.join(sorted(_BY_ENDING))}"
            )
        format = _BY_ENDING[out.suffix]
    check_ending(out, format)
    weights = load_any(source, needs_model=False).weights
    if weights is None:
        raise ArgumentError(
            f"{source} is a checkpoint: `vdprune export` makes weight files of those"
        )
    check_out(out, source)
    files = write_weights(out, weights, format)
    if not quiet:
        size = sum(file.stat().st_size for file in files)
        names = " and ".join(map(str, files))
        click.echo(
            f"{source}, {source.stat().st_size:,} bytes -> {names}, {size:,} bytes", err=True
        )
