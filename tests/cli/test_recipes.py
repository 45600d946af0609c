"""`vdprune train` with recipes: shown, from files, with teachers, by magnitude, from other weights."""

import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import h5py
import numpy
import pytest

from tests.conftest import Run, recipe_options

TAUGHT = """
name = "taught"
batch_size = 100
copies = 2

[teacher]
arch = "lenet300"
recipe = "tutor.toml"
weight = 0.5

[[phases]]
name = "sparsify"
epochs = 4
kl_weight = [[1, 0], [2, 4]]
augmentation = { shift = 1.0, probability = 0.5 }

[[phases]]
name = "finetune"
kind = "fine-tune"
epochs = 2
"""
TUTOR = """
name = "tutor"
batch_size = 50

[[phases]]
name = "dense"
kind = "dense"
epochs = 3
"""


def stored(path: Path, attribute: str = "recipe") -> Any:
    with h5py.File(path) as file:
        return json.loads(file.attrs[attribute])


def weights(path: Path) -> dict[str, numpy.ndarray]:
    with h5py.File(path) as file:
        return {name: file[f"model/{name}/W"][...] for name in ("l1", "l2", "l3")}


@pytest.fixture
def taught(tmp_path: Path) -> str:
    (tmp_path / "taught.toml").write_text(TAUGHT)
    (tmp_path / "tutor.toml").write_text(TUTOR)
    return "taught.toml"


def test_a_recipe_that_is_shown_is_the_one_that_is_used(
    run: Run, tmp_path: Path, tiny_npz: Path
) -> None:
    options = (*recipe_options(2, 100, kl_weight=(0, 1)), "--seed", 5)
    shown = run("train", "--show-recipe", *options)
    assert shown.returncode == 0, shown.stderr
    assert not list(tmp_path.iterdir())
    (tmp_path / "mine.toml").write_text(shown.stdout)
    by_file = run("train", "--dataset", tiny_npz, "--recipe", "mine.toml", "--out", "a.h5")
    by_options = run("train", "--dataset", tiny_npz, *options, "--out", "b.h5")
    assert (by_file.returncode, by_options.returncode) == (0, 0), by_file.stderr
    assert stored(tmp_path / "a.h5") == stored(tmp_path / "b.h5")
    mine, theirs = weights(tmp_path / "a.h5"), weights(tmp_path / "b.h5")
    assert all(numpy.array_equal(mine[name], theirs[name]) for name in mine)


@pytest.mark.parametrize(("options", "arch"), [((), "lenet300"), (("--arch", "lenet5"), "lenet5")])
def test_the_strong_recipe_can_be_shown(run: Run, options: tuple[str, ...], arch: str) -> None:
    result = run("train", *options, "--recipe", "strong", "--show-recipe")
    assert result.returncode == 0, result.stderr
    first, *lines = result.stdout.splitlines()
    assert first == f"# for {arch}; --arch shows what it is for another network"
    assert "[teacher]" in lines
    assert lines.count("[[phases]]") >= 2


def test_no_network_is_named_where_a_recipe_is_for_all(
    run: Run, tmp_path: Path, taught: str
) -> None:
    for recipe, name in (("quick", "quick"), (tmp_path / taught, "taught")):
        result = run("train", "--recipe", recipe, "--show-recipe")
        assert result.stdout.startswith(f'name = "{name}"\n'), result.stderr


