"""A training run from a recipe, on Chainer's own trainer."""

import itertools
import math
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import chainer
import h5py
import numpy
from chainer.backend import Device
from chainer.training import Extension, Trainer

from vdprune.blas import OneBlasThread
from vdprune.chain_evaluation import evaluate
from vdprune.checkpoint import (
    Checkpoint,
    load_checkpoint,
    remove_checkpoint,
    save_checkpoint,
)
from vdprune.datasets import Dataset
from vdprune.devices import gpu_errors
from vdprune.errors import ArgumentError, NonFiniteLossError
from vdprune.finiteness import check_finite, check_parameters
from vdprune.recipes.phase import Phase
from vdprune.recipes.tables import from_table
from vdprune.storage import check_replaceable, check_writable
from vdprune.training.batches import RowIterator
from vdprune.training.callbacks import Callbacks
from vdprune.training.extensions import (
    Checkpoints,
    Compaction,
    Cuts,
    EpochLog,
    OnEachUpdate,
    RandomOnGpu,
    Schedules,
)
from vdprune.training.files import best_path
from vdprune.training.lessons import Lessons
from vdprune.training.multi_step import MultiStepUpdater
from vdprune.training.own_file import OwnFile
from vdprune.training.phases import configure_links, enter_phase, make_optimizer
from vdprune.training.start import check_data
from vdprune.training.state import load_state, save_state


