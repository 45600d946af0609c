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

    FILE is any of ours, checkpoint.h5 by default. Of a checkpoint and of a pruned file: curves over the
    epochs, error against compression, the noise of the weights of each layer; of exported weights, too:
    which weights of each layer are left. What there is none of, as noise or cut weights, is not drawn.
    Needs matplotlib.
    """
    from vdprune import plotting
    from vdprune.cli.loading import load_any
    from vdprune.cli.pictures import draw_all, tell_what_is_left_out
    from vdprune.errors import ArgumentError

    folder = file.with_name(f"{file.stem}-plots") if out is None else out
    loaded = load_any(file, needs_model=False)
    plotting.load_matplotlib()  # says so if it is missing
    if folder.exists() and not folder.is_dir():
        raise ArgumentError(f"{folder} is a file: pictures go into a folder, give one with --out")
    if not folder.parent.is_dir():
        raise ArgumentError(
            f"{folder} can't be made: there is no folder {str(folder.parent)!r}; make it, or choose "
            "another --out"
        )
    folder.mkdir(exist_ok=True)
    for name, figure in draw_all(loaded):
        path = folder / f"{name}.{suffix}"
        plotting.check_picture(path)
        plotting.save_figure(figure, path)
        click.echo(str(path))
    if not quiet:
        for reason in tell_what_is_left_out(file, loaded):
            click.echo(reason, err=True)
