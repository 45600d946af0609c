"""What the commands share: where their numbers and pictures go."""

import json as json_format
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from vdprune.errors import VdpruneError
from vdprune.plotting import check_picture, save_figure
from vdprune.storage import check_writable, write_atomically


def output_options(name: str) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Give a command the options `--json` and `--picture`.

    Args:
        name: The experiment's name; the files' default names begin with it.

    Returns:
        The decorator.
    """
    path = click.Path(path_type=Path, dir_okay=False)
    options = [
        click.option(
            "--json",
            type=path,
            default=Path(f"{name}.json"),
            show_default=True,
            help="Where the numbers are written.",
        ),
        click.option(
            "--picture",
            type=path,
            default=Path(f"{name}.svg"),
            show_default=True,
            help="Where the picture is written; .png, .svg or .pdf.",
        ),
    ]

    def decorate(command: Callable[..., None]) -> Callable[..., None]:
        for option in reversed(options):
            command = option(command)
        return command

    return decorate


def run_experiment(
    measure: Callable[[], dict[str, Any]],
    draw: Callable[[dict[str, Any]], Any],
    tell: Callable[[dict[str, Any]], list[str]],
    json: Path,
    picture: Path,
) -> None:
    """Do an experiment, write what it gave and print it in short.

    Args:
        measure: Does it and returns what JSON can hold.
        draw: Makes matplotlib's figure of that.
        tell: Makes lines of it.
        json: Where the numbers go.
        picture: Where the figure goes.

    Raises:
        ClickException: matplotlib is missing, a file can't be written, or the experiment failed.
    """
    try:
        check_picture(picture)
        check_writable(json)
        results = measure()
        text = json_format.dumps(results, indent=1, allow_nan=False) + "\n"
        write_atomically(json, text.encode())
        save_figure(draw(results), picture)
    except VdpruneError as error:
        raise click.ClickException(str(error)) from None
    for line in tell(results):
        click.echo(line)
    click.echo(f"the numbers: {json}; the picture: {picture}", err=True)
