"""vdprune train."""

import shlex
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from vdprune.archs import ARCHS
from vdprune.cli.options import (
    check_checkpoint_name,
    config_option,
    dataset_options,
    gpu_option,
    out_option,
    output_options,
    threads_option,
)
from vdprune.errors import ArgumentError, DeviceError
from vdprune.training.recipe import RECIPES, Recipe

if TYPE_CHECKING:
    from vdprune.checkpoint import Checkpoint
    from vdprune.training.trainer import TrainingRun

PAPER = RECIPES["paper"]


def recipe_option(name: str, kind: Any, text: str) -> Any:
    """Make an option that overrides a recipe's field, the paper's value in its help."""
    field = name.removeprefix("--").replace("-", "_")
    value = getattr(PAPER, field)
    return click.option(name, type=kind, metavar="N", help=f"{text}  [paper: {value:g}]")


@click.command("train", short_help="Train a network with sparse variational dropout.")
@click.option("--arch", type=click.Choice(list(ARCHS)), help="The network.  [default: lenet300]")
@dataset_options(default="mnist")
@click.option(
    "--recipe",
    type=click.Choice(list(RECIPES)),
    help="What the options below start from: paper, or quick for a first look.  [default: paper]",
)
@recipe_option("--epochs", int, "Passes through the training images; the schedules move along.")
@recipe_option("--batch-size", int, "Images in a step.")
@recipe_option("--learning-rate", float, "Adam's step size at the start.")
@recipe_option("--learning-rate-hold", float, "Epochs it is held for; then linear to 0.")
@recipe_option("--kl-start", float, "Epochs for which the KL weight is 0.")
@recipe_option("--kl-end", float, "Epoch from which the KL weight is 1.")
@recipe_option("--initial-log-sigma2", float, "Where the weights' log variances start.")
@recipe_option("--threshold", float, "Log alpha above which a weight counts as zero.")
@recipe_option("--theta-std", float, "Standard deviation of the initial weights.")
@recipe_option(
    "--compact-every",
    int,
    "Epochs after which units and pixels without weights drop out of training; 0: never.",
)
@recipe_option("--seed", int, "Seed of everything random.")
@recipe_option(
    "--validation",
    int,
    "Training images to hold out; the epoch lines then report on them, not on the test images, and "
    "the best of the epochs at full KL weight is kept in checkpoint.best.h5.",
)
@out_option("checkpoint.h5", "FILE.h5", "It is replaced after each epoch.")
@click.option("--resume", is_flag=True, help="Go on with the run in --out.")
@click.option("--overwrite", is_flag=True, help="Replace the run in --out.")
@gpu_option
@threads_option
@output_options
@config_option
def train_command(
    arch: str | None,
    dataset: str | None,
    data_root: Path | None,
    recipe: str | None,
    out: Path,
    resume: bool,
    overwrite: bool,
    gpu: int | None,
    threads: int | None,
    json: bool,
    quiet: bool,
    **options: Any,
) -> None:
    """Train a network with sparse variational dropout (Molchanov et al., ICML 2017).

    It learns how noisy each weight may be; those that are all noise count as zero. The checkpoint is
    written after each epoch, and when training is interrupted.

    A line per epoch shows the loss (class + weight * KL/N), its two parts, the weight of the KL
    divergence, the error in training, error and cross entropy in evaluation, each layer's sparsity, the
    compression and the seconds.
    """
    from vdprune.cli.progress import Progress
    from vdprune.cli.results import warn_of_collapse
    from vdprune.devices import get_device, gpu_errors
    from vdprune.kernels.loading import load_kernels
    from vdprune.threads import limited_threads
    from vdprune.training.extensions import TrainingInterruptedError

    if resume and overwrite:
        raise click.UsageError("give --resume or --overwrite, not both")
    device = get_device(gpu)
    given = {"arch": arch, "dataset": dataset, "recipe": recipe, **options}
    with limited_threads(threads), gpu_errors(), _watching_signals() as received:
        progress = Progress(quiet, lambda: bool(received))
        if resume:
            run = _resume(out, given, data_root, device, progress)
        else:
            run = _start(out, given, data_root, device, progress, overwrite)
        load_kernels(progress.tell_of_compiling)
        progress.begin(run)
        try:
            run.run()
        except TrainingInterruptedError as interruption:
            progress.end()
            click.echo(
                f"vdprune: {interruption}; {out} is written, go on with {_tell_how_to_resume(out, gpu)}",
                err=True,
            )
            sys.exit(128 + received[0])
        except DeviceError as error:
            if not run.checkpoint.history:
                raise
            raise DeviceError(f"{error}; go on with {_tell_how_to_resume(out, gpu)}") from error
        finally:
            progress.end()
    _print_result(run, json)
    if not quiet:
        warn_of_collapse(
            run.checkpoint.model.sparsity(),
            "the KL divergence outweighed the data; raise --kl-start and --kl-end, or train on more "
            "examples",
        )


