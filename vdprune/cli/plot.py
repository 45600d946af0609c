"""vdprune plot."""

from pathlib import Path

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
    from vdprune.cli.pictures import draw_all

    folder = file.with_name(f"{file.stem}-plots") if out is None else out
    loaded = load_any(file)
    plotting.load_matplotlib()  # says so if it is missing
    folder.mkdir(parents=True, exist_ok=True)
    for name, figure in draw_all(loaded):
        path = folder / f"{name}.{suffix}"
        plotting.check_picture(path)
        plotting.save_figure(figure, path)
        click.echo(str(path))
    if loaded.kind == "weights" and not quiet:
        click.echo(
            f"{file} is an exported weight file, which knows no history and no noise: its checkpoint "
            "gives more pictures",
            err=True,
        )
