import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import h5py
import numpy
import pytest
from chainer.serializers import HDF5Deserializer

from vdprune.archs import build_arch
from vdprune.checkpoint import (
    Checkpoint,
    count_epochs,
    holds_run,
    load_checkpoint,
    remove_checkpoint,
    save_checkpoint,
)
from vdprune.errors import ArgumentError, FileFormatError
from vdprune.hdf5 import CHECKPOINT_VERSION
from vdprune.pruning import prune
from vdprune.version import __version__

INPUT_SHAPES = {"lenet300": [1, 3, 3], "lenet5": [1, 16, 16]}
HISTORY = [
    {"epoch": 1.0, "loss": 2.5, "kl_coef": 0.0, "sparsity_of/l1": 0.0, "compression": 1.0},
    {"epoch": 2.0, "loss": 0.1, "kl_coef": 0.5, "sparsity_of/l1": 1.0, "compression": numpy.inf},
]
archs = pytest.mark.parametrize("arch", INPUT_SHAPES)


def make_checkpoint(arch: str = "lenet300", seed: int = 0) -> Checkpoint:
    """A network of three classes as if it had been trained: about a third of it is noise."""
    random = numpy.random.default_rng(seed)
    shape = INPUT_SHAPES[arch]
    kwargs = {"input_shape": shape, "classes": 3, "theta_std": 0.1}
    model = build_arch(arch, **kwargs)
    model.warm_up = 0
    model.kl_coef = 0.25
    model.iteration = 42
    model.to_variational_dropout(loga_threshold=2.5)
    model.scaling.fit(random.integers(0, 256, (20, *shape)), 1 / 256)
    for _, link in model.named_variational_links():
        link.W.array[...] = random.normal(0, 0.3, link.W.shape)
        link.b.array[...] = random.normal(0, 0.05, link.b.shape)
        link.log_sigma2.array[...] = random.uniform(-8, 4, link.W.shape)
    recipe = {"name": "paper", "epochs": 2, "validation": 0, "kl_start": 5.0}
    return Checkpoint(model, arch, kwargs, recipe, "/data/tiny.npz", 2.5, HISTORY)


def assert_same_network(a: Any, b: Any) -> None:
    params = dict(a.namedparams())
    assert params.keys() == dict(b.namedparams()).keys()
    for name, param in b.namedparams():
        assert param.dtype == params[name].dtype
        numpy.testing.assert_array_equal(param.array, params[name].array, err_msg=name)
    numpy.testing.assert_array_equal(a.scaling.mean, b.scaling.mean)
    for name in ("kl_coef", "iteration"):
        assert getattr(a, name) == getattr(b, name)
    assert a.scaling.scale == b.scaling.scale


@archs
def test_a_checkpoint_comes_back(tmp_path: Path, arch: str) -> None:
    checkpoint = make_checkpoint(arch)
    save_checkpoint(tmp_path / "c.h5", checkpoint)
    loaded = load_checkpoint(tmp_path / "c.h5")
    assert_same_network(loaded.model, checkpoint.model)
    for name in ("arch", "arch_kwargs", "recipe", "dataset", "threshold", "history", "pruned"):
        assert getattr(loaded, name) == getattr(checkpoint, name), name
    assert loaded.kind == "checkpoint"
    assert loaded.input_shape == tuple(INPUT_SHAPES[arch])
    assert loaded.model.warm_up == 0
    for _, link in loaded.model.named_variational_links():
        assert link.loga_threshold == 2.5


@archs
def test_a_pruned_checkpoint_comes_back(tmp_path: Path, arch: str) -> None:
    pruned = prune(make_checkpoint(arch), 3.5)
    save_checkpoint(tmp_path / "p.h5", pruned)
    loaded = load_checkpoint(tmp_path / "p.h5")
    assert_same_network(loaded.model, pruned.model)
    assert loaded.pruned
    assert loaded.kind == "pruned"
    assert loaded.threshold == 3.5
    assert loaded.model.sparsity() == pruned.model.sparsity()


def test_a_trained_checkpoint_has_its_history(trained: Path) -> None:
    loaded = load_checkpoint(trained / "checkpoint.h5")
    assert [row["epoch"] for row in loaded.history] == list(range(1, 11))
    assert all(row.keys() == loaded.history[0].keys() for row in loaded.history)
    assert all(isinstance(value, float) for row in loaded.history for value in row.values())
    assert loaded.history[-1]["class"] < loaded.history[0]["class"]
    assert 0 < loaded.model.sparsity().sparsity < 1


def test_a_model_is_no_checkpoint(tmp_path: Path) -> None:
    model: Any = make_checkpoint().model
    with pytest.raises(ArgumentError, match=r"not a LeNet300: chainer\.serializers save a model"):
        save_checkpoint(tmp_path / "own.h5", model)
    assert not list(tmp_path.iterdir())


def test_no_history_yet(tmp_path: Path) -> None:
    checkpoint = make_checkpoint()
    save_checkpoint(tmp_path / "c.h5", replace(checkpoint, history=[]))
    assert load_checkpoint(tmp_path / "c.h5").history == []


