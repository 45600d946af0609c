"""A stretch of a training run, as data."""

import math
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from vdprune.augmentation import Augmentation
from vdprune.errors import ArgumentError
from vdprune.recipes.schedule import Schedule
from vdprune.threshold import check_loga_threshold

Kind = Literal["dense", "variational", "fine-tune"]
OptimizerName = Literal["adam", "momentum"]
Prior = Literal["log-uniform", "ard"]
CutBy = Literal["log-alpha", "magnitude"]

_MOST_TIMES = 10_000
_MOST_CUTS_TOLD = 3
_ROUNDING = 1e-9  # of the epochs of points that were moved
_SCHEDULES = ("learning_rate", "kl_weight", "noise", "temperature")
_ALWAYS_1 = Schedule(((0.0, 1.0),))


@dataclass(frozen=True)
class Cut:
    """Weights are set to zero for good, at an epoch or little by little.

    Args:
        epoch: When, counted from the start of the phase.
        by: Which weights go first: ``log-alpha``, the noisiest, or ``magnitude``, the smallest; of all
            layers together.
        compression: Weights per weight that is left, |W| / |W != 0|. What is above the recipe's
            threshold anyway is cut in addition; of equal log alpha the smaller weights go first.
        threshold: In the place of ``compression``: the log alpha above which weights are cut.
        until: Epoch at which that is reached; from ``epoch`` on the share that is cut then grows as
            1 - (1 - progress)^3, from nothing. None to cut at once.
        times: In how many cuts it grows.

    Raises:
        ArgumentError: Values that do not go together.

    Source: the growth, Zhu and Gupta, "To prune, or not to prune: exploring the efficacy of pruning
    for model compression", 2017, equation 1.
    """

    epoch: float
    by: CutBy = "log-alpha"
    compression: float | None = None
    threshold: float | None = None
    until: float | None = None
    times: int = 100

    def __post_init__(self) -> None:
        if (self.compression is None) == (self.threshold is None):
            has = "neither" if self.threshold is None else "both"
            raise ArgumentError(
                f"a cut needs a compression or a threshold, one of the two: it has {has}"
            )
        if self.compression is not None and not 1 <= self.compression < math.inf:
            raise ArgumentError(f"compression is {self.compression}: it must be 1 or more")
        if self.threshold is not None:
            check_loga_threshold(self.threshold)
            if self.by != "log-alpha" or self.until is not None:
                raise ArgumentError(
                    f"threshold is {self.threshold}: such a cut must be by log-alpha (it is by "
                    f"{self.by}) and without until"
                )
        if not 0 <= self.epoch < math.inf:
            raise ArgumentError(f"epoch is {self.epoch:g}: it must be 0 or more")
        if self.until is not None and not self.epoch < self.until < math.inf:
            raise ArgumentError(
                f"until is {self.until:g}: it must be above the epoch at which the cut begins, "
                f"{self.epoch:g}; leave it out to cut at once"
            )
        if not 1 <= self.times <= _MOST_TIMES:
            raise ArgumentError(f"times is {self.times}: it must lie between 1 and {_MOST_TIMES:,}")

    @property
    def last_epoch(self) -> float:
        """When it is done."""
        return self.epoch if self.until is None else self.until

    def describe(self) -> str:
        """Tell the cut in words.

        Returns:
            A phrase such as "cut to 100x by log-alpha at epoch 20".
        """
        aim = f"at {self.threshold:g}" if self.compression is None else f"to {self.compression:g}x"
        when = f"at epoch {self.epoch:g}"
        if self.until is not None:
            when = f"from epoch {self.epoch:g} to {self.until:g}"
        return f"cut {aim} by {self.by} {when}"

    def steps(self) -> list[tuple[float, float | None]]:
        """List the single cuts.

        Returns:
            Epochs with the sparsity that each brings; None where a threshold decides.
        """
        if self.compression is None:
            return [(self.epoch, None)]
        sparsity = 1 - 1 / self.compression
        if self.until is None:
            return [(self.epoch, sparsity)]
        progress = [step / self.times for step in range(1, self.times + 1)]
        return [
            (self.epoch + (self.until - self.epoch) * p, sparsity * (1 - (1 - p) ** 3))
            for p in progress
        ]


