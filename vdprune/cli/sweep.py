"""vdprune sweep."""

import json as json_format
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from vdprune.cli.options import (
    FILE,
    PERCENT,
    config_option,
    dataset_options,
    gpu_option,
    output_options,
)

if TYPE_CHECKING:
    from vdprune.sweep import SweepPoint

_MORE = 8  # points that are spent on the choice


@click.command("sweep")
@click.argument("checkpoint", type=FILE, default=Path("checkpoint.h5"))
@dataset_options("the one that the network was trained on")
@click.option(
    "--max-error-increase",
    type=PERCENT,
    metavar="PERCENT",
    help="Choose the threshold that leaves the fewest weights with at most this much more error than "
    "at the file's own threshold. Needs images that training held out (train --validation).",
)
@click.option(
    "--points",
    type=click.IntRange(min=3),
    default=32,
    show_default=True,
    metavar="N",
    help=f"How many thresholds to measure; up to {_MORE} more place the one that --max-error-increase "
    "chooses.",
)
@click.option(
    "--picture",
    type=FILE,
    metavar="FILE",
    help="Draw error against compression into this file, .png, .svg or .pdf; needs matplotlib.",
)
@gpu_option
@output_options
@config_option
def sweep_command(
    checkpoint: Path,
    dataset: str | None,
    data_root: Path | None,
    max_error_increase: float | None,
    points: int,
    picture: Path | None,
    gpu: int | None,
    json: bool,
    quiet: bool,
) -> None:
    """Measure error and compression at every threshold that matters.

    CHECKPOINT is what `vdprune train` wrote (checkpoint.h5 by default); nothing is trained, and the file
    stays as it is. The images are those that training held out, if it did, else the test images, on
    which no threshold is chosen.
    """
    from tqdm import tqdm

    from vdprune.cli.loading import load_checkpoint, load_its_dataset
    from vdprune.devices import get_device, gpu_errors
    from vdprune.errors import ArgumentError
    from vdprune.sweep import Sweep

    if picture is not None:
        from vdprune.plotting import check_picture

        check_picture(picture)
    device = get_device(gpu)
    loaded = load_checkpoint(checkpoint)
    data = load_its_dataset(checkpoint, loaded.dataset, dataset, data_root)
    split = data.hold_out(loaded.recipe["validation"]).validation
    if split is None and max_error_increase is not None:
        raise ArgumentError(
            f"{checkpoint} was trained on all training images, so there are none to choose a threshold "
            "on: leave --max-error-increase out, or train with --validation 5000"
        )
    examples = split or data.test
    total = points + (0 if max_error_increase is None else _MORE)
    bar = tqdm(total=total, unit="threshold", leave=False, disable=True if quiet else None)
    with gpu_errors(), bar:
        loaded.model.to_device(device)
        sweep = Sweep(loaded.model, examples)
        if not quiet:
            bar.clear()
            click.echo(f"measuring on {examples.description}", err=True)
        sweep.run(loaded.threshold, points, lambda point: bar.update())
        chosen = None
        own = next(point for point in sweep.points if point.threshold == loaded.threshold)
        guessing = examples.guessing_error()
        if max_error_increase is not None and own.error < guessing:
            chosen = sweep.narrow(
                loaded.threshold, max_error_increase, _MORE, lambda point: bar.update()
            )
    if not quiet and max_error_increase is not None:
        _tell_of_guessing(own, chosen, guessing)
    found = {
        "file": str(checkpoint),
        "arch": loaded.arch,
        "dataset": data.name,
        "split": "test" if split is None else "validation",
        "examples": len(examples.x),
        "weights": sweep.points[0].weights,
        "threshold": loaded.threshold,
        "max_error_increase": max_error_increase,
        "chosen": None if chosen is None else chosen.to_json(),
        "points": [point.to_json() for point in sweep.points],
    }
    if picture is not None:
        from vdprune.plotting import draw_sweep, save_figure

        figure = draw_sweep(sweep.points, loaded.threshold, chosen, examples.description)
        save_figure(figure, picture)
        if not quiet:
            click.echo(f"{picture} is written", err=True)
    _print(found, sweep.points, chosen, json)


def _tell_of_guessing(own: "SweepPoint", chosen: "SweepPoint | None", guessing: float) -> None:
    """Say so on standard error where the network knows nothing, at its own threshold or the chosen."""
    but = f"no less than one that says the same of all images, {guessing:.2f} %"
    if chosen is None:
        click.echo(
            f"vdprune: no threshold is chosen: at its own the network gets {own.error:.2f} % wrong, "
            f"{but}: train it for longer, or with a lower KL weight",
            err=True,
        )
    elif chosen.error >= guessing:
        click.echo(
            f"vdprune: the network of the chosen threshold gets {chosen.error:.2f} % wrong, {but}: "
            "accept less with --max-error-increase",
            err=True,
        )


def _print(
    found: dict[str, Any], points: "list[SweepPoint]", chosen: "SweepPoint | None", as_json: bool
) -> None:
    if as_json:
        click.echo(json_format.dumps(found, allow_nan=False))
        return
    click.echo(f"{found['file']}: {found['arch']}, {found['weights']:,} weights")
    click.echo("log alpha     kept   sparsity   compr.     error     loss")
    for point in points:
        compression = "infinite" if point.compression is None else f"{point.compression:.1f}x"
        note = ""
        if point.threshold == found["threshold"]:
            note = "  the file's own"
        if chosen is not None and point.threshold == chosen.threshold:
            note = "  chosen"
        click.echo(
            f"{point.threshold:9.3f} {point.nonzero:8,} {100 * point.sparsity:8.2f} % {compression:>8} "
            f"{point.error:7.2f} % {point.loss:8.4f}{note}"
        )
    if chosen is not None:
        from vdprune.cli.results import tell_threshold

        click.echo(
            f"\nvdprune prune {shlex.quote(found['file'])} "
            f"--threshold={tell_threshold(chosen.threshold)}\n"
            f"keeps {chosen.nonzero:,} weights, with at most {found['max_error_increase']:g} percentage "
            f"points more error on the {found['examples']:,} validation examples"
        )
