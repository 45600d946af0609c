"""`vdprune inspect`."""

import json
import shutil
from pathlib import Path

import h5py
import pytest

from tests.conftest import Run, change_phase
from vdprune.formats import load_weights
from vdprune.hdf5 import new_h5
from vdprune.storage import COPIES


@pytest.mark.parametrize("file", ["checkpoint.h5", "pruned.h5"])
def test_checkpoints(run: Run, trained: Path, file: str) -> None:
    result = run("inspect", trained / file)
    assert (result.returncode, result.stderr) == (0, "")
    assert f"{(trained / file).stat().st_size:,} bytes; " in result.stdout
    assert "recipe paper, seed 0, 10 epochs, error " in result.stdout
    found = json.loads(run("inspect", trained / file, "--json").stdout)
    assert (found["kind"], found["recipe"]) == (file.removesuffix(".h5"), "paper")
    assert 0 < found["nonzero"] < found["weights"]


def unfinished(trained: Path, path: Path) -> None:
    """Make a checkpoint of 10 epochs what its run would have left after them if there were 30."""
    shutil.copy(trained / "checkpoint.h5", path)
    change_phase(path, epochs=30)


def test_a_run_that_was_interrupted(run: Run, tmp_path: Path, trained: Path) -> None:
    unfinished(trained, tmp_path / "c.h5")
    words = run("inspect", "c.h5").stdout
    assert "seed 0, 10 of 30 epochs, error " in words
    assert words.endswith("; `vdprune train --resume --out c.h5` goes on with it\n")
    found = json.loads(run("inspect", "c.h5", "--json").stdout)
    names = ("epochs", "epochs_of_recipe", "epochs_of_recipe_done")
    assert [found[name] for name in names] == [10, 30, 10]


def test_the_best_epoch_is_no_run(run: Run, tmp_path: Path, trained: Path) -> None:
    unfinished(trained, tmp_path / "c.best.h5")
    with h5py.File(tmp_path / "c.best.h5", "r+") as file:
        del file["training"]
    words = run("inspect", "c.best.h5").stdout
    assert "seed 0, 10 of 30 epochs, error " in words
    assert "--resume" not in words


@pytest.mark.parametrize("has_run", [True, False])
def test_fine_tuning(run: Run, tmp_path: Path, trained: Path, has_run: bool) -> None:
    unfinished(trained, tmp_path / "pruned.h5")
    with h5py.File(tmp_path / "pruned.h5", "r+") as file:
        file.attrs["kind"] = "pruned"
        file["history/iteration"][8:] = file["history/iteration"][:2]
        file["training"].attrs["epoch"] = 2
        if not has_run:
            del file["training"]
    words = run("inspect", "pruned.h5").stdout
    assert "seed 0, 2 of 30 epochs after 8 of earlier recipes, error " in words
    assert ("; `vdprune train --resume --out pruned.h5` goes on with it" in words) == has_run
    found = json.loads(run("inspect", "pruned.h5", "--json").stdout)
    names = ("epochs", "epochs_of_recipe", "epochs_of_recipe_done")
    assert [found[name] for name in names] == [10, 30, 2]


def test_weight_files(run: Run, trained: Path) -> None:
    result = run("inspect", trained / "weights.h5")
    assert (result.returncode, result.stderr) == (0, "")
    lines = result.stdout.splitlines()
    assert "encoding csr; weights float32; input 1x8x8" in lines
    assert [line.split() for line in lines[-3:]] == [
        ["5", "linear", "of", "4", "->", "100", "l2/W,", "l2/b"],
        ["6", "relu", "of", "5", "->", "100"],
        ["7", "linear", "of", "6", "->", "3", "l3/W,", "l3/b"],
    ]
    found = json.loads(run("inspect", trained / "weights.h5", "--json").stdout)
    assert found["bytes"] == (trained / "weights.h5").stat().st_size
    assert found["operations"][1] == {"operation": "reshape", "inputs": [1], "shape": [64]}
    assert found["arrays"]["l1/W"] == {"shape": [300, 64], "dtype": "float32"}
    assert "distinct" not in found


def test_packed_files_say_how_many_numbers_they_tell_apart(
    run: Run, tmp_path: Path, trained: Path
) -> None:
    pytest.importorskip("constriction", reason="packed files need it")
    options = ("--format", "packed", "--bits", 2, "--out", tmp_path / "a.packed")
    assert run("export", trained / "pruned.h5", *options).returncode == 0
    *_, last = run("inspect", "a.packed").stdout.splitlines()
    assert last.startswith("different numbers, but for zero: l1/W 4, l2/W 4, l3/W 4, ")
    distinct = json.loads(run("inspect", "a.packed", "--json").stdout)["distinct"]
    b = load_weights(tmp_path / "a.packed").others["l1/b"]
    assert (distinct["l1/W"], distinct["l1/b"]) == (4, len(set(b.tolist()) - {0.0}))


def test_other_files_are_refused(run: Run, tiny_npz: Path) -> None:
    result = run("inspect", tiny_npz)
    assert (result.returncode, result.stdout) == (1, "")
    assert "is not a vdprune-weights file" in result.stderr


def test_changed_copies_are_told_of(run: Run, tmp_path: Path) -> None:
    with new_h5(tmp_path / "c.copies.h5", COPIES, 1):
        pass
    result = run("inspect", "c.copies.h5")
    assert result.returncode == 1
    assert "it is a vdprune-copies file, changed images that a training run keeps" in result.stderr
