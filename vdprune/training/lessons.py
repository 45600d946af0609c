"""What a network is shown in training."""

import os
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from vdprune.augmentation import Augmentation
from vdprune.chain import VariationalDropoutChain
from vdprune.datasets import Split
from vdprune.errors import ArgumentError
from vdprune.recipes.phase import Phase
from vdprune.recipes.recipe import Recipe
from vdprune.training.augmented import AugmentedBatches, WarpedBatches
from vdprune.training.batches import ArrayBatches
from vdprune.training.files import copies_path
from vdprune.training.teacher_logits import compute_logits, teacher_sha256
from vdprune.training.warped_copies import WarpedCopies, load_or_make_copies


class Lessons:
    """Training examples as the phases of a recipe want them: as they are, changed, with a teacher.

    Args:
        train: The training examples.
        recipe: The recipe.
        out: The run's checkpoint; changed copies of images are kept beside it.
        teacher: The recipe's teacher, or None.
        on_progress: Called while copies are made, with their file and what is done of how much; for the
            first time before anything is.

    Its ``seconds`` are the time that it took to make what is shown, its ``teacher_sha256`` is the
    teacher's, empty without one.

    Raises:
        FileFormatError: A file that copies should be kept in is damaged.
        FileWriteError: Such a file can't be written.
        ArgumentError: The examples are no images, or the teacher can't take them.
    """

    def __init__(
        self,
        train: Split,
        recipe: Recipe,
        out: Path,
        teacher: VariationalDropoutChain | None = None,
        on_progress: Callable[[Path, int, int], Any] = lambda path, done, total: None,
    ) -> None:
        self._train = train
        self._teacher = teacher
        self._copies: dict[Augmentation, WarpedCopies] = {}
        self._plain_logits = None
        self.seconds = 0.0
        self.teacher_sha256 = "" if teacher is None else teacher_sha256(teacher)
        if recipe.teacher is not None and teacher is None:
            raise ArgumentError(f"the recipe {recipe.name} has a teacher: give Lessons the network")
        for augmentation in list_augmentations(recipe) if recipe.copies else ():
            path = copies_path(out, len(self._copies))
            copies = load_or_make_copies(
                path,
                train.x,
                train.fingerprint(),
                augmentation,
                recipe.copies,
                recipe.seed,
                teacher,
                partial(on_progress, path),
            )
            self._copies[augmentation] = copies
            self.seconds += copies.seconds
        if teacher is not None and shows_plain_images(recipe):
            known = [copies.plain_logits for copies in self._copies.values()]
            start = time.perf_counter()
            self._plain_logits = known[0] if known else compute_logits(teacher, train.x)
            self.seconds += time.perf_counter() - start

    def batches(self, phase: Phase) -> Any:
        """Make the converter of a phase's updater.

        Args:
            phase: The phase.

        Returns:
            The converter, for an iterator over the examples' numbers.
        """
        x, t, augmentation = self._train.x, self._train.t, _augmentation_of(phase)
        if augmentation is None:
            return ArrayBatches(x, t, *(() if self._teacher is None else (self._plain_logits,)))
        copies = self._copies.get(_kind_of(augmentation))
        if copies is None:
            return AugmentedBatches(x, t, augmentation, self._teacher)
        return WarpedBatches(x, t, copies, augmentation.probability)


def shows_plain_images(recipe: Recipe) -> bool:
    """Tell whether a recipe has phases that leave images as they are."""
    return any(_augmentation_of(phase) is None for phase in recipe.phases)


def list_augmentations(recipe: Recipe) -> list[Augmentation]:
    """List the different ways in which a recipe's phases change images.

    Args:
        recipe: The recipe.

    Returns:
        The ways, without how often they are used.
    """
    found = (_augmentation_of(phase) for phase in recipe.phases)
    return list(dict.fromkeys(_kind_of(augmentation) for augmentation in found if augmentation))


def check_memory(train: Split, recipe: Recipe) -> None:
    """Make sure that the changed copies that a recipe asks for can be held in memory.

    Args:
        train: The training examples.
        recipe: The recipe.

    Raises:
        ArgumentError: They take more than the machine has.
    """
    needed = recipe.copies * len(list_augmentations(recipe)) * train.x.nbytes
    present = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    if needed > present:
        raise ArgumentError(
            f"copies is {recipe.copies}: so many changed copies of the training images take "
            f"{needed / 1e9:,.1f} GB of memory, this machine has {present / 1e9:,.1f} GB: take fewer, "
            "or 0 to change images as they are needed"
        )


def _augmentation_of(phase: Phase) -> Augmentation | None:
    augmentation = phase.augmentation
    return augmentation if augmentation is not None and augmentation.changes_images else None


def _kind_of(augmentation: Augmentation) -> Augmentation:
    """How images are changed, however often."""
    return replace(augmentation, probability=1.0)
