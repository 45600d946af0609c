"""Training runs on the command line: signals, interruptions, how to go on."""

import shlex
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import click

from vdprune.cli.interruption import was_interrupted
from vdprune.errors import DeviceError

if TYPE_CHECKING:
    from vdprune.checkpoint import Checkpoint
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
        leave(f"{interruption}; {run.out} is written, go on with {how_to_go_on}", received)
    except KeyboardInterrupt:  # asked twice
        progress.end()
        kept = run.tell_what_is_kept()
        leave(
            f"interrupted{kept}{f', go on with {how_to_go_on}' if run.has_checkpoint else ''}",
            received,
        )
    except DeviceError as error:
        if not run.has_checkpoint:
            raise
        raise DeviceError(f"{error}; go on with {how_to_go_on}") from error
    finally:
        progress.end()
    if run.checkpoint.pruned:  # fine-tuning is done: what it needed to go on is needed no more
        run.own_file.check()
        save_checkpoint(run.out, run.checkpoint)


def load_runtime(quiet: bool) -> None:
    """Make the runtime ready; say why nothing happens where that takes long.

    Args:
        quiet: Whether to say nothing.
    """
    from vdprune.kernels.loading import load_inference

    words = "compiling the kernels for this machine, once; it may take a minute"
    load_inference(lambda: None if quiet else click.echo(words, err=True))


def leave(words: str, received: list[int]) -> NoReturn:
    """Leave the program, which was interrupted.

    Args:
        words: What is done and how to go on.
        received: The signals that `watching_signals` collected.
    """
    with suppress(OSError):  # the terminal may have gone
        click.echo(f"vdprune: {words}", err=True)
    sys.exit(128 + received[0])


def same_command() -> str:
    """Tell the command that was given.

    Returns:
        The command, in backticks, after words that say that it is the same.
    """
    return f"the same command, `{shlex.join(['vdprune', *sys.argv[1:]])}`"


def how_to_resume(out: Path, data_root: Path | None, gpu: int | None, threads: int | None) -> str:
    """Tell the command that takes up a run, with the options that its checkpoint does not hold.

    Args:
        out: Its checkpoint.
        data_root: The folder of its data, or None.
        gpu: The GPU that it ran on, or None.
        threads: How many threads it was given, or None.

    Returns:
        The command, in backticks.
    """
    options = {
        "--out": None if out == Path("checkpoint.h5") else out,
        "--data-root": data_root,
        "--gpu": gpu,
        "--threads": threads,
    }
    given = [f"{name} {shlex.quote(str(it))}" for name, it in options.items() if it is not None]
    return f"`{' '.join(['vdprune train --resume', *given])}`"


def tell_of_state(path: Path, checkpoint: "Checkpoint") -> None:
    """Say so on standard error where a checkpoint's training is not done, or has ruined it.

    Args:
        path: The file.
        checkpoint: What it holds.
    """
    from vdprune.checkpoint import count_epochs
    from vdprune.finiteness import find_parameter
    from vdprune.recipes.tables import from_table

    fault = find_parameter(checkpoint.model)
    if fault is not None:
        click.echo(f"vdprune: {path} is of no use: {fault}", err=True)
    done, epochs = count_epochs(path), from_table(checkpoint.recipe).epochs
    if done is not None and done < epochs:
        click.echo(
            f"vdprune: {path}: {done} of {epochs} epochs are done, its training is not; "
            f"{how_to_resume(path, None, None, None)} goes on with it",
            err=True,
        )


@contextmanager
def watching_signals() -> Iterator[list[int]]:
    """Collect Ctrl-C, SIGTERM and SIGHUP, to stop between two steps; a second one stops at once."""
    received: list[int] = []

    def receive(number: int, frame: Any) -> None:
        if received:
            raise KeyboardInterrupt
        received.append(number)

    numbers = [signal.SIGINT, signal.SIGTERM]
    if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:  # as under nohup
        numbers.append(signal.SIGHUP)
    before = {number: signal.signal(number, receive) for number in numbers}
    try:
        if was_interrupted():  # where an import swallowed it
            raise KeyboardInterrupt
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
    from vdprune.chain_evaluation import evaluate
    from vdprune.cli.progress import count_of
    from vdprune.cli.results import describe_file, print_result
    from vdprune.pruning import noise_threshold

    checkpoint = run.checkpoint
    split = run.dataset.validation or run.dataset.test
    result = describe_file(
        run.out,
        checkpoint.kind,
        checkpoint.arch,
        checkpoint.dataset,
        noise_threshold(checkpoint.model, checkpoint.threshold),
        checkpoint.model.sparsity(),
        evaluate(checkpoint.model, split),
    )
    history = checkpoint.history[run.epochs_before :]
    before = 0.0 if run.epochs_before else checkpoint.preparation  # or it was an earlier run's
    result["epochs"] = len(history)
    result["seconds"] = sum(row["seconds"] for row in history) + before
    result["preparation_seconds"] = before
    print_result(result, as_json, split.description)
    if not as_json:
        what = f", of which {_tell_time(before)} for the teacher and the images" if before else ""
        epochs = count_of(len(history), "epoch")
        click.echo(f"{epochs} in {_tell_time(result['seconds'])}{what}")


def _tell_time(seconds: float) -> str:
    from vdprune.cli.progress import count_of

    return count_of(round(seconds), "second") if seconds < 60 else f"{seconds / 60:.1f} minutes"