def _tell_how_to_resume(out: Path, gpu: int | None) -> str:
    file = "" if out == Path("checkpoint.h5") else f" --out {shlex.quote(str(out))}"
    return f"`vdprune train --resume{file}{'' if gpu is None else f' --gpu {gpu}'}`"


def _start(
    out: Path,
    given: dict[str, Any],
    data_root: Path | None,
    device: Any,
    progress: Any,
    overwrite: bool,
) -> "TrainingRun":
    from vdprune.datasets import load_dataset
    from vdprune.storage import check_replaceable, check_writable
    from vdprune.training.trainer import TrainingRun, best_path, start_checkpoint

    check_checkpoint_name(out)
    recipe = RECIPES[given["recipe"] or PAPER.name].with_options(**_recipe_fields(given))
    check_writable(out)
    for path in (out, best_path(out)):
        check_replaceable(path)
        if path.exists() and not overwrite:
            raise ArgumentError(
                f"{path} exists: go on with its run with --resume, replace it with --overwrite, or "
                "give another file with --out"
            )
    data = load_dataset(
        "mnist" if given["dataset"] is None else given["dataset"], data_root
    ).hold_out(recipe.validation)
    checkpoint = start_checkpoint(recipe, given["arch"] or "lenet300", data)
    run = TrainingRun(checkpoint, data, out, device, progress.callbacks)
    best_path(out).unlink(missing_ok=True)  # of the run that is replaced
    return run


def _resume(
    out: Path, given: dict[str, Any], data_root: Path | None, device: Any, progress: Any
) -> "TrainingRun":
    from vdprune.cli.loading import load_checkpoint, load_its_dataset
    from vdprune.training.trainer import TrainingRun

    if not out.exists():
        raise ArgumentError(f"there is no run in {str(out)!r} to go on with: leave --resume out")
    checkpoint = load_checkpoint(out)
    _check_same_run(out, checkpoint, given)
    recipe = Recipe.from_json(checkpoint.recipe)
    data = load_its_dataset(out, checkpoint.dataset, given["dataset"], data_root)
    data = data.hold_out(recipe.validation)
    return TrainingRun.resume(out, data, device, progress.callbacks)


def _recipe_fields(given: dict[str, Any]) -> dict[str, Any]:
    return {
        name: value for name, value in given.items() if name not in ("arch", "dataset", "recipe")
    }


def _check_same_run(out: Path, checkpoint: "Checkpoint", given: dict[str, Any]) -> None:
    """Refuse options that say something else than the run that is to be resumed.

    Data may have moved: whether they are the same is told by what they hold.
    """
    wanted = {**_recipe_fields(given), "recipe": given["recipe"], "arch": given["arch"]}
    stored = {
        **checkpoint.recipe,
        "recipe": checkpoint.recipe["name"],
        "arch": checkpoint.arch,
    }
    for name, value in wanted.items():
        if value is not None and value != stored[name]:
            raise ArgumentError(
                f"{out} holds a run with {name} {stored[name]}, not {value}: a run goes on as it "
                f"began, so leave --{name.replace('_', '-')} out, or begin another with --out"
            )


@contextmanager
def _watching_signals() -> Iterator[list[int]]:
    """Collect Ctrl-C and SIGTERM, to stop between two steps; a second one stops at once."""
    received: list[int] = []

    def receive(number: int, frame: Any) -> None:
        if received:
            raise KeyboardInterrupt
        received.append(number)

    before = {number: signal.signal(number, receive) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield received
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _print_result(run: "TrainingRun", as_json: bool) -> None:
    from vdprune.cli.results import describe_file, print_result
    from vdprune.evaluation import evaluate

    checkpoint = run.checkpoint
    split = run.dataset.validation or run.dataset.test
    result = describe_file(
        run.out,
        checkpoint.kind,
        checkpoint.arch,
        checkpoint.dataset,
        checkpoint.threshold,
        checkpoint.model.sparsity(),
        evaluate(checkpoint.model, split),
    )
    result["epochs"] = len(checkpoint.history)
    result["seconds"] = sum(row["seconds"] for row in checkpoint.history)
    print_result(result, as_json, split.description)
    if not as_json:
        epochs = f"{result['epochs']} epoch{'' if result['epochs'] == 1 else 's'}"
        seconds = result["seconds"]
        time = f"{seconds:.0f} seconds" if seconds < 60 else f"{seconds / 60:.1f} minutes"
        click.echo(f"{epochs} in {time}")
