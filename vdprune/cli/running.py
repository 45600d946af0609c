"""Training runs on the command line: signals, interruptions, how to go on."""

import shlex
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from vdprune.errors import DeviceError

if TYPE_CHECKING:
    from vdprune.cli.progress import Progress
    from vdprune.training.trainer import TrainingRun


def run_to_the_end(
    run: "TrainingRun", progress: "Progress", received: list[int], how_to_go_on: str
) -> None:
    """Train, telling what happens; leave the program if it is interrupted.

    Args:
        run: The run.
        progress: What tells of it.
        received: The signals that `watching_signals` collects.
        how_to_go_on: With what, for the messages.

    Raises:
        DeviceError: The GPU failed.
    """
    from vdprune.checkpoint import save_checkpoint
    from vdprune.kernels.loading import load_kernels
    from vdprune.training.extensions import TrainingInterruptedError

    load_kernels(progress.tell_of_compiling)
    progress.begin(run)
    try:
        run.run()
    except TrainingInterruptedError as interruption:
        progress.end()
        click.echo(
            f"vdprune: {interruption}; {run.out} is written, go on with {how_to_go_on}", err=True
        )
        sys.exit(128 + received[0])
    except DeviceError as error:
        if len(run.checkpoint.history) == run.epochs_before:
            raise
        raise DeviceError(f"{error}; go on with {how_to_go_on}") from error
    finally:
        progress.end()
    if run.checkpoint.pruned:  # fine-tuning is done: what it needed to go on is needed no more
        save_checkpoint(run.out, run.checkpoint)


def how_to_resume(out: Path, gpu: int | None) -> str:
    """Tell the command that takes up a run.

    Args:
        out: Its checkpoint.
        gpu: The GPU that it ran on, or None.

    Returns:
        The command, in backticks.
    """
    file = "" if out == Path("checkpoint.h5") else f" --out {shlex.quote(str(out))}"
    return f"`vdprune train --resume{file}{'' if gpu is None else f' --gpu {gpu}'}`"


@contextmanager
def watching_signals() -> Iterator[list[int]]:
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


def print_run(run: "TrainingRun", as_json: bool) -> None:
    """Print what came of a run.

    Args:
        run: The run, done.
        as_json: Whether to print one JSON object.
    """
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
    history, before = checkpoint.history[run.epochs_before :], checkpoint.preparation
    result["epochs"] = len(history)
    result["seconds"] = sum(row["seconds"] for row in history) + before
    result["preparation_seconds"] = before
    print_result(result, as_json, split.description)
    if not as_json:
        epochs = f"{len(history)} epoch{'' if len(history) == 1 else 's'}"
        what = f", of which {_tell_time(before)} for the teacher and the images" if before else ""
        click.echo(f"{epochs} in {_tell_time(result['seconds'])}{what}")


def _tell_time(seconds: float) -> str:
    return f"{seconds:.0f} seconds" if seconds < 60 else f"{seconds / 60:.1f} minutes"