def test_a_teacher_is_trained_first(run: Run, tmp_path: Path, tiny_npz: Path, taught: str) -> None:
    command = ("train", "--dataset", tiny_npz, "--recipe", taught)
    result = run(*command, "--json")
    assert result.returncode == 0, result.stderr
    assert "training the teacher first, into checkpoint.teacher.h5" in result.stderr
    assert "changed copies of the training images are kept in checkpoint.copies.h5" in result.stderr
    found = json.loads(result.stdout)
    assert found["epochs"] == 6
    assert 0 < found["preparation_seconds"] < found["seconds"]
    assert stored(tmp_path / "checkpoint.teacher.h5")["name"] == "tutor"

    again = run(*command, "--overwrite")
    assert again.returncode == 0, again.stderr
    assert "training the teacher first" not in again.stderr
    assert "for the teacher and the images" in again.stdout

    other = run(*command, "--overwrite", "--seed", 1)
    assert other.returncode == 1
    assert (
        "checkpoint.teacher.h5 is not of a lenet300 by the recipe tutor with seed 1" in other.stderr
    )

    (tmp_path / "checkpoint.teacher.h5").rename(tmp_path / "tutor.h5")
    given = run(*command, "--overwrite", "--teacher", "tutor.h5", "--out", "given.h5", "--quiet")
    assert given.returncode == 0, given.stderr
    assert not (tmp_path / "given.teacher.h5").exists()
    assert stored(tmp_path / "given.h5")["teacher"]["file"] == "tutor.h5"
    mine, theirs = weights(tmp_path / "given.h5"), weights(tmp_path / "checkpoint.h5")
    assert all(numpy.array_equal(mine[name], theirs[name]) for name in mine)


def test_a_teacher_of_another_task_is_refused(run: Run, tmp_path: Path, trained: Path) -> None:
    result = run("train", "--teacher", trained / "checkpoint.h5")
    assert result.returncode == 1
    assert "takes examples of shape (1, 8, 8) in 3 classes, mnist has (1, 28, 28)" in result.stderr
    assert not list(tmp_path.iterdir())


def test_an_interrupted_teacher_goes_on(
    run: Run, tmp_path: Path, tiny_npz: Path, taught: str
) -> None:
    (tmp_path / "tutor.toml").write_text(TUTOR.replace("epochs = 3", "epochs = 400"))
    command = ["train", "--dataset", str(tiny_npz), "--recipe", taught]
    process = subprocess.Popen(
        [sys.executable, "-m", "vdprune", *command],
        cwd=tmp_path,
        stderr=subprocess.PIPE,
        text=True,
    )
    with process:
        deadline = time.monotonic() + 60
        while not (tmp_path / "checkpoint.teacher.h5").exists() and time.monotonic() < deadline:
            time.sleep(0.05)
        process.terminate()
        stderr = process.communicate(timeout=60)[1]
    assert process.returncode == 143
    assert "checkpoint.teacher.h5 is written, go on with the same command" in stderr
    assert not (tmp_path / "checkpoint.h5").exists()
    with h5py.File(tmp_path / "checkpoint.teacher.h5", "r") as file:
        done = file["training"].attrs["iteration"]
    (tmp_path / "tutor.toml").write_text(TUTOR)
    other = run(*command)
    assert other.returncode == 1
    assert done < 400 * 6
    assert "is not of a lenet300 by the recipe tutor" in other.stderr


def test_a_dense_network_then_a_sparse_one_from_it(
    run: Run, tmp_path: Path, tiny_npz: Path
) -> None:
    dense = run(
        *("train", "--dataset", tiny_npz, "--recipe", "dense", "--epochs", 3),
        *("--batch-size", 50, "--out", "dense.h5", "--json"),
    )
    assert dense.returncode == 0, dense.stderr
    assert json.loads(dense.stdout)["compression"] == 1
    options = (*recipe_options(1, 300, kl_weight=(0, 1)), "--set", "initial_log_sigma2=-8")
    sparse = run("train", "--dataset", tiny_npz, "--init", "dense.h5", *options)
    assert sparse.returncode == 0, sparse.stderr
    assert [recipe["name"] for recipe in stored(tmp_path / "checkpoint.h5", "earlier_recipes")] == [
        "dense"
    ]
    # one step of Adam away from where it began
    begun, found = weights(tmp_path / "dense.h5"), weights(tmp_path / "checkpoint.h5")
    for name, W in begun.items():
        numpy.testing.assert_allclose(found[name], W, atol=1.1e-3)
    with h5py.File(tmp_path / "checkpoint.h5") as file:
        numpy.testing.assert_allclose(file["model/l1/log_sigma2"], -8, atol=1.1e-3)


