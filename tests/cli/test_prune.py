"""`vdprune prune`."""

import json
import re
import shutil
from pathlib import Path
from typing import Any

import h5py
import numpy
import pytest

from tests.conftest import Run


def test_masks_and_threshold_are_in_the_new_file_alone(
    run: Run, tmp_path: Path, trained: Path
) -> None:
    shutil.copy(trained / "checkpoint.h5", tmp_path)
    before = (tmp_path / "checkpoint.h5").read_bytes()
    result = run("prune", "--threshold", 2, "--out", "p.h5", "--json")
    layers = json.loads(result.stdout)["layers"]
    with h5py.File(trained / "pruned.h5", "r") as file:
        for layer in layers:
            assert 0 < layer["nonzero"] < file["masks"][layer["name"]][...].sum()
    assert (tmp_path / "checkpoint.h5").read_bytes() == before
    with h5py.File(tmp_path / "p.h5", "r") as file:
        assert file.attrs["kind"] == "pruned"
        assert file.attrs["threshold"] == 2
        assert set(file["masks"]) == {layer["name"] for layer in layers}
        for layer in layers:
            mask = file["masks"][layer["name"]][...]
            assert mask.dtype == bool
            assert numpy.array_equal(mask, file["model"][layer["name"]]["W"][...] != 0)
            assert mask.sum() == layer["nonzero"]


def test_checkpoint_can_not_be_pruned_over_itself(run: Run, tmp_path: Path, trained: Path) -> None:
    shutil.copy(trained / "checkpoint.h5", tmp_path)
    before = (tmp_path / "checkpoint.h5").read_bytes()
    result = run("prune", "--out", "./checkpoint.h5")
    assert result.returncode in (1, 2)
    assert (tmp_path / "checkpoint.h5").read_bytes() == before


def test_default_threshold_is_the_one_of_training(run: Run, tiny_npz: Path) -> None:
    recipe = ("--epochs", 1, "--batch-size", 100, "--threshold", 0.5)
    trained = json.loads(run("train", "--dataset", tiny_npz, *recipe, "--json").stdout)
    found = json.loads(run("prune", "--json").stdout)
    assert found["threshold"] == trained["threshold"] == 0.5
    assert found["nonzero"] == trained["nonzero"] < found["weights"]


def test_it_is_said_why_nothing_is_cut(run: Run, trained: Path, tiny_npz: Path) -> None:
    result = run("prune", trained / "checkpoint.h5", "--threshold", 9)
    assert "no weight is cut, for none has a log alpha above 9" in result.stderr
    assert run("prune", trained / "checkpoint.h5", "--threshold", 9, "--quiet").stderr == ""
    run("train", "--dataset", tiny_npz, "--recipe", "dense", "--epochs", 1, "--out", "dense.h5")
    result = run("prune", "dense.h5")
    assert result.returncode == 0
    assert "no weight is cut, for the network was trained without noise: " in result.stderr


def test_no_log_alpha_is_told_of_networks_without_noise(run: Run, tiny_npz: Path) -> None:
    options = ("--method", "magnitude", "--epochs", 2, "--batch-size", 100, "--quiet")
    for command in (
        ("train", "--dataset", tiny_npz, *options),
        ("prune", "--quiet"),
        ("eval", "pruned.h5", "--quiet"),
    ):
        result = run(*command)
        assert "compression 100.0x: 49,500 weights, 495 nonzero\n" in result.stdout
        assert "log alpha" not in result.stdout


@pytest.mark.parametrize("target", [0, 0.9])
def test_target_sparsity_is_met_closely(run: Run, trained: Path, target: float) -> None:
    result = run("prune", trained / "checkpoint.h5", "--target-sparsity", target, "--json")
    assert result.returncode == 0, result.stderr
    found = json.loads(result.stdout)
    if target:
        assert target <= found["sparsity"] < target + 0.01
    else:
        assert found["nonzero"] == found["weights"]
    with h5py.File(trained / "checkpoint.h5", "r") as file:
        W = file["model/l1/W"][...].astype("f8")
        log_alpha = file["model/l1/log_sigma2"][...] - numpy.log(W * W + 1e-8)
    kept = (numpy.clip(log_alpha, -8, 8) <= found["threshold"]).sum()
    assert found["layers"][0]["nonzero"] == pytest.approx(kept, abs=2)


def test_weights_that_are_equally_noisy_are_cut_together_and_told_of(
    run: Run, tmp_path: Path, trained: Path
) -> None:
    path = tmp_path / "noisy.h5"
    shutil.copy(trained / "checkpoint.h5", path)
    with h5py.File(path, "r+") as file:
        file["model/l1/log_sigma2"][...] = 19.0  # above the clip
    told = run("prune", path, "--target-sparsity", 0.2)
    assert told.returncode == 0
    left = re.search(r"would leave 39,600 weights, (\S+) are left: the others have", told.stderr)
    assert left is not None
    printed = re.search(r"(\S+) nonzero at log alpha <= (\S+)\n", told.stdout)
    assert printed is not None
    assert printed[1] == left[1]
    again = run("prune", path, "--threshold", printed[2])
    assert f" {left[1]} nonzero at log alpha" in again.stdout
    assert "equally noisy" not in again.stderr + run("prune", path, "--target-sparsity", 0.9).stderr


