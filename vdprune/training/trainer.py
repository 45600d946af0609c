"""A training run from a recipe, on Chainer's own trainer."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import chainer
import h5py
import numpy
from chainer.backend import Device
from chainer.iterators import SerialIterator
from chainer.training import Trainer
from chainer.training.updaters import StandardUpdater

from vdprune.archs import build_arch
from vdprune.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from vdprune.datasets import Dataset
from vdprune.devices import gpu_errors
from vdprune.errors import ArgumentError, NonFiniteLossError
from vdprune.evaluation import evaluate
from vdprune.finiteness import check_finite, check_parameters
from vdprune.storage import check_writable
from vdprune.training.adam import Adam
from vdprune.training.batches import ArrayBatches
from vdprune.training.extensions import (
    Checkpoints,
    Compaction,
    EpochLog,
    RandomOnGpu,
    Schedules,
    on_each_step,
)
from vdprune.training.recipe import Recipe
from vdprune.training.state import load_state, save_state


@dataclass(frozen=True)
class Callbacks:
    """What a run tells and asks while it runs.

    Args:
        on_step: Called after each step with the number of steps done.
        on_epoch: Called after each epoch with its row of the history.
        should_stop: Asked after each step whether to save and stop.
    """

    on_step: Callable[[int], Any] = lambda iteration: None
    on_epoch: Callable[[dict[str, float]], Any] = lambda row: None
    should_stop: Callable[[], bool] = lambda: False


def start_checkpoint(recipe: Recipe, arch: str, dataset: Dataset) -> Checkpoint:
    """Make a network ready to be trained; NumPy's global generator is seeded.

    Args:
        recipe: The recipe.
        arch: The network's name in the registry.
        dataset: What it is to be trained on.

    Returns:
        The checkpoint of the untrained network.

    Raises:
        ArgumentError: There is no such arch, or it can't take the data.
    """
    numpy.random.seed(recipe.seed)
    kwargs = {
        "input_shape": list(dataset.input_shape),
        "classes": dataset.classes,
        "theta_std": recipe.theta_std,
    }
    model = build_arch(arch, **kwargs)
    model.warm_up = 0
    model.scaling.fit(dataset.train.x, dataset.input_scale)
    model.to_variational_dropout(
        loga_threshold=recipe.threshold, initial_log_sigma2=recipe.initial_log_sigma2
    )
    return Checkpoint(model, arch, kwargs, recipe.to_json(), dataset.name, recipe.threshold)


class TrainingRun:
    """One run: from its first step, or from where its checkpoint left it, to its last.

    Args:
        checkpoint: The network and how it is trained.
        dataset: The data, its validation split held out as the recipe says.
        out: The checkpoint file, written after each epoch.
        device: Where to train.
        callbacks: What to tell and ask.

    Raises:
        FileWriteError: ``out`` can't be written.
        ArgumentError: The network was made for other data, or a batch is larger than the data set.
    """

    def __init__(
        self,
        checkpoint: Checkpoint,
        dataset: Dataset,
        out: Path,
        device: Device,
        callbacks: Callbacks,
    ) -> None:
        check_writable(out)
        self.checkpoint = checkpoint
        self.dataset = dataset
        self.out = out
        self.recipe = Recipe.from_json(checkpoint.recipe)
        self.device = device
        self.was_on: str | None = None  # a resumed run's device before
        self._callbacks = callbacks
        train = dataset.train
        _check_data(checkpoint, dataset, self.recipe.batch_size)
        self._fingerprint = train.fingerprint()
        model = checkpoint.model
        model.num_train = len(train.x)
        model.statistics_interval = -(
            -len(train.x) // self.recipe.batch_size
        )  # the log has its own
        model.to_device(device)
        self._optimizer = Adam(alpha=self.recipe.learning_rate)
        self._optimizer.setup(model)
        self._iterator = SerialIterator(range(len(train.x)), self.recipe.batch_size)
        self._updater = StandardUpdater(
            self._iterator,
            self._optimizer,
            converter=ArrayBatches(train.x, train.t),
            device=device,
            loss_func=model.calc_loss,
        )
        self._compaction = Compaction(model, self.recipe.compact_every)
        self._log = EpochLog(checkpoint.history, self._describe_network, self._end_epoch)

    @classmethod
    def resume(
        cls, path: Path, dataset: Dataset, device: Device, callbacks: Callbacks
    ) -> "TrainingRun":
        """Take up the run that a checkpoint was written in.

        Args:
            path: The checkpoint; it is written to, too.
            dataset: The data that the run began with.
            device: Where to train.
            callbacks: What to tell and ask.

        Returns:
            The run, ready to go on.

        Raises:
            FileFormatError: The checkpoint can't be used.
            ArgumentError: The data are not those that the run began with.
        """
        runs = []

        def load_training(group: h5py.Group, checkpoint: Checkpoint) -> None:
            checkpoint = replace(checkpoint, dataset=dataset.name)  # it may have moved
            run = cls(checkpoint, dataset, path, device, callbacks)
            if group.attrs["data_sha256"] != run._fingerprint:
                raise ArgumentError(
                    f"{dataset.train.description} are not the {group.attrs['examples']:,} that the "
                    f"run in {path} began with: a run goes on with the data that it began with"
                )
            run.was_on = str(group.attrs["device"])
            run._updater.iteration = load_state(
                group, run._optimizer, run._compaction, run._iterator, run._log
            )
            runs.append(run)

        load_checkpoint(path, load_training)
        return runs[0]

    @property
    def iteration(self) -> int:
        """Training steps done."""
        return self._updater.iteration

    @property
    def is_finished(self) -> bool:
        """Whether all epochs are done."""
        return self._updater.epoch >= self.recipe.epochs

    def run(self) -> None:
        """Train to the end.

        Raises:
            TrainingInterruptedError: Asked to stop, the checkpoint was written.
            NonFiniteLossError: The loss went astray; the checkpoint is that of the epoch before.
            DeviceError: The GPU ran out of memory or failed; likewise.
            FileWriteError: The checkpoint can't be written; the one before is untouched.
        """
        if self.is_finished:
            return
        trainer = Trainer(self._updater, (self.recipe.epochs, "epoch"), out=str(self.out.parent))
        trainer.extend(self._log)
        trainer.extend(Schedules(self.recipe), priority=200)
        trainer.extend(self._compaction)
        if self.checkpoint.model.xp is not numpy:
            trainer.extend(RandomOnGpu())
        trainer.extend(
            on_each_step(self._callbacks.on_step), name="on_step", trigger=(1, "iteration")
        )
        trainer.extend(Checkpoints(self._save, self._callbacks.should_stop))
        try:
            # What overflows ends in a loss that is not finite, which says more than NumPy does.
            quiet = numpy.errstate(over="ignore", invalid="ignore")
            device = chainer.using_device(self.checkpoint.model.device)
            with quiet, device, gpu_errors(", or take a smaller batch", self._tell_what_is_kept):
                trainer.run(show_loop_exception_msg=False)
        except NonFiniteLossError as error:
            raise NonFiniteLossError(f"{error}{self._tell_what_is_kept()}") from None

    def _tell_what_is_kept(self) -> str:
        epochs = len(self.checkpoint.history)
        return f" ({self.out} is that of epoch {epochs})" if epochs else " (no epoch was completed)"

    def _describe_network(self) -> dict[str, float]:
        model = self.checkpoint.model
        split = self.dataset.validation or self.dataset.test
        evaluation = evaluate(model, split)
        check_finite(model, evaluation.loss, model.device.send(split.x[:100]), model.iteration)
        sparsity = model.sparsity()
        return {
            "error": evaluation.error,
            "eval_loss": evaluation.loss,
            "sparsity": sparsity.sparsity,
            "compression": sparsity.compression or float("inf"),
            **{f"sparsity_of/{layer.name}": layer.sparsity for layer in sparsity.layers},
        }

    def _end_epoch(self, row: dict[str, float]) -> None:
        if self.dataset.validation is not None and _is_best(self.checkpoint.history):
            save_checkpoint(best_path(self.out), self.checkpoint)
        self._callbacks.on_epoch(row)

    def _save(self) -> None:
        model = self.checkpoint.model
        model.expand()
        check_parameters(model, model.iteration)

        def save_training(group: h5py.Group) -> None:
            group.attrs["examples"] = len(self.dataset.train.x)
            group.attrs["data_sha256"] = self._fingerprint
            group.attrs["device"] = self.device.name
            save_state(
                group,
                self._optimizer,
                self._compaction,
                self._iterator,
                self._log,
                self._updater.iteration,
            )

        save_checkpoint(self.out, self.checkpoint, save_training)


def best_path(out: Path) -> Path:
    """Name the file that the best epoch is kept in, where there is a validation split.

    Args:
        out: The checkpoint file.

    Returns:
        ``checkpoint.best.h5`` beside ``checkpoint.h5``.
    """
    return out.with_name(f"{out.stem}.best{out.suffix}")


def _check_data(checkpoint: Checkpoint, dataset: Dataset, batch_size: int) -> None:
    examples, kwargs = len(dataset.train.x), checkpoint.arch_kwargs
    if batch_size > examples:
        raise ArgumentError(
            f"batch_size is {batch_size}, there are {examples} training examples: it must not be "
            "larger"
        )
    if (list(dataset.input_shape), dataset.classes) != (kwargs["input_shape"], kwargs["classes"]):
        raise ArgumentError(
            f"{dataset.name} has examples of shape {dataset.input_shape} in {dataset.classes} "
            f"classes, the network takes {checkpoint.input_shape} in {kwargs['classes']}: give the "
            "data set that it was made for"
        )


def _is_best(history: list[dict[str, float]]) -> bool:
    """Whether the last epoch is the best so far.

    Best is the lowest error among epochs at the full KL weight: before that the network is hardly
    sparse. Of equal errors the sparser network wins.
    """
    if history[-1]["kl_coef"] < 1:
        return False
    full = [row for row in history if row["kl_coef"] >= 1]
    return min(full, key=lambda row: (row["error"], -row["sparsity"])) is history[-1]
