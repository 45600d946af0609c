"""How a network is trained, as data."""

import math
from dataclasses import dataclass, fields, replace
from typing import Any

from vdprune.errors import ArgumentError
from vdprune.kernels.constants import LOG_ALPHA_MAX, LOG_ALPHA_MIN
from vdprune.recipes.phase import Phase
from vdprune.threshold import check_loga_threshold

_MOST_NETWORKS = 100  # that are trained as teachers


@dataclass(frozen=True)
class Teacher:
    """A network whose outputs the trained one learns from, beside the labels; or several.

    Args:
        arch: What is trained as a teacher first; empty where ``file`` is given.
        recipe: How that is trained; empty where ``file`` is given.
        networks: How many are trained, one after the other, the first one with the run's seed, each
            other with one that is 65,536 above; what is learned from them is the mean of their log
            probabilities.
        file: A checkpoint of a trained network.
        temperature: What both networks' logits are divided by, where a phase says nothing else.
        weight: Share of the teacher in the loss; the labels' is what is left of 1.

    Raises:
        ArgumentError: Values that have no meaning.

    Source: Hinton, Vinyals and Dean, "Distilling the knowledge in a neural network", 2015.
    """

    arch: str = ""
    recipe: str = ""
    networks: int = 1
    file: str = ""
    temperature: float = 3.0
    weight: float = 0.7

    def __post_init__(self) -> None:
        if (bool(self.file), bool(self.arch), bool(self.recipe)) not in (
            (True, False, False),
            (False, True, True),
        ):
            raise ArgumentError(
                "a teacher is a file, or else an arch and a recipe by which it is trained: file is "
                f"{self.file!r}, arch {self.arch!r}, recipe {self.recipe!r}; `vdprune train --teacher` "
                "gives it a file"
            )
        if not 1 <= self.networks <= _MOST_NETWORKS:
            raise ArgumentError(
                f"networks is {self.networks}: it must lie between 1 and {_MOST_NETWORKS}"
            )
        if self.file and self.networks > 1:
            raise ArgumentError(
                f"networks is {self.networks}, and file {self.file!r}: a file holds one network, so "
                "leave one of the two out"
            )
        if not 0 < self.temperature < math.inf:
            raise ArgumentError(f"temperature is {self.temperature}: it must be above 0")
        if not 0 < self.weight <= 1:
            raise ArgumentError(f"weight is {self.weight}: it must be above 0 and at most 1")


