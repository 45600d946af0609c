"""Small files of every kind that vdprune reads, and how they are read."""

import pickle
import shutil
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, fields, is_dataclass
from pathlib import Path
from types import ModuleType
from typing import Any
from unittest import mock

import chainer.links as L
import h5py
import numpy

import vdprune
from tests.datasets.test_idx import NAMES, to_idx
from tests.formats.test_packed import make_weights
from tests.runtime.test_steps import linear, make_graph, node
from vdprune.archs import ARCHS, ArchEntry, build_arch
from vdprune.augmentation import Augmentation
from vdprune.chain import VariationalDropoutChain
from vdprune.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from vdprune.datasets import load_dataset
from vdprune.formats import Weights, load_weights, save_weights
from vdprune.links import InputScaling
from vdprune.pruning import prune
from vdprune.recipes.files import load_recipe
from vdprune.training.warped_copies import load_or_make_copies


@dataclass(frozen=True)
class Kind:
    """A kind of file.

    Args:
        name: What the file is called.
        write: Writes it.
        read: Reads it, and returns what two files of the same contents have in common.
        is_sealed: Whether it has a checksum.
        word: What an error names, if it is not the file.
    """

    name: str
    write_to: Callable[[Path], Any]
    read: Callable[[Path], Any]
    is_sealed: bool = True
    word: str = ""

    def write(self, folder: Path) -> Path:
        path = folder / self.name
        path.parent.mkdir(exist_ok=True)
        self.write_to(path)
        return path


class Tiny(VariationalDropoutChain):
    """One layer."""

    def __init__(self, input_shape: Any, classes: int, theta_std: float | None = None) -> None:
        super().__init__()
        with self.init_scope():
            self.scaling = InputScaling(input_shape)
            self.l1 = L.Linear(numpy.prod(input_shape), classes)

    def forward(self, x: Any) -> Any:
        return self.l1(self.scaling(x))


@contextmanager
def tiny_arch() -> Iterator[None]:
    """Have the arch ``tiny`` in the registry."""
    name = "vdprune.archs.tiny"
    module = ModuleType(name)
    module.Tiny = Tiny  # type: ignore[attr-defined]
    with (
        mock.patch.dict(sys.modules, {name: module}),
        mock.patch.dict(ARCHS, {"tiny": ArchEntry("tiny", "Tiny", "one layer")}),
    ):
        yield


