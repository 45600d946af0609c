"""`vdprune prune --finetune`."""

import json
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import h5py
import numpy
import pytest

from tests.conftest import Run, make_tiny_arrays


@pytest.fixture(scope="module")
def folder(trained: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("finetuned")
    shutil.copy(trained / "checkpoint.h5", folder)
    return folder


def test_what_is_left_is_trained(run: Run, folder: Path) -> None:
    alone = run("prune", "--target-sparsity", 0.97, "--out", "alone.h5", "--json", cwd=folder)
    before = json.loads(run("eval", "alone.h5", "--json", cwd=folder).stdout)
    result = run("prune", "--target-sparsity", 0.97, "--finetune", 3, "--json", cwd=folder)
    assert result.returncode == 0, result.stderr
    found = json.loads(result.stdout)
    assert found["nonzero"] == json.loads(alone.stdout)["nonzero"]
    assert (found["kind"], found["epochs"]) == ("pruned", 3)
    assert found["loss"] < before["loss"]
    with h5py.File(folder / "alone.h5") as a, h5py.File(folder / "pruned.h5") as b:
        assert "training" not in b
        assert json.loads(b.attrs["recipe"])["name"] == "finetune"
        assert [recipe["name"] for recipe in json.loads(b.attrs["earlier_recipes"])] == ["paper"]
        assert b["history/epoch"][...].tolist() == list(range(1, 14))
        for name in ("l1", "l2", "l3"):
            numpy.testing.assert_array_equal(b["masks"][name], a["masks"][name])
            assert (b[f"model/{name}/W"][...] != a[f"model/{name}/W"][...]).any()
    evaluated = json.loads(run("eval", "pruned.h5", "--json", cwd=folder).stdout)
    assert (evaluated["error"], evaluated["nonzero"]) == (found["error"], found["nonzero"])


def test_options_of_fine_tuning_need_it(run: Run, folder: Path) -> None:
    result = run("prune", "--threads", 1, "--out", "x.h5", cwd=folder)
    assert result.returncode == 2
    assert "--gpu and --threads are for --finetune" in result.stderr


def test_what_was_interrupted_is_finished_by_the_command_that_it_names(
    run: Run, folder: Path, tmp_path: Path
) -> None:
    shutil.copy(folder / "checkpoint.h5", tmp_path)
    numpy.savez(tmp_path / "others.npz", **make_tiny_arrays(1))
    command = ("prune", "--finetune", "2", "--dataset", "others.npz", "--threads", "1", "--quiet")
    assert run(*command).returncode == 0
    whole = (tmp_path / "pruned.h5").read_bytes()
    (tmp_path / "pruned.h5").unlink()
    stopped = subprocess.run(
        [sys.executable, "-c", STOPPING, *command],
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert stopped.returncode == 143, stopped.stderr
    advice = "go on with `vdprune (.* --threads 1)`, which finishes the fine-tuning\n"
    found = re.search(advice, stopped.stderr)
    assert found is not None, stopped.stderr
    again = run("prune", "--finetune", 2)
    assert again.returncode == 1
    assert (
        "pruned.h5 holds a fine-tuning that was interrupted, which `vdprune train" in again.stderr
    )
    resumed = run(*shlex.split(found[1]), "--quiet")
    assert resumed.returncode == 0, resumed.stderr
    with h5py.File(tmp_path / "pruned.h5") as file:
        assert "training" not in file
        assert file.attrs["dataset"] == str(tmp_path / "others.npz")
        weights = {name: file[f"model/{name}/W"][...] for name in ("l1", "l2", "l3")}
    (tmp_path / "whole.h5").write_bytes(whole)
    with h5py.File(tmp_path / "whole.h5") as file:
        for name, W in weights.items():
            numpy.testing.assert_array_equal(W, file[f"model/{name}/W"])


STOPPING = """
import os, runpy, signal, sys
from vdprune.training import trainer
count = trainer.TrainingRun._count_step
def stop_at_step_20(self, iteration):
    count(self, iteration)
    if iteration == 20:
        os.kill(os.getpid(), signal.SIGTERM)
trainer.TrainingRun._count_step = stop_at_step_20
sys.argv = ["vdprune", *sys.argv[1:]]
runpy.run_module("vdprune", run_name="__main__", alter_sys=True)
"""


def test_a_best_network_is_not_written_over(run: Run, tmp_path: Path, tiny_npz: Path) -> None:
    options = ("--dataset", tiny_npz, "--recipe", "quick", "--batch-size", 50, "--validation", 50)
    assert run("train", *options, "--out", "c.h5", "--quiet").returncode == 0
    best = tmp_path / "c.best.h5"
    shutil.move(tmp_path / "c.h5", tmp_path / "moved.h5")
    before = best.read_bytes()
    result = run("prune", "moved.h5", "--finetune", 1, "--out", "c.h5")
    assert result.returncode == 1
    assert "c.best.h5 is the checkpoint of a training run" in result.stderr
    result = run("prune", "c.best.h5", "--finetune", 1, "--out", "c.h5")
    assert result.returncode == 1
    assert "c.best.h5 would be written over itself" in result.stderr
    assert best.read_bytes() == before


def test_the_best_network_of_a_fine_tuning_goes_with_it(
    run: Run, tmp_path: Path, trained: Path
) -> None:
    shutil.copy(trained / "pruned.h5", tmp_path / "other.best.h5")
    shutil.copy(trained / "weights.h5", tmp_path / "weights.best.h5")
    for name in ("other.h5", "weights.h5"):
        assert run("prune", trained / "checkpoint.h5", "--out", name).returncode == 0
    assert not (tmp_path / "other.best.h5").exists()
    assert (tmp_path / "weights.best.h5").exists()


@pytest.mark.parametrize(
    ("options", "code", "message"),
    [
        ("--finetune 0", 2, "'--finetune': 0 is not in the range x>=1"),
        ("--finetune 1 --threshold -20", 1, "every weight is cut at the threshold -20"),
        ("--finetune 1 --threshold 9", 1, "the threshold is 9: to fine-tune .* between -8 and 8"),
    ],
)
def test_what_can_not_be_fine_tuned_is_refused(
    run: Run, folder: Path, options: str, code: int, message: str
) -> None:
    result = run("prune", *options.split(), "--out", "none.h5", cwd=folder)
    assert result.returncode == code
    assert re.search(message, result.stderr)
    assert not (folder / "none.h5").exists()


def test_data_are_for_fine_tuning(run: Run, folder: Path, tiny_npz: Path) -> None:
    result = run("prune", "--finetune", 1, "--dataset", "nothing", "--out", "x.h5", cwd=folder)
    assert result.returncode == 1
    assert "there is no data set 'nothing'" in result.stderr
    assert not (folder / "x.h5").exists()