def test_weights_of_another_network_are_refused(run: Run, trained: Path) -> None:
    result = run("train", "--init", trained / "checkpoint.h5")
    assert result.returncode == 1
    assert "are of another network: lenet300 for [1, 8, 8] in 3 classes" in result.stderr


def test_weights_can_be_cut_by_magnitude(run: Run, tmp_path: Path, tiny_npz: Path) -> None:
    result = run(
        *("train", "--dataset", tiny_npz, "--method", "magnitude", "--epochs", 8),
        *("--batch-size", 50, "--set", "gradual.cuts.0.compression=20", "--json"),
    )
    assert result.returncode == 0, result.stderr
    found = json.loads(result.stdout)
    assert found["nonzero"] == found["weights"] // 20
    assert found["error"] < 20
    pruned = json.loads(run("prune", "--json").stdout)
    assert pruned["nonzero"] == found["nonzero"]
    assert run("export", "--quiet").returncode == 0
    exported = json.loads(run("eval", "weights.h5", "--json").stdout)
    assert (exported["error"], exported["nonzero"]) == (found["error"], found["nonzero"])


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (("--recipe", "papre"), 1, "there is no recipe 'papre' for lenet300: choose from"),
        (
            ("--recipe", "none.toml"),
            1,
            "there is no recipe file 'none.toml': --show-recipe prints one",
        ),
        (("--method", "magnitude", "--recipe", "paper"), 2, "--method or --recipe, not both"),
        (("--recipe", "finetune", "--set", "seed=x"), 1, "'x' is not a whole number"),
        (("--show-recipe", "--resume"), 2, "--show-recipe is for a run that begins"),
        (("--show-recipe", "--recipe", "strong", "--set", "teacher.arch=x"), 1, "no arch 'x'"),
        (
            ("--recipe", "strong", "--set", "teacher.recipe=x"),
            1,
            "recipe strong, teacher: there is no",
        ),
        (
            ("--recipe", "strong", "--set", "teacher.recipe=paper.toml"),
            1,
            "no recipe file 'paper.toml'",
        ),
        (
            (
                "--recipe",
                "strong",
                "--set",
                "teacher.recipe=strong",
                "--set",
                "teacher.arch=lenet5",
            ),
            1,
            "recipe strong, teacher: its recipe strong has a teacher itself: give one without",
        ),
        (("--teacher", "."), 1, "'.' is a folder: give a file in it"),
        (("--threshold", 9, "--method", "magnitude"), 1, "it must lie between -8 and 8"),
        (("--set", "copies=2"), 1, "no phase has an augmentation"),
        (("--set", "phases="), 1, "phases needs a value"),
        (("--set", "variational.name="), 1, "name needs a value"),
        (("--set", "epochs=3"), 1, "epochs: no such field, choose from"),
        (("--set", "variational.epochs=0"), 1, "epochs is 0: it must be 1 or more"),
        (("--teacher", "none.h5"), 1, "none.h5"),
        (("--init", "none.h5"), 1, "there is no file 'none.h5'"),
        (("--width", 2), 1, "lenet300 has no width"),
    ],
)
def test_what_makes_no_sense_is_refused(
    run: Run, tmp_path: Path, tiny_npz: Path, arguments: tuple, code: int, message: str
) -> None:
    result = run("train", "--dataset", tiny_npz, *arguments)
    assert (result.returncode, result.stdout) == (code, "")
    (line,) = [line for line in result.stderr.splitlines() if line.startswith("vdprune: error: ")]
    assert message in line
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--set", "variational.noise=0.5"), "holds a run without variational.noise=0.5"),
        (("--method", "magnitude"), "with recipe paper, not magnitude"),
        (("--teacher", "checkpoint.h5"), "with teacher none, not checkpoint.h5"),
        (("--init", "checkpoint.h5"), "--init is for the beginning of a run"),
        (("--width", 2), "with width 1.0, not 2"),
    ],
)
def test_a_run_goes_on_as_it_began(
    run: Run, trained: Path, arguments: tuple[object, ...], message: str
) -> None:
    result = run("train", "--resume", "--out", trained / "checkpoint.h5", *arguments)
    assert (result.returncode, result.stdout) == (1, "")
    assert message in result.stderr


