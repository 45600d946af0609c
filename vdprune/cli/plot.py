"""vdprune plot."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click

from vdprune.cli.options import FILE, config_option


@click.command("plot")
@click.argument("file", type=FILE, default=Path("checkpoint.h5"))
@click.option(
    "--out",
    type=FILE,
    metavar="FOLDER",
    help="Where the pictures go.  [default: FILE's name without its suffix, and -plots]",
)
@click.option(
    "--format",
    "suffix",
    type=click.Choice(["png", "svg", "pdf"]),
    default="png",
    show_default=True,
    help="What the pictures are.",
)
@click.option("--quiet", "-q", is_flag=True, help="Print the names of the pictures alone.")
@config_option
def plot_command(file: Path, out: Path | None, suffix: str, quiet: bool) -> None:
    """Draw how a network was trained and what is left of it.

    FILE is any of ours, checkpoint.h5 by default. Of a checkpoint: curves over the epochs, error against
    compression, the noise of the weights of each layer; of all files: which weights of each layer are
    left. Needs matplotlib.
    """
    from vdprune import plotting
    from vdprune.cli.loading import load_any
    from vdprune.storage import check_writable

    folder = file.with_name(f"{file.stem}-plots") if out is None else out
    loaded = load_any(file)
    plotting.load_matplotlib()  # says so if it is missing
    folder.mkdir(parents=True, exist_ok=True)
    for name, figure in _draw_all(file, loaded):
        path = folder / f"{name}.{suffix}"
        check_writable(path)
        plotting.save_figure(figure, path)
        click.echo(str(path))
    if loaded.kind == "weights" and not quiet:
        click.echo(
            f"{file} is an exported weight file, which knows no history and no noise: its checkpoint "
            "gives more pictures",
            err=True,
        )


def _draw_all(file: Path, loaded: Any) -> Iterator[tuple[str, Any]]:
    from chainer import as_array

    from vdprune import plotting

    if loaded.kind != "weights":
        from vdprune.cli.loading import load_checkpoint

        history = load_checkpoint(file).history
        if history:
            yield "curves", plotting.draw_curves(history)
            yield "error-against-compression", plotting.draw_error_against_compression(history)
        layers = [
            (name, as_array(link.log_alpha()))
            for name, link in loaded.model.named_variational_links()
        ]
        yield "log-alpha", plotting.draw_log_alpha(layers, loaded.threshold)
    links = {name.lstrip("/"): link for name, link in loaded.model.namedlinks()}
    for number, name in enumerate(layer.name for layer in loaded.sparsity.layers):
        link = links[name]
        kept = as_array(link.W if loaded.kind == "weights" else link.masked_W()) != 0
        input_shape = loaded.model.scaling.mean.shape if number == 0 else None
        figure = plotting.draw_mask(name, kept, input_shape)
        yield f"mask-{name.replace('/', '-')}", figure
