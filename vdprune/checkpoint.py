"""The HDF5 checkpoint: a variational network, how it was trained and what training did.

Layout (see README.md, "Files"): root attributes; ``model/`` as chainer.serializers.save_hdf5 lays it
out; ``history/``, one array a column; in a training checkpoint ``training/``, all that a resumed run
needs; in a pruned one ``masks/``, one array of bool per variational layer.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import h5py
import numpy
from chainer import get_device
from chainer.serializers import DictionarySerializer, HDF5Deserializer, HDF5Serializer

from vdprune.archs import build_arch, check_arch_size
from vdprune.chain import VariationalDropoutChain
from vdprune.errors import ArgumentError, FileFormatError
from vdprune.hdf5 import (
    CHECKPOINT,
    CHECKPOINT_VERSION,
    named_datasets,
    new_h5,
    open_h5,
    read_attribute,
    read_json_attribute,
)
from vdprune.storage import check_seal

History = list[dict[str, float]]


@dataclass(frozen=True)
class Checkpoint:
    """What a checkpoint file holds, but for the state of a run in progress.

    Args:
        model: The variational network.
        arch: Its name in the registry.
        arch_kwargs: What `build_arch` was given: input_shape, classes, theta_std, perhaps width.
        recipe: The recipe's fields.
        dataset: Name of the data set it was trained on.
        threshold: Log alpha above which weights are cut.
        history: A row for each epoch; every row has the same columns.
        pruned: Whether the cut weights have been set to zero for good.
        earlier_recipes: Fields of the recipes of earlier runs that the network went through.
        preparation: Seconds that passed before the first step: a teacher's training, changed images.
    """

    model: VariationalDropoutChain
    arch: str
    arch_kwargs: dict[str, Any]
    recipe: dict[str, Any]
    dataset: str
    threshold: float
    history: History = field(default_factory=list)
    pruned: bool = False
    earlier_recipes: list[dict[str, Any]] = field(default_factory=list)
    preparation: float = 0.0

    @property
    def kind(self) -> str:
        """``pruned`` or ``checkpoint``."""
        return "pruned" if self.pruned else "checkpoint"

    @property
    def input_shape(self) -> tuple[int, ...]:
        """Shape of one example."""
        return tuple(self.arch_kwargs["input_shape"])


def save_checkpoint(
    path: str | Path,
    checkpoint: Checkpoint,
    save_training: Callable[[h5py.Group], None] | None = None,
) -> None:
    """Write a checkpoint, in one step.

    Args:
        path: The file.
        checkpoint: What it shall hold.
        save_training: Fills the group ``training/``; None leaves it out.

    Raises:
        ArgumentError: It is something else.
        FileWriteError: It can't be written; a file that was there is as it was.
    """
    if not isinstance(checkpoint, Checkpoint):
        raise ArgumentError(
            "save_checkpoint writes a Checkpoint, as load_checkpoint returns it, not a "
            f"{type(checkpoint).__name__}: chainer.serializers save a model of your own, export_chain "
            "writes its weights"
        )
    with new_h5(Path(path), CHECKPOINT, CHECKPOINT_VERSION) as file:
        file.attrs["kind"] = checkpoint.kind
        file.attrs["arch"] = checkpoint.arch
        file.attrs["arch_kwargs"] = json.dumps(checkpoint.arch_kwargs)
        file.attrs["recipe"] = json.dumps(checkpoint.recipe)
        file.attrs["earlier_recipes"] = json.dumps(checkpoint.earlier_recipes)
        file.attrs["preparation"] = checkpoint.preparation
        file.attrs["dataset"] = checkpoint.dataset
        file.attrs["input_shape"] = checkpoint.input_shape
        file.attrs["threshold"] = checkpoint.threshold
        # Numbers that are still trained don't get smaller, but compressing them takes time.
        compression = 4 if save_training is None else None
        HDF5Serializer(file.create_group("model"), compression).save(checkpoint.model)
        _write_history(file.create_group("history"), checkpoint.history)
        if checkpoint.pruned:
            masks = file.create_group("masks")
            for name, link in checkpoint.model.named_variational_links():
                mask = get_device("@numpy").send(link.W.array != 0)
                masks.create_dataset(name, data=mask, compression="gzip")
        if save_training is not None:
            save_training(file.create_group("training"))


def holds_run(path: Path) -> bool:
    """Tell whether a file is what a training run left, or a fine-tuning that was interrupted.

    Args:
        path: The file; it need not be there.

    Returns:
        Whether there is something in it that a run can go on with, or came to.

    Raises:
        FileFormatError: It is damaged, so that there is no telling.
    """
    if not path.is_file():
        return False
    check_seal(path)
    try:
        with h5py.File(path) as file:
            is_ours = str(file.attrs.get("format")) == CHECKPOINT
            return is_ours and (file.attrs.get("kind") == "checkpoint" or "training" in file)
    except OSError:
        return False


def remove_checkpoint(path: Path) -> None:
    """Remove a checkpoint or a pruned network; any other file, or none, stays as it is.

    Args:
        path: The file.
    """
    try:
        with h5py.File(path) as file:
            is_one = str(file.attrs.get("format")) == CHECKPOINT
    except OSError:
        return
    if is_one:
        path.unlink()


def check_no_run(path: Path) -> None:
    """Make sure that a file that is about to be replaced is not what a training run left.

    Args:
        path: The file; it need not be there.

    Raises:
        ArgumentError: See `holds_run`.
        FileFormatError: It is damaged, so that there is no telling.
    """
    if holds_run(path):
        with h5py.File(path) as file:
            is_finetuning = file.attrs.get("kind") == "pruned"
        found = "is the checkpoint of a training run"
        if is_finetuning:
            found = (
                f"holds a fine-tuning that was interrupted, which `vdprune train --resume --out {path}` "
                "finishes"
            )
        raise ArgumentError(f"{path} {found}: name another file to write, or remove it")


def count_epochs(path: Path) -> int | None:
    """Tell how far the run in a checkpoint has got.

    Args:
        path: The checkpoint, which can be read.

    Returns:
        Epochs that are done; None where there is no run to go on with.
    """
    with open_h5(path, {CHECKPOINT: CHECKPOINT_VERSION}) as file:
        return int(file["training"].attrs["epoch"]) if "training" in file else None


def count_epochs_of_last_run(history: History) -> int:
    """Count the epochs of the run that was the last to add to a history.

    A fine-tuning goes on with the history of the run before, and counts its own steps.

    Args:
        history: The history.

    Returns:
        The rows from the last one on whose steps do not follow those of the row before.
    """
    steps = [row["iteration"] for row in history]
    later = [n for n in range(1, len(steps)) if steps[n] <= steps[n - 1]]
    return len(steps) - max(later, default=0)


def load_checkpoint(
    path: str | Path, load_training: Callable[[h5py.Group, Checkpoint], None] | None = None
) -> Checkpoint:
    """Read a checkpoint.

    Args:
        path: The file.
        load_training: Reads the group ``training/``; None passes it over.

    Returns:
        What it holds.

    Raises:
        FileFormatError: It is missing, damaged, of another format or of a newer version, its arrays do
            not fit its arch, or it holds no run to go on with where ``load_training`` is given.
    """
    path = Path(path)
    with open_h5(path, {CHECKPOINT: CHECKPOINT_VERSION}) as file:
        datasets = named_datasets(file)
        checkpoint = Checkpoint(
            model=_load_model(path, file, datasets),
            arch=read_attribute(file, "arch"),
            arch_kwargs=read_json_attribute(file, "arch_kwargs"),
            recipe=read_json_attribute(file, "recipe"),
            dataset=read_attribute(file, "dataset"),
            threshold=float(read_attribute(file, "threshold")),
            history=_read_history(file["history"]),
            pruned=read_attribute(file, "kind") == "pruned",
            earlier_recipes=read_json_attribute(file, "earlier_recipes"),
            preparation=float(read_attribute(file, "preparation")),
        )
        if load_training is not None:
            if "training" not in file:
                raise FileFormatError(
                    f"{path} is a {checkpoint.kind} file without the state of a training run: only "
                    "what `vdprune train` wrote can be resumed"
                )
            load_training(file["training"], checkpoint)
        return checkpoint


def _load_model(
    path: Path, file: h5py.File, datasets: dict[str, h5py.Dataset]
) -> VariationalDropoutChain:
    arch, kwargs = read_attribute(file, "arch"), read_json_attribute(file, "arch_kwargs")
    if list(read_attribute(file, "input_shape")) != kwargs["input_shape"]:
        raise ValueError(f"its input_shape is {kwargs['input_shape']} in one place only")
    check_arch_size(kwargs, [item.shape for item in datasets.values() if item.shape is not None])
    try:
        model = build_arch(arch, **kwargs)
        model.warm_up = 0
        model.to_variational_dropout(loga_threshold=float(read_attribute(file, "threshold")))
    except (ArgumentError, TypeError) as error:
        raise FileFormatError(f"{path} can't be made into a network: {error}") from error
    expected = DictionarySerializer()
    expected.save(model)
    for name, value in sorted(expected.target.items()):
        needed, found = numpy.asarray(value), datasets.get(f"model/{name}")
        if found is None:
            raise FileFormatError(f"{path} is damaged: it has no {name}; use another copy")
        if found.shape != needed.shape:
            raise FileFormatError(
                f"{path}: {name} has shape {found.shape} in the file, {arch} with {json.dumps(kwargs)} "
                f"needs {needed.shape}"
            )
        if found.dtype.kind != needed.dtype.kind:
            raise ValueError(f"{name} is an array of {found.dtype}, expected {needed.dtype}")
    HDF5Deserializer(file["model"]).load(model)
    return model


def _write_history(group: h5py.Group, history: History) -> None:
    for column in history[0] if history else ():
        group.create_dataset(column, data=numpy.array([row[column] for row in history], "f8"))


def _read_history(group: h5py.Group) -> History:
    columns = {name: item[...].astype(float) for name, item in named_datasets(group).items()}
    if len({values.shape for values in columns.values()}) > 1:
        raise FileFormatError(
            f"{group.file.filename} is damaged: history columns differ in length; use another copy"
        )
    return [
        dict(zip(columns, map(float, row), strict=True))
        for row in zip(*columns.values(), strict=True)
    ]
