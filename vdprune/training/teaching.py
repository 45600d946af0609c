"""The teacher of a run, or its teachers: read from a file, or trained before."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import h5py
from chainer.backend import Device

from vdprune.archs import check_arch
from vdprune.chain import VariationalDropoutChain
from vdprune.checkpoint import Checkpoint, count_epochs, load_checkpoint
from vdprune.datasets import Dataset
from vdprune.errors import ArgumentError, FileFormatError
from vdprune.recipes.files import load_recipe
from vdprune.recipes.recipe import Recipe, Teacher
from vdprune.recipes.tables import from_table, to_table
from vdprune.training.callbacks import Callbacks
from vdprune.training.ensemble import Ensemble
from vdprune.training.files import teacher_path
from vdprune.training.lessons import Lessons
from vdprune.training.start import start_checkpoint
from vdprune.training.teacher_logits import teacher_sha256
from vdprune.training.trainer import TrainingRun

_BETWEEN_SEEDS = 2**16  # so that runs of neighbouring seeds have no teacher in common


@dataclass(frozen=True)
class Begun:
    """How far a run is that shall go on, and whom it learns from.

    Args:
        out: Its checkpoint.
        epochs: Epochs that are done.
        teacher_sha256: Of its teacher; empty without one.
    """

    out: Path
    epochs: int
    teacher_sha256: str


def read_begun(out: Path) -> Begun:
    """Read how far the run in a checkpoint is.

    Args:
        out: The checkpoint.

    Returns:
        What is in it.

    Raises:
        FileFormatError: It can't be used, or holds no run to go on with.
    """
    found: list[Begun] = []

    def read(group: h5py.Group, _: Checkpoint) -> None:
        attributes = group.attrs
        found.append(Begun(out, int(attributes["epoch"]), str(attributes["teacher_sha256"])))

    load_checkpoint(out, read)
    return found[0]


def needs_training(teacher: Teacher, out: Path, begun: Begun | None) -> bool:
    """Tell whether a run's teacher has to be trained, or may have to be, before the run goes on.

    Args:
        teacher: The recipe's teacher.
        out: The run's checkpoint.
        begun: The run that shall go on; None for one that begins.

    Returns:
        False where the teacher is a file, or what is beside ``out`` can only be taken as it is.
    """
    paths = list_teachers(teacher, out)
    if teacher.file:
        return False
    if begun is None or not all(path.exists() for path in paths):
        return True
    found = [_load_trained(path) for path in paths]
    are_finished = all(
        (count_epochs(path) or 0) >= from_table(checkpoint.recipe).epochs
        for path, checkpoint in zip(paths, found, strict=True)
    )
    is_same = teacher_sha256(_join([item.model for item in found])) == begun.teacher_sha256
    return not is_same and not are_finished


def list_teachers(teacher: Teacher, out: Path) -> list[Path]:
    """List the files of a run's teachers.

    Args:
        teacher: The recipe's teacher.
        out: The run's checkpoint.

    Returns:
        Where they are, or will be.
    """
    if teacher.file:
        return [Path(teacher.file)]
    return [teacher_path(out, number) for number in range(teacher.networks)]


def recipe_of_teacher(recipe: Recipe, number: int = 0) -> Recipe | None:
    """Load the recipe that a run's teacher is trained by.

    Args:
        recipe: The run's recipe.
        number: Which teacher, counted from 0; the first one has the run's seed.

    Returns:
        It, with its seed and the run's validation examples; None where no teacher is to be trained.

    Raises:
        ArgumentError: There is no such recipe or arch, or the teacher would need one itself.
    """
    teacher = recipe.teacher
    if teacher is None or teacher.file:
        return None
    try:
        check_arch(teacher.arch)
        found = load_recipe(teacher.recipe, teacher.arch)
    except ArgumentError as error:
        raise ArgumentError(f"the recipe {recipe.name}, teacher: {error}") from error
    seed = (recipe.seed + number * _BETWEEN_SEEDS) % 2**32
    found = found.with_options(seed=seed, validation=recipe.validation)
    if found.teacher is not None:
        raise ArgumentError(
            f"the recipe {recipe.name}, teacher: its recipe {found.name} has a teacher itself: give one "
            "without as teacher.recipe, as 'teacher' or 'dense'"
        )
    return found


def start_teacher(
    recipe: Recipe,
    dataset: Dataset,
    out: Path,
    device: Device,
    callbacks: Callbacks,
    number: int = 0,
) -> TrainingRun:
    """Begin to train a run's teacher, or go on with it where it was interrupted.

    Args:
        recipe: The run's recipe, whose teacher is no file.
        dataset: The run's data; what it holds out is held out from the teacher, too.
        out: The run's checkpoint.
        device: Where to train.
        callbacks: What to tell and ask.
        number: Which of the run's teachers, counted from 0.

    Returns:
        The teacher's run; it may be finished already.

    Raises:
        ArgumentError: The file beside ``out`` is of another teacher.
    """
    teacher, its_recipe = recipe.teacher, recipe_of_teacher(recipe, number)
    if teacher is None or its_recipe is None:
        raise ArgumentError(f"the recipe {recipe.name} has no teacher that is to be trained")
    path = teacher_path(out, number)
    if path.exists():
        found = _load_trained(path)
        if (found.arch, found.recipe) != (teacher.arch, to_table(its_recipe)):
            raise ArgumentError(
                f"{path} is not of {_tell_training(teacher.arch, its_recipe)}, which is wanted, but of "
                f"{_tell_training(found.arch, from_table(found.recipe))}, or the recipe was another "
                "then: give the options, and the recipe, that it began with, remove it, or begin a run "
                "with it as --teacher if it is the one to learn from"
            )
        return TrainingRun.resume(path, dataset, device, callbacks)
    checkpoint = start_checkpoint(its_recipe, teacher.arch, dataset)
    lessons = Lessons(dataset.train, its_recipe, path)
    return TrainingRun(checkpoint, dataset, path, device, callbacks, lessons)


def load_teacher(
    teacher: Teacher, dataset: Dataset, out: Path, device: Device, begun: Begun | None = None
) -> VariationalDropoutChain:
    """Read a teacher, or several, from their files.

    Args:
        teacher: The recipe's teacher.
        dataset: The run's data.
        out: The run's checkpoint.
        device: Where it is to work.
        begun: The run that shall go on with it; None for one that begins.

    Returns:
        The network; of several, one whose logits are the mean of their log probabilities.

    Raises:
        FileFormatError: A file can't be used.
        ArgumentError: It takes other data, or is not the teacher that the run began with.
    """
    paths = list_teachers(teacher, out)
    load = load_checkpoint if teacher.file else _load_trained
    model = _join([_load_network(path, load, dataset, begun) for path in paths])
    if begun is not None:
        _check_same_teacher(paths, model, begun)
    model.to_device(device)
    return model


def _join(networks: list[VariationalDropoutChain]) -> VariationalDropoutChain:
    return networks[0] if len(networks) == 1 else Ensemble(networks)


def _load_trained(path: Path) -> Checkpoint:
    """Read what was trained as a teacher; what can't be used may be trained again."""
    try:
        return load_checkpoint(path)
    except FileFormatError as error:
        raise FileFormatError(f"{error}; remove it to have that teacher trained again") from error


