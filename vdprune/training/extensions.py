"""Chainer extensions of which a training run is made."""

import time
from collections.abc import Callable
from typing import Any

import numpy
from chainer import Deserializer
from chainer.backends import cuda
from chainer.training import Extension, Trainer
from chainer.training.triggers import ManualScheduleTrigger

from vdprune.chain import VariationalDropoutChain
from vdprune.checkpoint import History
from vdprune.devices import is_gpu_error
from vdprune.errors import VdpruneError
from vdprune.functions.variational_layer import Alive
from vdprune.objective import Distillation
from vdprune.recipes.phase import Cut, Phase
from vdprune.recipes.recipe import Teacher
from vdprune.training.cuts import cut_weights
from vdprune.training.phases import learning_rate_of, set_learning_rate
from vdprune.training.sums import Sums

_REPORTED = ("loss", "class", "kl", "accuracy")  # what EpochLog takes the means of
_OBSERVED = tuple(f"main/{name}" for name in _REPORTED)


def _at_each_step(trainer: Trainer) -> bool:
    """Chainer's trigger for it takes longer than some of the extensions."""
    return True


def _at_each_epochs_end(trainer: Trainer) -> bool:
    """Chainer's trigger for it fires in the first step after a resume, too."""
    return bool(trainer.updater.is_new_epoch)


class TrainingInterruptedError(VdpruneError):
    """Training was asked to stop; its checkpoint has been written."""


class Schedules(Extension):
    """Sets what changes from epoch to epoch of a phase at the start of each: learning rate, KL weight...

    Args:
        phase: The phase.
        start: Epoch of the run in which it starts.
        teacher: The run's teacher, or None.
    """

    trigger = staticmethod(_at_each_epochs_end)

    def __init__(self, phase: Phase, start: int, teacher: Teacher | None) -> None:
        self.phase = phase
        self._start = start
        self._teacher = teacher

    def initialize(self, trainer: Trainer) -> None:
        """Set them for the first epoch, or for the one that a resumed run is in."""
        self(trainer)

    def __call__(self, trainer: Trainer) -> None:
        """Set them for the epoch that begins."""
        optimizer, phase = trainer.updater.get_optimizer("main"), self.phase
        epoch = min(trainer.updater.epoch - self._start, phase.epochs - 1)
        set_learning_rate(optimizer, phase.learning_rate.at(epoch))
        optimizer.target.kl_coef = phase.kl_weight.at(epoch)
        for _, link in optimizer.target.named_variational_links():
            link.noise_scale = phase.noise.at(epoch)
        if self._teacher is not None:
            temperature = self._teacher.temperature
            if phase.temperature is not None:
                temperature = phase.temperature.at(epoch)
            optimizer.target.distillation = Distillation(temperature, self._teacher.weight)


class Cuts(Extension):
    """Cuts weights at the steps of a phase that are planned for it.

    A cut is the beginning of a step: the checkpoint before it is without, and a run that is resumed
    from there begins with it.

    Args:
        model: The network.
        cuts: The phase's cuts.
        threshold: Log alpha above which weights are cut along with those of a cut.
        first_step: Turns an epoch of the phase into the number of steps before it.
        compacts: Whether what has no weights left then drops out of training.
    """

    priority = -50  # after the checkpoint

    def __init__(
        self,
        model: VariationalDropoutChain,
        cuts: tuple[Cut, ...],
        threshold: float,
        first_step: Callable[[float], int],
        compacts: bool,
    ) -> None:
        self.model = model
        self._threshold = threshold
        self._compacts = compacts
        self._due: dict[int, list[tuple[Cut, float | None]]] = {}
        for cut in cuts:
            for epoch, sparsity in cut.steps():
                self._due.setdefault(first_step(epoch), []).append((cut, sparsity))
        self.trigger = ManualScheduleTrigger(list(self._due), "iteration")

    def initialize(self, trainer: Trainer) -> None:
        """Cut what is due before the first step, or before the one that a resumed run goes on with."""
        self(trainer)

    def __call__(self, trainer: Trainer) -> None:
        """Cut what is due before the next step."""
        due = self._due.pop(trainer.updater.iteration, [])
        for cut, sparsity in due:
            cut_weights(self.model, cut, sparsity, self._threshold)
        if due and self._compacts:
            self.model.compact(self.model.find_compaction())


class Compaction(Extension):
    """Trains a smaller network as weights fall away: see `VariationalDropoutChain.compact`.

    At the end of each epoch, before other extensions look at the network or save it, it has its whole
    size again.

    Args:
        model: The network.
        every: How many epochs pass from one look at what is alive to the next; 0 for never. A weight
            that was dropped does not come back.
    """

    trigger = staticmethod(_at_each_epochs_end)
    priority = 400

    def __init__(self, model: VariationalDropoutChain, every: int = 5) -> None:
        self.model = model
        self.every = every
        self._is_lost = False

    def __call__(self, trainer: Trainer) -> None:
        """At the end of an epoch bring the network to its whole size, and drop what is dead."""
        self.model.expand()
        if self.every and trainer.updater.epoch % self.every == 0:
            self.model.compact(self.model.find_compaction())

    def on_error(self, trainer: Trainer, exc: Exception, tb: Any) -> None:
        """Bring the network to its whole size, before a snapshot is made of it."""
        try:
            self.model.expand()
        except Exception as error:
            self._is_lost = is_gpu_error(error)  # what is asked of a GPU that failed fails, too
            if not self._is_lost:
                raise

    def finalize(self) -> None:
        """Leave the network whole."""
        if not self._is_lost:
            self.model.compact({})

    def serialize(self, serializer: Any) -> None:
        """Save what is alive in each layer with the trainer, or bring it back."""
        compaction = {}
        for name, link in self.model.named_variational_links():
            if link.W.array is None:
                continue
            alive, shape = self.model.compaction.get(name), link.whole_shape()[:2]
            numbers = []
            for part, size in zip(("outputs", "inputs"), shape, strict=True):
                mask = numpy.ones(size, bool)
                if alive is not None:
                    mask = numpy.isin(numpy.arange(size), getattr(alive, part))
                numbers.append(numpy.flatnonzero(serializer(f"{name}/{part}", mask)))
            found = Alive(numbers[0], numbers[1], shape)
            if not found.is_all():
                compaction[name] = found
        if isinstance(serializer, Deserializer):
            self.model.compact(compaction)


