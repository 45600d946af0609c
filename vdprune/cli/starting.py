"""What `vdprune train` is asked for, and the run that comes of it."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import click
import numpy
from chainer.backend import Device

from vdprune.checkpoint import Checkpoint, count_epochs
from vdprune.cli.loading import load_checkpoint, load_its_dataset
from vdprune.cli.progress import Progress
from vdprune.cli.running import run_to_the_end
from vdprune.datasets import Dataset, load_dataset
from vdprune.errors import ArgumentError
from vdprune.recipes.files import change_recipe, load_recipe
from vdprune.recipes.recipe import Recipe, Teacher
from vdprune.recipes.tables import from_table
from vdprune.storage import check_replaceable, check_writable
from vdprune.training.files import best_path, copies_path, teacher_path
from vdprune.training.lessons import Lessons, list_augmentations
from vdprune.training.start import start_checkpoint
from vdprune.training.teaching import load_teacher, start_teacher
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
    def fields(self) -> dict[str, Any]:
        """Fields of the recipe that have options of their own."""
        names = ("epochs", "batch_size", "threshold", "seed", "validation")
        return {name: getattr(self, name) for name in names}

    def make_recipe(self) -> Recipe:
        """Make the recipe."""
        recipe = load_recipe(self.name_of_recipe, self.arch or "lenet300")
        recipe = self._with_teacher(recipe.with_options(**self.fields))
        return change_recipe(recipe, list(self.set))

    def _with_teacher(self, recipe: Recipe) -> Recipe:
        if self.teacher is None:
            return recipe
        teacher = replace(
            recipe.teacher or Teacher(file="-"), arch="", recipe="", file=str(self.teacher)
        )
        return replace(recipe, teacher=teacher)


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
    check_writable(out)
    for path in (out, best_path(out)):
        check_replaceable(path)
        if path.exists() and not order.overwrite:
            raise ArgumentError(
                f"{path} exists: go on with its run with --resume, replace it with --overwrite, or "
                "give another file with --out"
            )
    for role, given in (("teacher", order.teacher), ("init", order.init)):
        if given is not None and given.resolve() in [file.resolve() for file in _files(out)]:
            raise ArgumentError(
                f"{given} would be written over, and is given with --{role}: give another file with "
                "--out"
            )
    data = _load_data(order, recipe)
    for number, augmentation in enumerate(list_augmentations(recipe)):
        augmentation.apply(data.train.x[:1], numpy.random.RandomState(0))  # or it says why not
        check_replaceable(copies_path(out, number))
    init = None if order.init is None else load_checkpoint(order.init)
    options = {} if order.width is None else {"width": order.width}
    start_checkpoint(recipe, order.arch or "lenet300", data, init, **options)  # or it says why not
    lessons, seconds = _prepare(recipe, data, out, device, progress, received)
    checkpoint = start_checkpoint(recipe, order.arch or "lenet300", data, init, **options)
    checkpoint = replace(checkpoint, preparation=seconds)
    run = TrainingRun(checkpoint, data, out, device, progress.callbacks, lessons)
    best_path(out).unlink(missing_ok=True)  # of the run that is replaced
    return run


def resume_run(
    order: Order, device: Device, progress: Progress, received: list[int]
) -> TrainingRun:
    """Take up the run in a checkpoint; the arguments are those of `start_run`."""
    out = order.out
    checkpoint = load_checkpoint(out)
    recipe = from_table(checkpoint.recipe)
    _check_same_run(order, checkpoint, recipe)
    data = load_its_dataset(out, checkpoint.dataset, order.dataset, order.data_root)
    data = data.hold_out(recipe.validation)
    if count_epochs(out) >= recipe.epochs:  # nothing is left to be learned
        lessons = Lessons(data.train, replace(recipe, teacher=None, copies=0), out)
    else:
        lessons, _ = _prepare(recipe, data, out, device, progress, received)
    return TrainingRun.resume(out, data, device, progress.callbacks, lessons)


def _files(out: Path) -> list[Path]:
    """List what a run writes."""
    teacher = teacher_path(out)
    return [out, best_path(out), teacher, best_path(teacher)]


def _load_data(order: Order, recipe: Recipe) -> Dataset:
    name = "mnist" if order.dataset is None else order.dataset
    return load_dataset(name, order.data_root).hold_out(recipe.validation)


def _prepare(
    recipe: Recipe,
    data: Dataset,
    out: Path,
    device: Device,
    progress: Progress,
    received: list[int],
) -> tuple[Lessons, float]:
    """Make all that the network is to be shown.

    Returns:
        It, and the seconds that it took, now or before.
    """
    seconds, teacher = 0.0, None
    if recipe.teacher is not None:
        if not recipe.teacher.file:
            run = start_teacher(recipe, data, out, device, progress.callbacks)
            if not run.is_finished:
                progress.tell(f"training the teacher first, into {teacher_path(out)}")
                run_to_the_end(run, progress, received, "the same command")
            seconds = sum(row["seconds"] for row in run.checkpoint.history)
        teacher = load_teacher(recipe.teacher, data, out, device)
    makes_copies = recipe.copies > 0 and bool(list_augmentations(recipe))
    if makes_copies:
        progress.tell(f"changed copies of the training images are kept in {copies_path(out, 0)}")
    with progress.counting("image") as count:
        lessons = Lessons(data.train, recipe, out, teacher, count)
    return lessons, seconds + lessons.seconds


def _check_same_run(order: Order, checkpoint: Checkpoint, recipe: Recipe) -> None:
    """Refuse options that say something else than the run that is to be resumed.

    Data may have moved: whether they are the same is told by what they hold.
    """
    given = {"arch": order.arch, "width": order.width, **order.fields}
    stored = {
        "arch": checkpoint.arch,
        "width": checkpoint.arch_kwargs.get("width", 1.0),
        **{name: getattr(recipe, name) for name in order.fields},
    }
    if order.recipe is not None or order.method is not None:
        given["recipe"] = load_recipe(order.name_of_recipe, checkpoint.arch).name
        stored["recipe"] = recipe.name
    if order.teacher is not None:
        given["teacher"] = str(order.teacher)
        stored["teacher"] = (recipe.teacher.file or "of its own") if recipe.teacher else "none"
    for name, value in given.items():
        if value is not None and value != stored[name]:
            raise ArgumentError(
                f"{order.out} holds a run with {name} {stored[name]}, not {value}: a run goes on as it "
                f"began, so leave --{name.replace('_', '-')} out, or begin another with --out"
            )
    for setting in order.set:
        if change_recipe(recipe, [setting]) != recipe:
            raise ArgumentError(
                f"{order.out} holds a run without {setting!r}: a run goes on as it began, so leave "
                "--set out, or begin another with --out"
            )
    if order.init is not None:
        raise ArgumentError(
            "--init is for the beginning of a run: leave it out, or leave --resume out"
        )
