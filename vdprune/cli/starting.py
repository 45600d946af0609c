"""What `vdprune train` is asked for, and the run that comes of it."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import click
import numpy
from chainer.backend import Device

from vdprune.chain import VariationalDropoutChain
from vdprune.checkpoint import Checkpoint, holds_run
from vdprune.cli.loading import load_checkpoint, load_its_dataset
from vdprune.cli.progress import Progress
from vdprune.cli.running import leave, run_to_the_end, same_command
from vdprune.cli.same_run import check_same_run
from vdprune.datasets import Dataset, load_dataset
from vdprune.errors import ArgumentError
from vdprune.recipes.files import change_recipe, load_recipe
from vdprune.recipes.recipe import Recipe
from vdprune.recipes.tables import from_table
from vdprune.storage import check_replaceable, check_writable
from vdprune.training.files import best_path, copies_path, teacher_path
from vdprune.training.lessons import (
    Lessons,
    check_memory,
    list_augmentations,
    shows_plain_images,
)
from vdprune.training.own_file import OwnFile
from vdprune.training.start import start_checkpoint
from vdprune.training.teaching import (
    Begun,
    list_teachers,
    load_teacher,
    needs_training,
    read_begun,
    recipe_of_teacher,
    start_teacher,
)
from vdprune.training.trainer import TrainingRun

_RECIPES = {"variational": "paper", "magnitude": "magnitude"}


@dataclass(frozen=True)
class Order:
    """The options of `vdprune train` that say what is trained; None, or empty, where not given."""

    out: Path
    data_root: Path | None = None
    overwrite: bool = False
    arch: str | None = None
    width: float | None = None
    dataset: str | None = None
    method: str | None = None
    recipe: str | None = None
    epochs: int | None = None
    batch_size: int | None = None
    threshold: float | None = None
    seed: int | None = None
    validation: int | None = None
    set: tuple[str, ...] = ()
    teacher: Path | None = None
    init: Path | None = None

    @property
    def name_of_recipe(self) -> str:
        """The recipe's name, or its file."""
        if self.method is not None and self.recipe is not None:
            raise click.UsageError("give --method or --recipe, not both")
        return self.recipe or _RECIPES[self.method or "variational"]

    @property
    def name_of_arch(self) -> str:
        """The network's name."""
        return self.arch or "lenet300"

    @property
    def fields(self) -> dict[str, Any]:
        """Fields of the recipe that have options of their own."""
        names = ("epochs", "batch_size", "threshold", "seed", "validation")
        return {name: getattr(self, name) for name in names}

    def make_recipe(self) -> Recipe:
        """Make the recipe."""
        recipe = load_recipe(self.name_of_recipe, self.name_of_arch, self.teacher)
        return change_recipe(recipe.with_options(**self.fields), list(self.set))


def start_run(order: Order, device: Device, progress: Progress, received: list[int]) -> TrainingRun:
    """Begin a run; its teacher is trained first if it needs one.

    Args:
        order: What is wanted.
        device: Where to train.
        progress: What tells of it.
        received: The signals that have come.

    Returns:
        The run.
    """
    recipe, out = order.make_recipe(), order.out
    recipe_of_teacher(recipe)  # or it says why not
    check_writable(out)
    for path in (out, best_path(out)):
        check_replaceable(path)
        if path.exists() and not order.overwrite:
            resume = "go on with its run with --resume, " if holds_run(out) else ""
            raise ArgumentError(
                f"{path} exists: {resume}replace it with --overwrite, or give another file with --out"
            )
    for role, given in (("teacher", order.teacher), ("init", order.init)):
        if given is not None and given.resolve() in [
            file.resolve() for file in _files(recipe, out)
        ]:
            raise ArgumentError(
                f"{given} would be written over, and is given with --{role}: give another file with "
                "--out"
            )
    own_file = OwnFile(out)
    data = _load_data(order, recipe)
    for number, augmentation in enumerate(list_augmentations(recipe)):
        augmentation.apply(data.train.x[:1], numpy.random.RandomState(0))  # or it says why not
        check_replaceable(copies_path(out, number))
    init = None if order.init is None else load_checkpoint(order.init)
    options = {} if order.width is None else {"width": order.width}
    start_checkpoint(recipe, order.name_of_arch, data, init, **options)  # or it says why not
    if init is not None:
        _tell_of_cut_weights(order, recipe, init, progress)
    lessons, seconds = _prepare(recipe, data, out, device, progress, received)
    checkpoint = start_checkpoint(recipe, order.name_of_arch, data, init, **options)
    checkpoint = replace(checkpoint, preparation=seconds)
    run = TrainingRun(checkpoint, data, out, device, progress.callbacks, lessons, own_file)
    own_file.check()
    return run


def resume_run(
    order: Order, device: Device, progress: Progress, received: list[int]
) -> TrainingRun:
    """Take up the run in a checkpoint; the arguments are those of `start_run`.

    Where only its teacher was begun, that goes on.
    """
    out = order.out
    if not out.exists():
        _check_teacher_is_begun(order)
        return start_run(order, device, progress, received)
    own_file = OwnFile(out)
    checkpoint = load_checkpoint(out)
    recipe = from_table(checkpoint.recipe)
    check_same_run(order, checkpoint, recipe)
    begun = read_begun(out)
    data = load_its_dataset(out, checkpoint.dataset, order.dataset, order.data_root)
    data = data.hold_out(recipe.validation)
    if begun.epochs >= recipe.epochs:  # nothing is left to be learned
        lessons = Lessons(data.train, replace(recipe, teacher=None, copies=0), out)
    else:
        lessons, _ = _prepare(recipe, data, out, device, progress, received, begun)
    return TrainingRun.resume(out, data, device, progress.callbacks, lessons, own_file)