class EpochLog(Extension):
    """Makes a row of the history at the end of each epoch.

    A row holds the epoch's means of what the chain reported, what ``evaluate`` says of the
    network now, and the seconds that the epoch took with its evaluation. What is reported is added up
    where it is, on the CPU or a GPU, and read once an epoch.

    Args:
        history: Where the rows go.
        evaluate: Returns the columns that describe the network.
        on_epoch: Called with each new row.
    """

    trigger = staticmethod(_at_each_step)
    priority = 300

    def __init__(
        self,
        history: History,
        evaluate: Callable[[], dict[str, float]],
        on_epoch: Callable[[dict[str, float]], None],
    ) -> None:
        self.history = history
        self._evaluate = evaluate
        self._on_epoch = on_epoch
        self._start = 0.0
        self._elapsed = 0.0  # seconds of the epoch before the run was interrupted
        self._forget_sums()

    def _forget_sums(self) -> None:
        self._sums = Sums(_REPORTED)
        self._steps = 0

    def initialize(self, trainer: Trainer) -> None:
        """Start the clock."""
        self._start = time.perf_counter() - self._elapsed
        self._elapsed = 0.0

    def __call__(self, trainer: Trainer) -> None:
        """Take in a step's observation; at the end of an epoch make its row."""
        updater = trainer.updater
        for observation in getattr(updater, "observations", ()) or [trainer.observation]:
            self._sums.add([observation[name] for name in _OBSERVED])
            self._steps += 1
        if not updater.is_new_epoch:
            return
        optimizer = updater.get_optimizer("main")
        optimizer.target.check_losses()
        means = {name: value / self._steps for name, value in self._sums.read().items()}
        self._forget_sums()
        row = {
            "epoch": float(len(self.history) + 1),
            "iteration": float(updater.iteration),
            "learning_rate": learning_rate_of(optimizer),
            "kl_coef": optimizer.target.kl_coef,
            **{name: means[name] for name in ("loss", "class", "kl")},
            "train_error": 100 * (1 - means["accuracy"]),
            **self._evaluate(),
        }
        now = time.perf_counter()
        row["seconds"], self._start = now - self._start, now
        self.history.append(row)
        self._on_epoch(row)

    def serialize(self, serializer: Any) -> None:
        """Save the sums of the epoch so far and its seconds, or bring them back."""
        self._sums.serialize(serializer)
        self._steps = int(serializer("steps", self._steps))
        self._elapsed = float(serializer("seconds", time.perf_counter() - self._start))


class Checkpoints(Extension):
    """Writes the checkpoint at the end of each epoch, and when training is asked to stop.

    Args:
        save: Writes it.
        should_stop: Whether training shall stop after this step; the run's last one is its end anyway.
        is_finished: Whether this step was the last one.
        epochs_before: Epochs of earlier runs, from which on those of this one are numbered.
    """

    trigger = staticmethod(_at_each_step)
    priority = 0

    def __init__(
        self,
        save: Callable[[], None],
        should_stop: Callable[[], bool],
        is_finished: Callable[[], bool],
        epochs_before: int,
    ) -> None:
        self._save = save
        self._should_stop = should_stop
        self._is_finished = is_finished
        self._epochs_before = epochs_before

    def __call__(self, trainer: Trainer) -> None:
        """Write it if it is time to."""
        updater, stop = trainer.updater, self._should_stop()
        if updater.is_new_epoch or stop:
            self._save()
        if stop and not self._is_finished():
            steps, epochs = updater.iteration, self._epochs_before + updater.epoch
            where = f"after epoch {epochs}" if updater.is_new_epoch else f"in epoch {epochs + 1}"
            raise TrainingInterruptedError(
                f"stopped {where}, after {steps} step{'' if steps == 1 else 's'} of the run"
            )


class RandomOnGpu(Extension):
    """Seeds CuPy's generator at the start of each epoch, from the state of NumPy's.

    The variational layers draw from NumPy's state alone, on a GPU, too; this is for others, as
    ``F.dropout``. CuPy's generator does not tell its state, so it gets one that a checkpoint knows: a
    run that goes on from the end of an epoch draws what it would have drawn.
    """

    trigger = staticmethod(_at_each_epochs_end)
    priority = -100  # after the checkpoint

    def __call__(self, trainer: Trainer) -> None:
        """At the end of an epoch seed it for the next one."""
        self.initialize(trainer)

    def initialize(self, trainer: Trainer) -> None:
        """Seed it; NumPy's generator stays as it is."""
        random = numpy.random.RandomState()
        random.set_state(numpy.random.get_state())
        cuda.cupy.random.seed(int(random.randint(2**32, dtype=numpy.uint64)))


class OnEachUpdate(Extension):
    """Calls a function after each of the updater's updates.

    Args:
        callback: Called with the number of steps done.
    """

    trigger = staticmethod(_at_each_step)
    priority = 500  # so that others find it counted

    def __init__(self, callback: Callable[[int], Any]) -> None:
        self._callback = callback

    def __call__(self, trainer: Trainer) -> None:
        """Call it."""
        self._callback(trainer.updater.iteration)