class TrainingRun:
    """One run: from its first step, or from where its checkpoint left it, to its last.

    Args:
        checkpoint: The network and how it is trained.
        dataset: The data, its validation split held out as the recipe says.
        out: The checkpoint file, written after each epoch.
        device: Where to train.
        callbacks: What to tell and ask.
        lessons: What the network is shown; None for the training examples as they are.

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
        lessons: Lessons | None = None,
        own_file: OwnFile | None = None,
    ) -> None:
        check_writable(out)
        self.checkpoint = checkpoint
        self.dataset = dataset
        self.out = out
        self.own_file = own_file or OwnFile(out)
        self.recipe = from_table(checkpoint.recipe)
        self.device = device
        self.was_on: str | None = None  # a resumed run's device before
        self._kept: str | None = None  # what the checkpoint that is there is that of
        self._has_best = False  # written by this run
        self._callbacks = callbacks
        train = dataset.train
        check_data(checkpoint, dataset, self.recipe.batch_size)
        if dataset.validation is not None:
            check_replaceable(best_path(out))
        self._fingerprint = train.fingerprint()
        self._lessons = lessons or Lessons(train, self.recipe, out)
        model = checkpoint.model
        model.num_train = len(train.x)
        model.statistics_interval = -(
            -len(train.x) // self.recipe.batch_size
        )  # the log has its own
        model.to_device(device)
        self.epochs_before = len(checkpoint.history)  # of an earlier run, as before a fine-tuning
        self._iteration = 0
        self._iterator = RowIterator(len(train.x), self.recipe.batch_size)
        self._compaction = Compaction(model, self.recipe.compact_every)
        self._log = EpochLog(checkpoint.history, self._describe_network, self._end_epoch)
        self._ends = list(itertools.accumulate(phase.epochs for phase in self.recipe.phases))
        self._phase_number = 0
        self._is_in_phase = False
        self._optimizer = make_optimizer(self.recipe.phases[0], model)

    @classmethod
    def resume(
        cls,
        path: Path,
        dataset: Dataset,
        device: Device,
        callbacks: Callbacks,
        lessons: Lessons | None = None,
        own_file: OwnFile | None = None,
    ) -> "TrainingRun":
        """Take up the run that a checkpoint was written in.

        Args:
            path: The checkpoint; it is written to, too.
            dataset: The data that the run began with.
            device: Where to train.
            callbacks: What to tell and ask.
            lessons: What the network is shown, as at the beginning.
            own_file: The checkpoint as it was when it was first looked at; None for now.

        Returns:
            The run, ready to go on.

        Raises:
            FileFormatError: The checkpoint can't be used.
            ArgumentError: The data are not those that the run began with.
        """
        runs = []

        def load_training(group: h5py.Group, checkpoint: Checkpoint) -> None:
            checkpoint = replace(checkpoint, dataset=dataset.name)  # it may have moved
            run = cls(checkpoint, dataset, path, device, callbacks, lessons, own_file)
            if group.attrs["data_sha256"] != run._fingerprint:
                raise ArgumentError(
                    f"{dataset.train.description} are not the {group.attrs['examples']:,} that the "
                    f"run in {path} began with: a run goes on with the data that it began with"
                )
            run.was_on = str(group.attrs["device"])
            run._take_up(group)
            if group.attrs["teacher_sha256"] != run._lessons.teacher_sha256 and not run.is_finished:
                raise ArgumentError(
                    f"the teacher is not the one that the run in {path} began with: put that one back, "
                    "or begin another run"
                )
            runs.append(run)

        load_checkpoint(path, load_training)
        return runs[0]

    def _take_up(self, group: h5py.Group) -> None:
        self._phase_number = int(group.attrs["phase"])
        if not 0 <= self._phase_number < len(self.recipe.phases):
            raise ValueError(f"it is in phase {self._phase_number} of {len(self.recipe.phases)}")
        self._is_in_phase = True
        phase = self.recipe.phases[self._phase_number]
        self._optimizer = make_optimizer(phase, self.checkpoint.model)
        self._iteration = load_state(
            group, self._optimizer, self._compaction, self._iterator, self._log
        )
        self.epochs_before -= self._iterator.epoch
        self._kept = self._name_state()

    @property
    def iteration(self) -> int:
        """Training steps done."""
        return self._iteration

    @property
    def is_finished(self) -> bool:
        """Whether all epochs are done."""
        return self._iterator.epoch >= self.recipe.epochs

    @property
    def has_checkpoint(self) -> bool:
        """Whether there is a checkpoint: of an epoch, or that which the run was resumed from."""
        return self._kept is not None

    def tell_what_is_kept(self) -> str:
        """Tell, in brackets, which checkpoint there is if the run ends now."""
        if self._kept is None:
            return " (no epoch was completed)"
        return f" ({self.out} is that {self._kept})"

    def run(self) -> None:
        """Train to the end.

        Raises:
            TrainingInterruptedError: Asked to stop, the checkpoint was written.
            NonFiniteLossError: The loss went astray; the checkpoint is that of the epoch before.
            DeviceError: The GPU ran out of memory or failed; likewise.
            FileWriteError: The checkpoint can't be written, or another run wrote it; it is untouched.
        """
        try:
            # What overflows ends in a loss that is not finite, which says more than NumPy does.
            quiet = numpy.errstate(over="ignore", invalid="ignore")
            device = chainer.using_device(self.checkpoint.model.device)
            # two threads of a BLAS library wait long for each other where others want a processor, too
            blas = OneBlasThread()
            on_error = gpu_errors(", or take a smaller batch", self.tell_what_is_kept)
            with quiet, device, blas, on_error:
                while not self.is_finished:
                    if self._iterator.epoch >= self._ends[self._phase_number]:
                        self._phase_number += 1
                        self._is_in_phase = False
                    self._run_phase()
        except NonFiniteLossError as error:
            raise NonFiniteLossError(f"{error}{self.tell_what_is_kept()}") from None

    def _run_phase(self) -> None:
        """Train to the end of the phase; what it takes to begin it comes first."""
        phases, number, model = self.recipe.phases, self._phase_number, self.checkpoint.model
        phase, before = phases[number], phases[number - 1] if number else None
        if not self._is_in_phase:
            if before is not None and before.optimizer != phase.optimizer:
                self._optimizer = make_optimizer(phase, model)
            enter_phase(model, phases, number, self.recipe.initial_log_sigma2)
            self._is_in_phase = True
        configure_links(model, phase)
        updater = MultiStepUpdater(
            self._iterator,
            self._optimizer,
            converter=self._lessons.batches(phase),
            device=self.device,
            loss_func=model.calc_loss,
        )
        updater.iteration = self._iteration
        end = self._ends[number]
        trainer = Trainer(
            updater, lambda trainer: trainer.updater.epoch >= end, out=str(self.out.parent)
        )
        for extension in self._extensions(phase, end - phase.epochs):
            trainer.extend(extension)
        trainer.run(show_loop_exception_msg=False)

    def _extensions(self, phase: Phase, start: int) -> Iterator[Extension]:
        def count_steps(epoch: float) -> int:
            steps = (start + epoch) * len(self.dataset.train.x) / self.recipe.batch_size
            return math.ceil(steps - 1e-6)

        def first_step(epoch: float) -> int:
            # the last checkpoint of a phase has all its cuts
            return min(count_steps(epoch), count_steps(phase.epochs) - 1)

        model, recipe = self.checkpoint.model, self.recipe
        yield OnEachUpdate(self._count_step)
        yield self._log
        yield Schedules(phase, start, recipe.teacher)
        yield self._compaction
        if phase.cuts:
            yield Cuts(model, phase.cuts, recipe.threshold, first_step, recipe.compact_every > 0)
        if model.xp is not numpy:
            yield RandomOnGpu()
        yield Checkpoints(
            self._save, self._callbacks.should_stop, lambda: self.is_finished, self.epochs_before
        )

    def _count_step(self, iteration: int) -> None:
        self._iteration = iteration
        self._callbacks.on_step(iteration)

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
        if self.dataset.validation is not None and self._is_best():
            self.own_file.check()
            save_checkpoint(best_path(self.out), self.checkpoint)
            self._has_best = True
        self._callbacks.on_epoch(row)

    def _is_best(self) -> bool:
        """Whether the last epoch is the best so far.

        Best is the lowest error among the epochs of the last phase that follow its cuts and the growth
        of the KL weight: before that the network is hardly sparse. Of equal errors the sparser network
        wins.
        """
        history = self.checkpoint.history
        settled = history[self.epochs_before + math.ceil(self.recipe.settled_from) :]
        if not settled:
            return False
        return min(settled, key=lambda row: (row["error"], -row["sparsity"])) is history[-1]

    def _save(self) -> None:
        model = self.checkpoint.model
        model.expand()
        check_parameters(model, model.iteration)

        def save_training(group: h5py.Group) -> None:
            group.attrs["examples"] = len(self.dataset.train.x)
            group.attrs["data_sha256"] = self._fingerprint
            group.attrs["teacher_sha256"] = self._lessons.teacher_sha256
            group.attrs["device"] = self.device.name
            group.attrs["phase"] = self._phase_number
            save_state(
                group,
                self._optimizer,
                self._compaction,
                self._iterator,
                self._log,
                self._iteration,
            )

        self.own_file.check()
        save_checkpoint(self.out, self.checkpoint, save_training)
        self.own_file.remember()
        if self._kept is None and not self._has_best:
            remove_checkpoint(best_path(self.out))  # of a run that is replaced
        self._kept = self._name_state()

    def _name_state(self) -> str:
        if self._iterator.is_new_epoch:
            return f"of epoch {len(self.checkpoint.history)}"
        return f"after {self._iteration:,} step{'' if self._iteration == 1 else 's'}"