def test_files_that_are_read_are_not_written_over(
    run: Run, tmp_path: Path, trained: Path, tiny_npz: Path
) -> None:
    for name in ("z.h5", "z.best.h5"):
        shutil.copy(trained / "checkpoint.h5", tmp_path / name)
    before = (tmp_path / "z.best.h5").read_bytes()
    for option, name in (("--teacher", "z.best.h5"), ("--init", "z.h5")):
        command = ("train", "--dataset", tiny_npz, option, name, "--out", "z.h5", "--overwrite")
        result = run(*command)
        assert result.returncode == 1
        assert f"{name} would be written over, and is given with {option}" in result.stderr
    assert (tmp_path / "z.best.h5").read_bytes() == before


def test_a_teacher_that_has_changed_is_noticed(
    run: Run, tmp_path: Path, trained: Path, tiny_npz: Path
) -> None:
    shutil.copy(trained / "checkpoint.h5", tmp_path / "tutor.h5")
    options = recipe_options(3, 100, kl_weight=(0, 1))
    result = run("train", "--dataset", tiny_npz, "--teacher", "tutor.h5", *options, "--quiet")
    assert result.returncode == 0, result.stderr
    with h5py.File(tmp_path / "tutor.h5", "r+") as file:
        file["model/l1/W"][0, 0] += 1
    with h5py.File(tmp_path / "checkpoint.h5", "r+") as file:
        recipe = json.loads(file.attrs["recipe"])
        recipe["phases"][0]["epochs"] = 4
        file.attrs["recipe"] = json.dumps(recipe)
    result = run("train", "--resume")
    assert result.returncode == 1
    assert "the teacher is not the one that the run in checkpoint.h5 began with" in result.stderr


def test_a_dense_network_is_not_pruned_by_its_noise(
    run: Run, tmp_path: Path, tiny_npz: Path
) -> None:
    dense = ("--recipe", "dense", "--epochs", 1, "--batch-size", 100, "--quiet")
    assert run("train", "--dataset", tiny_npz, *dense).returncode == 0
    for command in ("prune --target-sparsity 0.5", "prune --threshold 1", "sweep"):
        result = run(*command.split())
        assert result.returncode == 1
        assert "the network was trained without noise" in result.stderr
        assert not (tmp_path / "pruned.h5").exists()
    assert run("prune").returncode == 0


def test_a_run_with_a_teacher_is_resumed(
    run: Run, tmp_path: Path, tiny_npz: Path, taught: str
) -> None:
    command = ("train", "--dataset", tiny_npz, "--recipe", taught, "--quiet")
    assert run(*command, "--out", "whole.h5").returncode == 0
    env = {"VDPRUNE_TRAIN_OUT": "parts.h5"}
    process = subprocess.Popen(
        [sys.executable, "-c", _STOPPING, *map(str, command)],
        cwd=tmp_path,
        env={**os.environ, **env},
        stderr=subprocess.PIPE,
        text=True,
    )
    stderr = process.communicate(timeout=120)[1]
    assert process.returncode == 143, stderr
    (tmp_path / "parts.copies.h5").unlink()  # they are made anew
    result = run("train", "--resume", "--out", "parts.h5", "--quiet")
    assert result.returncode == 0, result.stderr
    mine, theirs = weights(tmp_path / "parts.h5"), weights(tmp_path / "whole.h5")
    for name, W in theirs.items():
        numpy.testing.assert_array_equal(mine[name], W, err_msg=name)


_STOPPING = """
import os, runpy, signal, sys
from vdprune.training import trainer
count = trainer.TrainingRun._count_step
def stop_at_step_14(self, iteration):
    count(self, iteration)
    if iteration == 14 and self.recipe.name == "taught":
        os.kill(os.getpid(), signal.SIGTERM)
trainer.TrainingRun._count_step = stop_at_step_14
sys.argv = ["vdprune", *sys.argv[1:]]
runpy.run_module("vdprune", run_name="__main__", alter_sys=True)
"""
