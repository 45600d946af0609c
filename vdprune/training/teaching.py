"""The teacher of a run: read from a file, or trained before."""

from pathlib import Path

from chainer.backend import Device

from vdprune.chain import VariationalDropoutChain
from vdprune.checkpoint import Checkpoint, load_checkpoint
from vdprune.datasets import Dataset
from vdprune.errors import ArgumentError
from vdprune.recipes.files import load_recipe
from vdprune.recipes.recipe import Recipe, Teacher
from vdprune.recipes.tables import to_table
from vdprune.training.callbacks import Callbacks
from vdprune.training.files import teacher_path
from vdprune.training.lessons import Lessons
from vdprune.training.start import start_checkpoint
from vdprune.training.trainer import TrainingRun


def start_teacher(
    recipe: Recipe, dataset: Dataset, out: Path, device: Device, callbacks: Callbacks
) -> TrainingRun:
    """Begin to train a run's teacher, or go on with it where it was interrupted.

    Args:
        recipe: The run's recipe, whose teacher is no file.
        dataset: The run's data; what it holds out is held out from the teacher, too.
        out: The run's checkpoint.
        device: Where to train.
        callbacks: What to tell and ask.

    Returns:
        The teacher's run; it may be finished already.

    Raises:
        ArgumentError: The file beside ``out`` is of another teacher.
    """
    teacher = recipe.teacher
    if teacher is None or teacher.file:
        raise ArgumentError(f"the recipe {recipe.name} has no teacher that is to be trained")
    path = teacher_path(out)
    its_recipe = load_recipe(teacher.recipe, teacher.arch).with_options(
        seed=recipe.seed, validation=recipe.validation
    )
    if its_recipe.teacher is not None:
        raise ArgumentError(f"the teacher's recipe {its_recipe.name} has a teacher itself")
    if path.exists():
        found = load_checkpoint(path)
        if (found.arch, found.recipe) != (teacher.arch, to_table(its_recipe)):
            raise ArgumentError(
                f"{path} is not of a {teacher.arch} by the recipe {its_recipe.name} with seed "
                f"{recipe.seed} and {recipe.validation} validation examples: remove it, or give it with "
                "--teacher if it is the one to learn from"
            )
        return TrainingRun.resume(path, dataset, device, callbacks)
    checkpoint = start_checkpoint(its_recipe, teacher.arch, dataset)
    lessons = Lessons(dataset.train, its_recipe, path)
    return TrainingRun(checkpoint, dataset, path, device, callbacks, lessons)


def load_teacher(
    teacher: Teacher, dataset: Dataset, out: Path, device: Device
) -> VariationalDropoutChain:
    """Read a teacher from its file.

    Args:
        teacher: The recipe's teacher.
        dataset: The run's data.
        out: The run's checkpoint.
        device: Where it is to work.

    Returns:
        The network.

    Raises:
        FileFormatError: The file can't be used.
        ArgumentError: It takes other data.
    """
    path = Path(teacher.file) if teacher.file else teacher_path(out)
    checkpoint = load_checkpoint(path)
    _check_data(path, checkpoint, dataset)
    checkpoint.model.to_device(device)
    return checkpoint.model


def _check_data(path: Path, checkpoint: Checkpoint, dataset: Dataset) -> None:
    found = checkpoint.input_shape, checkpoint.arch_kwargs["classes"]
    if found != (dataset.input_shape, dataset.classes):
        raise ArgumentError(
            f"the teacher {path} takes examples of shape {found[0]} in {found[1]} classes, "
            f"{dataset.name} has {dataset.input_shape} in {dataset.classes}: a teacher must know the "
            "task"
        )