def test_root_attributes_as_h5py_reads_them(tmp_path: Path) -> None:
    checkpoint = replace(make_checkpoint(), earlier_recipes=[{"name": "dense"}], preparation=12.5)
    save_checkpoint(tmp_path / "c.h5", checkpoint)
    loaded = load_checkpoint(tmp_path / "c.h5")
    assert (loaded.earlier_recipes, loaded.preparation) == ([{"name": "dense"}], 12.5)
    with h5py.File(tmp_path / "c.h5") as file:
        attributes = dict(file.attrs)
        assert attributes.pop("input_shape").tolist() == [1, 3, 3]
        assert json.loads(attributes.pop("arch_kwargs")) == checkpoint.arch_kwargs
        assert json.loads(attributes.pop("recipe")) == checkpoint.recipe
        assert json.loads(attributes.pop("earlier_recipes")) == [{"name": "dense"}]
        assert attributes == {
            "preparation": 12.5,
            "format": "vdprune-checkpoint",
            "format_version": CHECKPOINT_VERSION,
            "vdprune_version": __version__,
            "kind": "checkpoint",
            "arch": "lenet300",
            "dataset": "/data/tiny.npz",
            "threshold": 2.5,
        }
        assert set(file) == {"model", "history"}


def test_history_is_one_array_a_column(tmp_path: Path) -> None:
    save_checkpoint(tmp_path / "c.h5", make_checkpoint())
    with h5py.File(tmp_path / "c.h5") as file:
        for column in HISTORY[0]:
            assert file[f"history/{column}"].dtype == numpy.float64
            assert file[f"history/{column}"][...].tolist() == [row[column] for row in HISTORY]


@archs
def test_masks_of_a_pruned_checkpoint(tmp_path: Path, arch: str) -> None:
    pruned = prune(make_checkpoint(arch), 3.0)
    save_checkpoint(tmp_path / "p.h5", pruned)
    with h5py.File(tmp_path / "p.h5") as file:
        assert file.attrs["kind"] == "pruned"
        assert file.attrs["threshold"] == 3.0
        links = pruned.model.named_variational_links()
        assert set(file["masks"]) == {name for name, _ in links}
        for name, link in links:
            mask = file[f"masks/{name}"]
            assert mask.dtype == bool
            numpy.testing.assert_array_equal(mask[...], link.W.array != 0)
            assert not mask[...].all() and mask[...].any()


@archs
def test_the_model_group_is_what_chainer_reads(tmp_path: Path, arch: str) -> None:
    checkpoint = make_checkpoint(arch)
    save_checkpoint(tmp_path / "c.h5", checkpoint)
    fresh = build_arch(arch, **checkpoint.arch_kwargs)
    fresh.to_variational_dropout()
    with h5py.File(tmp_path / "c.h5") as file:
        HDF5Deserializer(file["model"]).load(fresh)
    assert_same_network(fresh, checkpoint.model)


def test_the_state_of_a_run_goes_along(tmp_path: Path) -> None:
    checkpoint = make_checkpoint()
    save_checkpoint(tmp_path / "c.h5", checkpoint, lambda group: group.update({"state": [4, 2]}))
    seen = []

    def load_training(group: h5py.Group, loaded: Checkpoint) -> None:
        assert_same_network(loaded.model, checkpoint.model)
        seen.append((group.name, group["state"][...].tolist()))

    load_checkpoint(tmp_path / "c.h5", load_training)
    assert seen == [("/training", [4, 2])]


def test_a_checkpoint_without_a_run_can_not_be_resumed(tmp_path: Path) -> None:
    save_checkpoint(tmp_path / "p.h5", prune(make_checkpoint(), 3.0))
    with pytest.raises(FileFormatError, match="pruned file without the state of a training run"):
        load_checkpoint(tmp_path / "p.h5", lambda group, checkpoint: None)


def test_an_error_while_saving_leaves_the_old_file(tmp_path: Path) -> None:
    def fail(group: h5py.Group) -> None:
        raise ZeroDivisionError

    path = tmp_path / "c.h5"
    path.write_bytes(b"old")
    with pytest.raises(ZeroDivisionError):
        save_checkpoint(path, make_checkpoint(), fail)
    assert path.read_bytes() == b"old"
    assert [child.name for child in tmp_path.iterdir()] == ["c.h5"]


def test_a_damaged_file_may_hold_a_run(tmp_path: Path) -> None:
    path = tmp_path / "c.h5"
    assert not holds_run(path)
    save_checkpoint(path, make_checkpoint())
    assert holds_run(path)
    path.write_bytes(path.read_bytes().replace(b"lenet300", b"lenet301"))
    for use in (holds_run, count_epochs):
        with pytest.raises(FileFormatError, match="c.h5 is damaged: its checksum"):
            use(path)


def test_files_of_others_are_no_runs_and_stay(tmp_path: Path) -> None:
    path = tmp_path / "theirs.best.h5"
    with h5py.File(path, "w") as file:
        file.attrs["format"] = [1, 2]
    assert not holds_run(path)
    remove_checkpoint(path)
    assert path.exists()
