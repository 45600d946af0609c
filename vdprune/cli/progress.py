"""What `vdprune train` shows while it runs, on standard error."""

import math
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click
from tqdm import tqdm

if TYPE_CHECKING:
    from vdprune.training.callbacks import Callbacks
    from vdprune.training.trainer import TrainingRun


class Progress:
    """A line per epoch, and a bar within the epoch on a terminal.

    Args:
        quiet: Show nothing.
        should_stop: Passed on to the run.
    """

    def __init__(self, quiet: bool, should_stop: Callable[[], bool]) -> None:
        self._quiet = quiet
        self._should_stop = should_stop
        self._bar: tqdm | None = None
        self._steps = 0  # that the bar has been told of
        self._epochs = 0

    @property
    def callbacks(self) -> "Callbacks":
        """What the run is to call."""
        from vdprune.training.callbacks import Callbacks

        if self._quiet:
            return Callbacks(should_stop=self._should_stop)
        return Callbacks(self._on_step, self._on_epoch, self._should_stop)

    def begin(self, run: "TrainingRun") -> None:
        """Say what is about to run."""
        if self._quiet:
            return
        recipe = run.recipe
        data = run.dataset
        self._epochs = run.epochs_before + recipe.epochs
        split = data.validation or data.test
        steps = -(-len(data.train.x) // recipe.batch_size)
        where = describe_device(run.device.name)
        click.echo(
            f"{run.checkpoint.arch} on {data.train.description}, {data.classes} classes; training on "
            f"{where}",
            err=True,
        )
        for line in recipe.describe():
            click.echo(line, err=True)
        click.echo(f"error and loss are measured on {split.description}", err=True)
        if run.epochs_before:
            click.echo(
                f"{count_of(run.epochs_before, 'epoch')} of training came before: those of this run are "
                f"numbered from {run.epochs_before + 1} on",
                err=True,
            )
        if run.is_finished:
            click.echo(f"the run is complete: epoch {self._epochs} is done", err=True)
            return
        self._steps = run.iteration
        if run.iteration:
            click.echo(f"going on after {count_of(run.iteration, 'step')}", err=True)
            before = describe_device(run.was_on or run.device.name)
            if before != where:
                click.echo(
                    f"the run was on {before} so far: on {where} it ends close to where it would have "
                    "ended there, not bit for bit",
                    err=True,
                )
        layers = [layer.name for layer in run.checkpoint.model.sparsity().layers]
        click.echo(_header(layers), err=True)
        self._bar = tqdm(
            total=steps, disable=None, leave=False, unit="step", file=sys.stderr, dynamic_ncols=True
        )

    def tell(self, text: str) -> None:
        """Print a line."""
        if not self._quiet:
            click.echo(text, err=True)

    @contextmanager
    def counting(self, unit: str, what: str) -> Iterator[Callable[[Path, int, int], None]]:
        """Show how the making of files goes: a bar on a terminal, else a line at each quarter.

        Args:
            unit: What is counted.
            what: What goes into each file.

        Yields:
            What is to be called with the file, the number that is done and the total, for the first time
            before anything is done; it raises KeyboardInterrupt when the run is to stop.
        """
        start, quarters = 0.0, 0
        disable = True if self._quiet else None
        with tqdm(disable=disable, leave=False, unit=unit, file=sys.stderr) as bar:

            def count(path: Path, done: int, total: int) -> None:
                nonlocal start, quarters
                if self._should_stop():
                    raise KeyboardInterrupt
                if done == 0:
                    start, quarters = time.perf_counter(), 0
                    bar.clear()
                    self.tell(f"making {what}, into {path}")
                    bar.reset(total)
                bar.update(done - bar.n)
                if bar.disable and 4 * done // total > quarters:
                    quarters = 4 * done // total
                    seconds = count_of(round(time.perf_counter() - start), "second")
                    self.tell(f"{25 * quarters} % after {seconds}")

            yield count

    def tell_of_compiling(self) -> None:
        """Say why nothing happens."""
        self.tell("compiling the kernels for this machine, once; it may take a minute")

    def end(self) -> None:
        """Take the bar away."""
        if self._bar is not None:
            self._bar.close()

    def _on_step(self, iteration: int) -> None:
        if self._bar is not None:
            self._bar.update(iteration - self._steps)
            self._steps = iteration

    def _on_epoch(self, row: dict[str, float]) -> None:
        if self._bar is not None:
            self._bar.clear()
            click.echo(_line(row, self._epochs), err=True)
            self._bar.reset()


def count_of(number: int, noun: str) -> str:
    """Say how many there are.

    Args:
        number: How many.
        noun: Of what, in the singular.

    Returns:
        Words such as "1 step" or "2 steps".
    """
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def describe_device(name: str) -> str:
    """Name a device.

    Args:
        name: Chainer's name of it.

    Returns:
        Words such as "GPU 0".
    """
    return "the CPU" if name == "@numpy" else f"GPU {name.removeprefix('@cupy:')}"


def _header(layers: list[str]) -> str:
    sparsities = " ".join(f"{name:>7}" for name in layers)
    return (
        f"{'epoch':>9} {'loss':>8} {'class':>7} {'KL/N':>8} {'weight':>6} {'train':>7} {'error':>7} "
        f"{'eval':>7}  {sparsities} {'compr.':>8} {'s':>6}"
    )


def _line(row: dict[str, float], epochs: int) -> str:
    sparsities = " ".join(
        f"{100 * value:6.2f}%" for name, value in row.items() if name.startswith("sparsity_of/")
    )
    compression = f"{row['compression']:7.1f}x"
    if math.isinf(row["compression"]):
        compression = f"{'all cut':>8}"
    return (
        f"{row['epoch']:>4.0f}/{epochs:<4d} {row['loss']:8.4f} {row['class']:7.4f} {row['kl']:8.4f} "
        f"{row['kl_coef']:6.2f} {row['train_error']:6.2f}% {row['error']:6.2f}% "
        f"{row['eval_loss']:7.4f}  {sparsities} {compression} {row['seconds']:6.1f}"
    )