def _check_teacher_is_begun(order: Order) -> None:
    out, path = order.out, teacher_path(order.out)
    if not path.exists():
        raise ArgumentError(
            f"there is no run in {str(out)!r} to go on with: leave --resume out, and give all options "
            "that it is to begin with"
        )
    recipe = order.make_recipe()
    if recipe.teacher is None or recipe.teacher.file:
        raise ArgumentError(
            f"there is no run in {str(out)!r} yet, only its teacher's in {path}, and the recipe "
            f"{recipe.name} trains none: give all options that the run began with beside --resume, or "
            "leave --resume out to begin another one"
        )


def _files(recipe: Recipe, out: Path) -> list[Path]:
    """List what a run writes, or would if it had a teacher trained."""
    teachers = [teacher_path(out)]
    if recipe.teacher is not None and not recipe.teacher.file:
        teachers = list_teachers(recipe.teacher, out)
    return [path for written in (out, *teachers) for path in (written, best_path(written))]


def _load_data(order: Order, recipe: Recipe) -> Dataset:
    name = "mnist" if order.dataset is None else order.dataset
    return load_dataset(name, order.data_root).hold_out(recipe.validation)


def _tell_of_cut_weights(
    order: Order, recipe: Recipe, init: Checkpoint, progress: Progress
) -> None:
    sparsity, first = init.model.sparsity(), recipe.phases[0]
    cut = sparsity.weights - sparsity.nonzero
    if cut:
        fate = "stay there"
        if first.kind == "dense":
            fate = f"are trained like the others, for the phase {first.name} is dense"
        progress.tell(
            f"{cut:,} of {sparsity.weights:,} weights in {order.init} are cut: they start at zero and "
            f"{fate}"
        )


def _prepare(
    recipe: Recipe,
    data: Dataset,
    out: Path,
    device: Device,
    progress: Progress,
    received: list[int],
    begun: Begun | None = None,
) -> tuple[Lessons, float]:
    """Make all that the network is to be shown.

    Returns:
        It, and the seconds that it took, now or before.
    """
    check_memory(data.train, recipe)
    seconds, teacher = 0.0, None
    if recipe.teacher is not None:
        if needs_training(recipe.teacher, out, begun):
            for number in range(recipe.teacher.networks):
                seconds += _train_teacher(
                    recipe, data, out, device, progress, received, begun, number
                )
        teacher = load_teacher(recipe.teacher, data, out, device, begun)
    lessons = _make_lessons(recipe, data, out, teacher, progress, received, begun)
    return lessons, seconds + lessons.seconds


def _train_teacher(
    recipe: Recipe,
    data: Dataset,
    out: Path,
    device: Device,
    progress: Progress,
    received: list[int],
    begun: Begun | None,
    number: int,
) -> float:
    """Train a teacher to the end, if it is not trained yet.

    Returns:
        The seconds that it took, now or before.
    """
    path = teacher_path(out, number)
    state = "only begun: it is trained on" if path.exists() else "missing: it is trained again"
    run = start_teacher(recipe, data, out, device, progress.callbacks, number)
    if run.is_finished:
        progress.tell(f"the teacher in {path} is trained already")
    else:
        if begun is not None:
            progress.tell(
                f"{path}, the teacher of the run in {out}, is {state}, and the run goes on if that "
                "gives the same network, as the same --threads, device and recipe do"
            )
        networks = 1 if recipe.teacher is None else recipe.teacher.networks
        which = f"teacher {number + 1} of {networks}" if networks > 1 else "the teacher"
        progress.tell(f"training {which} first, into {path}")
        run_to_the_end(run, progress, received, same_command())
    return sum(row["seconds"] for row in run.checkpoint.history)


def _make_lessons(
    recipe: Recipe,
    data: Dataset,
    out: Path,
    teacher: VariationalDropoutChain | None,
    progress: Progress,
    received: list[int],
    begun: Begun | None,
) -> Lessons:
    ways = len(list_augmentations(recipe)) if recipe.copies else 0
    answers = "" if teacher is None else ", with the teacher's answers to them"
    if teacher is not None and not ways and shows_plain_images(recipe):
        progress.tell("asking the teacher about the training images, once")
    copies = f"{recipe.copies} changed cop{'y' if recipe.copies == 1 else 'ies'}"
    try:
        with progress.counting("image", f"{copies} of the training images{answers}") as count:
            lessons = Lessons(data.train, recipe, out, teacher, count)
    except KeyboardInterrupt:
        if not ways:
            raise
        leave(
            "stopped while the changed copies of the training images were made, which will be made "
            f"again; {_tell_what_is_kept(recipe, out, begun)}go on with {same_command()}",
            received,
        )
    if ways:
        paths = ", ".join(str(copies_path(out, number)) for number in range(ways))
        progress.tell(f"changed copies of the training images are kept in {paths}")
    return lessons


def _tell_what_is_kept(recipe: Recipe, out: Path, begun: Begun | None) -> str:
    kept = [] if begun is None else [f"the run in {out}"]
    if recipe.teacher is not None and not recipe.teacher.file:
        files = ", ".join(map(str, list_teachers(recipe.teacher, out)))
        kept.insert(0, f"the teacher in {files}, which is done,")
    if not kept:
        return ""
    return f"{' and '.join(kept)} {'is' if len(kept) == 1 else 'are'} kept; "