@dataclass(frozen=True)
class Recipe:
    """All that decides a training run but the network and the data.

    Args:
        name: What people call it.
        phases: The parts of the run, one after the other.
        batch_size: Examples in a step; a last smaller batch is filled from the next epoch.
        threshold: Log alpha above which a weight is cut.
        initial_log_sigma2: Where the logarithm of the weights' variances starts.
        theta_std: Standard deviation of the initial weights; None for the network's own, in the lenets
            0.01, as the authors have it.
        compact_every: Epochs after which what has no weights left is dropped from the arrays that are
            trained, for good; 0 for never.
        copies: How many changed copies of each training image are made, once, where phases augment; 0
            to change images as they are needed.
        seed: Seed of everything random.
        validation: Training examples held out.
        teacher: Whom the network learns from beside the labels, or None.

    Raises:
        ArgumentError: A value has no meaning.
    """

    name: str
    phases: tuple[Phase, ...]
    batch_size: int = 100
    threshold: float = 3.0
    initial_log_sigma2: float = -10.0
    theta_std: float | None = None
    compact_every: int = 5
    copies: int = 0
    seed: int = 0
    validation: int = 0
    teacher: Teacher | None = None

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if isinstance(value, float) and not math.isfinite(value):
                raise ArgumentError(f"{field.name} is {value}: it must be a finite number")
        for name, least in (
            ("batch_size", 1),
            ("seed", 0),
            ("validation", 0),
            ("compact_every", 0),
            ("copies", 0),
        ):
            if getattr(self, name) < least:
                raise ArgumentError(f"{name} is {getattr(self, name)}: it must be {least} or more")
        if self.seed >= 2**32:
            raise ArgumentError(f"seed is {self.seed}: it must be below 2^32")
        check_loga_threshold(self.threshold)
        if self.theta_std is not None and self.theta_std <= 0:
            raise ArgumentError(f"theta_std is {self.theta_std}: it must be above 0")
        is_cut_for_good = any(phase.cuts or phase.kind != "variational" for phase in self.phases)
        if is_cut_for_good and not LOG_ALPHA_MIN < self.threshold < LOG_ALPHA_MAX:
            raise ArgumentError(
                f"threshold is {self.threshold}: with phases that are not variational, or cuts, it must "
                f"lie between {LOG_ALPHA_MIN:g} and {LOG_ALPHA_MAX:g}, the least and greatest log alpha"
            )
        augmentations = [phase.augmentation for phase in self.phases]
        if self.copies and not any(each and each.changes_images for each in augmentations):
            raise ArgumentError(
                f"copies is {self.copies}, and no phase has an augmentation that changes images: there "
                "is nothing to copy, so copies must be 0"
            )
        names = [phase.name for phase in self.phases]
        taken = {field.name for field in fields(self)}
        if not names or len(set(names)) < len(names) or taken & set(names):
            raise ArgumentError(
                f"the phases are called {', '.join(names) or 'nothing'}: there must be one at least, "
                "each with a name of its own that is no field of the recipe"
            )
        if not self.name or not all(names) or any("." in name for name in names):
            raise ArgumentError(
                f"the recipe is called {self.name!r}, its phases {names}: a name must not be empty, "
                "that of a phase must have no dot"
            )

    @property
    def epochs(self) -> int:
        """Passes through the training examples, of all phases."""
        return sum(phase.epochs for phase in self.phases)

    @property
    def settled_from(self) -> float:
        """Epoch of the run from which neither cuts nor the KL weight change the network's size."""
        *before, last = self.phases
        return sum(phase.epochs for phase in before) + last.settled_from

    def with_options(self, epochs: int | None = None, **options: Any) -> "Recipe":
        """Change some fields.

        Args:
            epochs: Epochs of all phases together: each becomes shorter or longer, its schedules and
                cuts with it, so that a run of half the length is the same run at twice the pace.
            **options: New values of fields; None leaves a field as it is.

        Returns:
            The changed recipe.

        Raises:
            ArgumentError: A value has no meaning.
        """
        given = {name: value for name, value in options.items() if value is not None}
        if epochs is not None and epochs != self.epochs:
            given["phases"] = self._stretched(epochs)
        return replace(self, **given)

    def _stretched(self, epochs: int) -> tuple[Phase, ...]:
        if epochs < len(self.phases):
            raise ArgumentError(
                f"epochs is {epochs}: it must be {len(self.phases)} or more, one for each phase"
            )
        ends: list[int] = []
        before = 0
        for number, phase in enumerate(self.phases, 1):
            before += phase.epochs
            # each phase needs one at least, those that follow, too
            least, most = number, epochs - len(self.phases) + number
            least = max(least, ends[-1] + 1 if ends else 1)
            ends.append(min(max(round(before * epochs / self.epochs), least), most))
        return tuple(
            phase.with_epochs(end - start)
            for phase, start, end in zip(self.phases, [0, *ends], ends, strict=False)
        )

    def _list_in_vain(self) -> list[str]:
        unreached = [line for phase in self.phases for line in phase.list_unreached()]
        return unreached + [
            f"{phase.name}.temperature does nothing without a teacher"
            for phase in self.phases
            if phase.temperature is not None and self.teacher is None
        ]

    def describe(self) -> list[str]:
        """Tell the recipe in words.

        Returns:
            Lines: one for all, one for each phase, one for each schedule that its phase is too short
            for, and one for each temperature without a teacher.
        """
        learning = ""
        if self.teacher is not None:
            several = self.teacher.networks > 1
            whose = f"the {self.teacher.networks} teachers'" if several else "a teacher's"
            learning = f"; {whose} share is {self.teacher.weight:g}"
        return [
            f"recipe {self.name}: epochs {self.epochs}, batch {self.batch_size}, seed {self.seed}"
            f"{learning}",
            *(phase.describe() for phase in self.phases),
            *(f"note: {line}" for line in self._list_in_vain()),
        ]
