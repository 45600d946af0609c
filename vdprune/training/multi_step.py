"""An updater for Chainer's trainer that takes several training steps at once where it can."""

import math
import time
from typing import Any

import numpy
from chainer import _get_link_hooks, config, reporter
from chainer.dataset import convert
from chainer.training import Trainer
from chainer.training.updaters import StandardUpdater

from vdprune.chain import VariationalDropoutChain
from vdprune.training.adam import Adam
from vdprune.training.augmented import WarpedBatches
from vdprune.training.batches import ArrayBatches, RowIterator
from vdprune.training.due import count_until_due
from vdprune.training.repetition import Repetition, find_repetition

_SECONDS = 0.05  # that an update may take: signals wait for its end
_MOST = 100  # steps


class MultiStepUpdater(StandardUpdater):
    """Chainer's StandardUpdater, which takes several steps in an update where that changes no result.

    The first step of an update is an ordinary one. If the network is nothing but variational linear
    layers with ReLU between them, further ones do the same to further batches without going through
    Python, which otherwise takes as long as the mathematics. They are the same steps, bit for bit;
    ``iteration`` grows by as many. An update ends where one of Chainer's triggers fires, before the last
    step of an epoch, and where the chain's ``statistics_interval`` does; what is called after every
    iteration is called after every update. Of several steps the trainer's ``observation`` has pairs of
    the mean and the number of steps, as LogReport and others weigh them.

    It needs a `RowIterator`, `ArrayBatches` of examples, labels and perhaps a teacher's logits, `Adam`,
    ``calc_loss``, and a chain which says that its ``forward`` does the same with every batch::

        class Net(VariationalDropoutChain):
            is_static = True
            ...

        updater = MultiStepUpdater(
            RowIterator(len(x), 100),
            Adam().setup(model),
            converter=ArrayBatches(x, t),
            loss_func=model.calc_loss,
        )

    With anything else it takes one step at a time.

    Args:
        *args: Those of StandardUpdater.
        **kwargs: Likewise.

    Its ``observations`` are those of each step of the last update, if it had several.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.observations: list[dict[str, Any]] = []
        self._trainer: Trainer | None = None
        self._seconds = math.inf  # that one of several steps took last

    def connect_trainer(self, trainer: Trainer) -> None:
        """Note whose triggers are to fire in time."""
        self._trainer = trainer

    def update_core(self) -> None:
        """Take one step, and then others that are like it."""
        self.observations = []
        is_heard = bool(reporter._get_reporters())  # not if somebody calls it without a trainer
        if self._trainer is None or not (is_heard and self._may_repeat()):
            super().update_core()
            return
        iterator, optimizer = self._iterators["main"], self._optimizers["main"]
        start = time.perf_counter()
        batch = self._take_step(iterator.next())
        seconds = time.perf_counter() - start
        if iterator.is_new_epoch:
            if self.auto_new_epoch:
                optimizer.new_epoch(auto=True)
            return
        count = self._count_steps(self._trainer, optimizer.target, seconds)
        repetition = count and find_repetition(
            optimizer.target, optimizer, self.converter, batch[0]
        )
        if repetition:
            chosen = iterator.take_more(count)
            if len(chosen):
                self._go_on(repetition, chosen)

    def _take_step(self, numbers: Any) -> Any:
        """Take an ordinary step; return its batch."""
        batch = convert._call_converter(self.converter, numbers, self.input_device)
        self._optimizers["main"].update(self.loss_func, *batch)
        return batch

    def _may_repeat(self) -> bool:
        """Whether all that takes part in a step is known."""
        optimizer, converter = self._optimizers["main"], self.converter
        model = optimizer.target
        return (
            type(optimizer) is Adam
            and isinstance(model, VariationalDropoutChain)
            and model.xp is numpy
            and _is_static(type(model))
            and self.loss_func == model.calc_loss
            and type(model).calc_loss is VariationalDropoutChain.calc_loss
            and type(self._iterators["main"]) is RowIterator
            and _is_known(converter)
            and bool(config.train)
            and not _is_hooked(model)
        )

    def _count_steps(self, trainer: Trainer, model: VariationalDropoutChain, seconds: float) -> int:
        """Count the steps that may follow one that took so long, until something else is to be done."""
        iterator = self._iterators["main"]
        until_statistics = -model.iteration % model.statistics_interval
        in_time = int(_SECONDS / min(seconds, self._seconds))
        until_due = count_until_due(trainer, len(iterator.dataset) / iterator.batch_size)
        return int(min(_MOST, in_time, until_statistics, until_due))

    def _go_on(self, repetition: Repetition, chosen: Any) -> None:
        """Take further steps, and let everybody know."""
        self._observe()
        start = time.perf_counter()
        reports = repetition.take(chosen)
        self._seconds = (time.perf_counter() - start) / max(1, len(reports))
        self.iteration += len(reports)
        for report in reports:
            reporter.report(report, repetition.model)
            self._observe()
        for numbers in chosen[len(reports) :]:  # the first one raises the error that there is
            self._take_step(numbers)
            self.iteration += 1
            self._observe()
        steps, observation = len(self.observations), reporter.get_current_reporter().observation
        for name in list(observation):
            values = [each[name] for each in self.observations]
            # statistics are those of the first step
            is_same = all(value is values[0] for value in values)
            mean = values[0] if is_same else math.fsum(map(float, values)) / steps
            observation[name] = mean, steps

    def _observe(self) -> None:
        self.observations.append(dict(reporter.get_current_reporter().observation))


def _is_hooked(model: Any) -> bool:
    """Whether somebody watches links at work."""
    return bool(_get_link_hooks()) or any(link._n_local_link_hooks for link in model.links())


def _is_known(converter: Any) -> bool:
    """Whether a converter takes rows of examples and labels, and of a teacher's logits if there are."""
    if type(converter) is ArrayBatches:
        return 2 <= len(converter.arrays) <= 3
    return type(converter) is WarpedBatches


def _is_static(chain: type) -> bool:
    """Whether the class that ``forward`` is from, or one derived from it, says that it is static."""
    for each in chain.__mro__:
        if "is_static" in vars(each):
            return bool(vars(each)["is_static"])
        if "forward" in vars(each):
            return False
    return False