def freeze(value: Any) -> Any:
    """Make something comparable of what was read, bit for bit."""
    if isinstance(value, VariationalDropoutChain):
        return freeze({name: param.array for name, param in value.namedparams()})
    if isinstance(value, numpy.ndarray):
        return value.dtype.str, value.shape, value.tobytes()
    if isinstance(value, dict):
        return {name: freeze(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [freeze(item) for item in value]
    if is_dataclass(value):
        return [freeze(getattr(value, field.name)) for field in fields(value)]
    return value


def make_tiny_weights() -> Weights:
    return make_weights(
        make_graph(
            [1, 2, 2],
            node("reshape", 0, shape=[4]),
            linear([5, 4], 1, name="l1"),
            node("relu", 2),
            linear([3, 5], 3, name="l2"),
        ),
        density=0.6,
    )


def weights_kind(format: str, ending: str) -> Kind:
    return Kind(
        f"weights{ending}",
        lambda path: save_weights(path, make_tiny_weights(), format),
        lambda path: freeze(load_weights(path)),
    )


def write_checkpoint(path: Path, pruned: bool) -> None:
    kwargs = {"input_shape": [1, 2, 2], "classes": 3, "theta_std": None}
    with tiny_arch():
        model = build_arch("tiny", **kwargs)
        model.warm_up = 0
        model.to_variational_dropout(loga_threshold=2.5)
        model.scaling.fit(numpy.arange(8).reshape(2, 1, 2, 2), 1 / 256)
        model.l1.log_sigma2.array[...] = numpy.linspace(-9, 5, 12).reshape(3, 4)
        history = [{"epoch": 1.0, "loss": 2.5}, {"epoch": 2.0, "loss": 0.5}]
        recipe = {"name": "paper", "epochs": 2}
        checkpoint = Checkpoint(model, "tiny", kwargs, recipe, "mnist", 2.5, history)
        if pruned:
            save_checkpoint(path, prune(checkpoint, 2.5))
        else:
            save_checkpoint(path, checkpoint, lambda group: group.update({"state": [4, 2]}))


def read_checkpoint(path: Path) -> Any:
    state: list[Any] = []
    with tiny_arch():
        load = None if "pruned" in path.name else lambda g, _: state.append(g["state"][...])
        return freeze([load_checkpoint(path, load), state])


IMAGES = numpy.random.default_rng(0).integers(0, 256, (3, 1, 4, 4)).astype("u1")


def copies(path: Path) -> Any:
    found = load_or_make_copies(path, IMAGES, "abc", Augmentation(shift=1), 2, 7)
    return freeze([found.images, found.logits, found.plain_logits, found.seconds])


ARRAYS = {
    "x_train": IMAGES,
    "y_train": numpy.arange(3),
    "x_test": IMAGES[:2],
    "y_test": numpy.arange(2),
}


def write_user_h5(path: Path, **options: Any) -> None:
    with h5py.File(path, "w") as file:
        for name, array in ARRAYS.items():
            file.create_dataset(name, data=array, **options)


def write_idx(path: Path) -> None:
    for part, name in NAMES.items():
        array = ARRAYS[part.replace("t_", "y_")].astype("u1")
        (path.parent / name).write_bytes(to_idx(array[:, 0] if array.ndim == 4 else array))


def write_cifar(path: Path) -> None:
    record = {"data": numpy.zeros((1, 3072), "u1"), "labels": [0]}
    for name in [*(f"data_batch_{n}" for n in range(1, 6)), "test_batch"]:
        if path.suffix:
            (path.parent / f"{name}.bin").write_bytes(bytes(3073))
        else:
            (path.parent / name).write_bytes(pickle.dumps(record, 2))


def read_dataset(path: Path) -> Any:
    return freeze(load_dataset(str(path)).train)


def read_folder(path: Path) -> Any:
    return freeze(load_dataset(str(path.parent)).train)


def read_cifar(path: Path) -> Any:
    return freeze(load_dataset("cifar10", path.parent).train)


RECIPE = Path(vdprune.__file__).parent / "recipes" / "strong.lenet300.toml"

KINDS = {
    "csr.h5": weights_kind("csr", ".h5"),
    "csr.npz": weights_kind("csr", ".npz"),
    "dense.h5": weights_kind("dense", ".h5"),
    "dense.npz": weights_kind("dense", ".npz"),
    "packed": weights_kind("packed", ".packed"),
    "safetensors": weights_kind("safetensors", ".safetensors"),
    "checkpoint": Kind("c.h5", lambda path: write_checkpoint(path, False), read_checkpoint),
    "pruned": Kind("pruned.h5", lambda path: write_checkpoint(path, True), read_checkpoint),
    "copies": Kind("c.copies.h5", copies, copies),
    "user npz": Kind("d.npz", lambda path: numpy.savez(path, **ARRAYS), read_dataset, False),
    "user compressed npz": Kind(
        "d.npz", lambda path: numpy.savez_compressed(path, **ARRAYS), read_dataset, False
    ),
    "user h5": Kind("d.h5", write_user_h5, read_dataset, False),
    "user compressed h5": Kind(
        "d.h5",
        lambda path: write_user_h5(path, compression="gzip", chunks=True),
        read_dataset,
        False,
    ),
    "idx": Kind(NAMES["x_train"], write_idx, read_folder, False, "/"),
    "cifar": Kind("cifar10/data_batch_2.bin", write_cifar, read_cifar, False, "cifar10"),
    "pickled cifar": Kind("cifar10/data_batch_2", write_cifar, read_cifar, False, "cifar10"),
    "recipe": Kind(
        "r.toml",
        lambda path: shutil.copy(RECIPE, path),
        lambda path: load_recipe(str(path), "lenet300"),
        False,
    ),
}