@dataclass(frozen=True)
class Phase:
    """What stays the same in a part of a training run.

    Epochs count from its start; schedules are read at the start of each epoch.

    Args:
        name: What people call it; a run has no two of one name.
        epochs: Passes through the training examples.
        kind: ``variational``; ``dense``, without noise and with all weights; or ``fine-tune``,
            without noise, the weights that are cut staying at zero.
        optimizer: ``adam``, or ``momentum`` for stochastic gradient descent with momentum 0.9. It goes
            on from one phase to the next if both have the same.
        learning_rate: The optimizer's step size.
        kl_weight: Weight of the KL divergence; 0 if not variational.
        prior: ``log-uniform``, the paper's, or ``ard``, whose divergence is 0.5 log(1 + 1 / alpha).
        noise: What the noise is multiplied by.
        mask_variance: Whether the variance of a weight above the threshold is masked as its mean is;
            None for the authors' choice: in convolutions only.
        cuts: Weights that are cut on the way.
        augmentation: How training images are changed; None to leave them as they are.
        temperature: Where the run has a teacher, what its and the network's logits are divided by; None
            for what the teacher's table says.

    Raises:
        ArgumentError: Values that have no meaning or do not go together.
    """

    name: str
    epochs: int
    kind: Kind = "variational"
    optimizer: OptimizerName = "adam"
    learning_rate: Schedule = field(default=Schedule(((0.0, 1e-3),)))
    kl_weight: Schedule = field(default=Schedule(((0.0, 0.0),)))
    prior: Prior = "log-uniform"
    noise: Schedule = field(default=_ALWAYS_1)
    mask_variance: bool | None = None
    cuts: tuple[Cut, ...] = ()
    augmentation: Augmentation | None = None
    temperature: Schedule | None = None

    def __post_init__(self) -> None:
        if self.epochs < 1:
            raise ArgumentError(f"epochs is {self.epochs}: it must be 1 or more")
        for name, schedule in self._schedules().items():
            least = min(value for _, value in schedule.points)
            if name == "temperature" and least <= 0:
                raise ArgumentError(f"{name} is {schedule}: it must be above 0")
            if least < 0:
                raise ArgumentError(f"{name} is {schedule}: it must not be below 0")
        if self.kind != "variational":
            if any(value for _, value in self.kl_weight.points):
                raise ArgumentError(
                    f"kl_weight is {self.kl_weight} in a phase of kind {self.kind}: there is no "
                    "divergence without noise, leave it out"
                )
            for name in ("noise", "prior", "mask_variance"):
                if getattr(self, name) != getattr(Phase, name):
                    raise ArgumentError(
                        f"{name} is {getattr(self, name)} in a phase of kind {self.kind}, which has no "
                        "noise: leave it out"
                    )
            if self.kind == "dense" and self.cuts:
                raise ArgumentError(
                    "cuts are given for a phase of kind dense, which has all weights: use fine-tune"
                )
        for number, cut in enumerate(self.cuts):
            if cut.last_epoch >= self.epochs:
                end = "epoch" if cut.until is None else "until"
                raise ArgumentError(
                    f"cuts.{number}.{end} is {cut.last_epoch:g}, epochs is {self.epochs}: a cut must "
                    "be done before the phase ends, so that what is left can be trained"
                )

    def _schedules(self) -> dict[str, Schedule]:
        found = {name: getattr(self, name) for name in _SCHEDULES}
        return {name: schedule for name, schedule in found.items() if schedule is not None}

    @property
    def settled_from(self) -> float:
        """Epoch from which neither cuts nor the KL weight change the network's size any more."""
        return max([self.kl_weight.points[-1][0], *(cut.last_epoch for cut in self.cuts)])

    def list_unreached(self) -> list[str]:
        """Tell of the schedules that the phase is too short for.

        Returns:
            A line for each.
        """
        return [
            f"{self.name}.{name} has a point at epoch {schedule.points[-1][0]:g}, which is not reached: "
            f"the phase has {_count(self.epochs)}, and the last value is "
            f"{schedule.at(self.epochs - 1):.4g}"
            for name, schedule in self._schedules().items()
            if schedule.points[-1][0] > self.epochs * (1 + _ROUNDING)
        ]

    def with_epochs(self, epochs: int) -> "Phase":
        """Do the same in another number of epochs.

        Args:
            epochs: Passes through the training examples.

        Returns:
            The phase, its schedules and cuts moved along.
        """
        ratio = epochs / self.epochs
        cuts = tuple(
            replace(
                cut,
                epoch=cut.epoch * ratio,
                until=None if cut.until is None else cut.until * ratio,
            )
            for cut in self.cuts
        )
        moved: Any = {name: schedule.moved(ratio) for name, schedule in self._schedules().items()}
        return replace(self, epochs=epochs, cuts=cuts, **moved)

    def describe(self) -> str:
        """Tell the schedules in words.

        Returns:
            One line.
        """
        words = [_count(self.epochs), f"learning rate {self.learning_rate.describe()}"]
        if self.kind == "variational":
            words.append(f"KL weight {self.kl_weight.describe()}")
            words.append(f"prior {self.prior}")
        if self.kind == "variational" and self.noise != _ALWAYS_1:
            words.append(f"noise {self.noise.describe()}")
        if self.temperature is not None:
            words.append(f"temperature {self.temperature.describe()}")
        cuts = [cut.describe() for cut in self.cuts]
        if len(cuts) > _MOST_CUTS_TOLD:
            cuts = [f"{len(cuts)} cuts", f"first {cuts[0]}", f"last {cuts[-1]}"]
        words.extend(cuts)
        if self.augmentation is not None and self.augmentation.changes_images:
            words.append(self.augmentation.describe())
        return f"{self.name} ({self.kind}): {'; '.join(words)}"


def _count(epochs: int) -> str:
    return f"{epochs} epoch{'' if epochs == 1 else 's'}"