def _tell_training(arch: str, recipe: Recipe) -> str:
    return (
        f"a {arch} by the recipe {recipe.name} with seed {recipe.seed} and {recipe.validation} "
        "validation examples"
    )


def _load_network(
    path: Path,
    load: Callable[[Path], Checkpoint],
    dataset: Dataset,
    begun: Begun | None,
) -> VariationalDropoutChain:
    if begun is not None and not path.exists():
        raise FileFormatError(
            f"the run in {begun.out} learns from a teacher in {str(path)!r}, and there is no such file "
            "here: put it back, or go on in the folder that the run began in"
        )
    try:
        checkpoint = load(path)
    except FileFormatError as error:
        raise FileFormatError(
            f"{error} (a teacher is a checkpoint, as `vdprune train` writes it)"
        ) from error
    _check_data(path, checkpoint, dataset)
    return checkpoint.model


def _check_data(path: Path, checkpoint: Checkpoint, dataset: Dataset) -> None:
    found = checkpoint.input_shape, checkpoint.arch_kwargs["classes"]
    if found != (dataset.input_shape, dataset.classes):
        raise ArgumentError(
            f"the teacher {path} takes examples of shape {found[0]} in {found[1]} classes, "
            f"{dataset.name} has {dataset.input_shape} in {dataset.classes}: a teacher must know the "
            "task"
        )


def _check_same_teacher(paths: list[Path], model: VariationalDropoutChain, begun: Begun) -> None:
    """Refuse another network before anything is made with it."""
    found, expected = teacher_sha256(model), begun.teacher_sha256
    if found != expected:
        is_own = paths[0] == teacher_path(begun.out)
        again = ", remove it to have it trained again" if is_own else ""
        several = ", one of them at least," if len(paths) > 1 else ""
        raise ArgumentError(
            f"{', '.join(map(str, paths))}: the teacher{several} is not the one that the run in "
            f"{begun.out} began with: its teacher_sha256 is {found[:12]}..., expected "
            f"{expected[:12]}...: put that one back{again}, or begin another run"
        )