@pytest.mark.parametrize("options", [("--threshold", 8), ("--target-sparsity", 0.01)], ids=str)
def test_what_was_cut_before_is_told_of(run: Run, trained: Path, options: tuple[Any, ...]) -> None:
    before = json.loads(run("eval", trained / "pruned.h5", "--json").stdout)
    result = run("prune", trained / "pruned.h5", *options, "--out", "again.h5")
    assert result.returncode == 0
    left = f"{before['nonzero']:,} nonzero at log alpha <= {before['threshold']:g}\n"
    assert left in result.stdout
    assert left in run("eval", "again.h5").stdout
    (line,) = [line for line in result.stderr.splitlines() if line.startswith("vdprune: ")]
    assert line.startswith("vdprune: nothing more is cut: ")
    assert "pruned.h5 was pruned at 3 before, and what is cut stays cut" in line
    assert "nothing more" not in run("prune", trained / "pruned.h5", "--threshold", 1).stderr


def test_network_with_nothing_left_goes_down_the_chain(run: Run, trained: Path) -> None:
    prune = run("prune", trained / "checkpoint.h5", "--threshold", -1000, "--json")
    assert "compression infinite: 49,500 weights, 0 nonzero\n" in run("export").stdout
    for result in (prune, *(run("eval", file, "--json") for file in ("pruned.h5", "weights.h5"))):
        found = json.loads(result.stdout)
        assert (found["nonzero"], found["sparsity"], found["compression"]) == (0, 1.0, None)
    assert found["error"] == pytest.approx(100 * 2 / 3)


@pytest.mark.parametrize("command", ["prune", "export"])
def test_training_that_is_not_done_is_told_of(
    run: Run, trained: Path, tmp_path: Path, command: str
) -> None:
    shutil.copy(trained / "checkpoint.h5", tmp_path / "night.h5")
    assert "not done" not in run(command, "night.h5", "--out", "out.h5").stderr
    with h5py.File(tmp_path / "night.h5", "r+") as file:
        file["training"].attrs["epoch"] = 4
    result = run(command, "night.h5", "--out", "out.h5")
    assert result.returncode == 0
    assert result.stderr.startswith(
        "vdprune: night.h5: 4 of 10 epochs are done, its training is not; `vdprune train --resume "
        "--out night.h5` goes on with it\n"
    )
    assert "not done" not in run(command, "night.h5", "--out", "out.h5", "--quiet").stderr


@pytest.mark.parametrize("command", ["prune", "export"])
def test_numbers_that_are_not_finite_are_told_of(
    run: Run, trained: Path, tmp_path: Path, command: str
) -> None:
    shutil.copy(trained / "checkpoint.h5", tmp_path / "ruined.h5")
    with h5py.File(tmp_path / "ruined.h5", "r+") as file:
        file["model/l3/b"][1] = numpy.nan
    told = run(command, "ruined.h5", "--out", "out.h5").stderr
    assert "ruined.h5 is of no use: 1 of the 3 values of b of layer l3 are not finite; " in told


def test_a_history_without_errors_is_damaged(run: Run, trained: Path, tmp_path: Path) -> None:
    shutil.copy(trained / "checkpoint.h5", tmp_path / "old.h5")
    with h5py.File(tmp_path / "old.h5", "r+") as file:
        del file["history/error"]
    result = run("plot", "old.h5")
    assert result.returncode == 1
    assert result.stderr.endswith("old.h5 is damaged: its history has no error; use another copy\n")


def test_a_target_that_leaves_no_weight_is_refused(run: Run, trained: Path, tmp_path: Path) -> None:
    checkpoint = trained / "checkpoint.h5"
    result = run("prune", checkpoint, "--target-sparsity", "0.9999999")
    assert result.returncode == 1
    (line,) = result.stderr.splitlines()
    assert "is 0.9999999: it leaves none of the 49,500 weights; up to 0." in line
    assert not (tmp_path / "pruned.h5").exists()


def test_a_layer_without_weights_is_told_of(run: Run, trained: Path) -> None:
    result = run("prune", trained / "checkpoint.h5", "--threshold", -100)
    assert result.returncode == 0
    assert "49,500 weights, 0 nonzero at log alpha <= -100\n" in result.stdout
    (line,) = [line for line in result.stderr.splitlines() if line.startswith("vdprune: ")]
    assert "every weight is cut, so the network predicts the same for every input: cut less" in line
