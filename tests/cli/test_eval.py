"""`vdprune eval`."""

import json
import math
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import h5py
import numpy
import pytest

import vdprune
from tests.conftest import Run


@pytest.mark.parametrize("name", ["checkpoint.h5", "pruned.h5", "weights.h5"])
def test_error_is_that_of_the_network(
    run: Run, tmp_path: Path, trained: Path, tiny_npz: Path, name: str
) -> None:
    """What eval says is what NumPy makes of the weights; the file is only read."""
    shutil.copy(trained / name, tmp_path)
    found = json.loads(run("eval", name, "--json").stdout)
    assert (found["file"], found["examples"]) == (name, 90)
    assert (tmp_path / name).read_bytes() == (trained / name).read_bytes()
    assert [path.name for path in tmp_path.iterdir()] == [name]
    with h5py.File(trained / "pruned.h5", "r") as file:
        model = {key: file["model"][key] for key in ("scaling", "l1", "l2", "l3")}
        with numpy.load(tiny_npz) as data:
            h = data["x_test"] * model["scaling"]["scale"][...] - model["scaling"]["mean"][...]
            t = data["y_test"]
        h = h.reshape(len(h), -1)
        for layer in ("l1", "l2", "l3"):
            h = h @ model[layer]["W"][...].T + model[layer]["b"][...]
            h = h if layer == "l3" else numpy.maximum(h, 0)
    log_p = h - numpy.log(numpy.exp(h).sum(axis=1, keepdims=True))
    assert found["error"] == pytest.approx(100 * (h.argmax(axis=1) != t).mean())
    assert found["loss"] == pytest.approx(-log_p[numpy.arange(len(t)), t].mean(), rel=1e-3)


@pytest.mark.parametrize("command", ["eval", "inspect"])
def test_weight_files_do_without_chainer(trained: Path, command: str) -> None:
    """Importing it would take longer than all else."""
    code = (
        "import atexit, sys; from vdprune.cli.main import main; "
        "atexit.register(lambda: print('chainer' in sys.modules)); main()"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, command, "weights.h5"],
        cwd=trained,
        capture_output=True,
        text=True,
    )
    assert done.stdout.endswith("\nFalse\n"), done.stderr


def test_dataset_can_be_given(run: Run, tmp_path: Path, trained: Path, tiny_npz: Path) -> None:
    with numpy.load(tiny_npz) as arrays:
        swapped = dict(arrays)
    swapped["x_test"], swapped["y_test"] = swapped["x_test"][:30], (swapped["y_test"][:30] + 1) % 3
    numpy.savez(tmp_path / "swapped.npz", **swapped)
    result = run("eval", trained / "checkpoint.h5", "--dataset", "swapped.npz", "--json")
    found = json.loads(result.stdout)
    assert found["dataset"] == str(tmp_path / "swapped.npz")
    assert found["examples"] == 30
    assert found["error"] > 50


def test_split_is_used_and_named(run: Run, trained: Path) -> None:
    result = run("eval", trained / "pruned.h5", "--split", "train")
    assert "the 300 training examples of " in result.stdout
    assert "held out" not in result.stderr


def test_weight_files_do_not_know_what_was_held_out(run: Run, trained: Path) -> None:
    result = run("eval", trained / "weights.h5", "--split", "train")
    assert "the 300 training examples of " in result.stdout
    assert "does not say how many examples training held out: if it did, they are" in result.stderr
    assert run("eval", trained / "weights.h5", "--split", "train", "--quiet").stderr == ""


def test_file_is_found_after_its_data_set_was_given_by_a_relative_path(
    run: Run, tmp_path: Path, tiny_npz: Path
) -> None:
    shutil.copy(tiny_npz, tmp_path / "here.npz")
    run("train", "--dataset", "here.npz", "--epochs", 1, "--batch-size", 100, "--quiet")
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    result = run("eval", "../checkpoint.h5", cwd=elsewhere)
    assert result.returncode == 0, result.stderr


def test_weights_that_are_not_finite_are_no_bug(run: Run, tmp_path: Path, trained: Path) -> None:
    shutil.copy(trained / "checkpoint.h5", tmp_path)
    with h5py.File(tmp_path / "checkpoint.h5", "r+") as file:
        file["model/l1/W"][0, :] = numpy.nan
    result = run("eval", "checkpoint.h5", "--quiet", "--json")
    assert "this is a bug" not in result.stderr
    if result.returncode:
        assert result.returncode == 1
        (line,) = result.stderr.splitlines()
        assert line.startswith("vdprune: error: ")
    else:
        assert result.stderr == ""
        assert json.loads(result.stdout)["loss"] is None
        told = run("eval", "checkpoint.h5")
        assert "loss not finite" in told.stdout
        assert "vdprune: the loss is not finite: the network's outputs" in told.stderr


def test_bytes_for_a_network_that_scales_nothing_are_told_of(
    run: Run, tmp_path: Path, tiny_npz: Path
) -> None:
    with numpy.load(tiny_npz) as data:
        floats = {name: data[name] / 255.0 if name[0] == "x" else data[name] for name in data}
    numpy.savez(tmp_path / "floats.npz", **floats)
    shape = floats["x_train"].shape[1:]

    class Own(vdprune.VariationalDropoutChain):
        def __init__(self) -> None:
            super().__init__()
            with self.init_scope():
                self.l1 = vdprune.VariationalDropoutLinear(math.prod(shape), 3)

        def forward(self, x: Any) -> Any:
            return self.l1(x)

    vdprune.export_chain(Own(), shape, tmp_path / "own.h5")
    assert "give it with --dataset" in run("eval", "own.h5").stderr
    told = run("eval", "own.h5", "--dataset", tiny_npz)
    assert told.returncode == 0
    assert "takes its inputs as they are, and is given the bytes of" in told.stderr
    told = run("report", "own.h5", "--dataset", tiny_npz, "--out", "own.html")
    assert "takes its inputs as they are, and is given the bytes of" in told.stderr
    assert "as they are" not in run("eval", "own.h5", "--dataset", "floats.npz").stderr


def test_data_on_another_scale_are_told_of(
    run: Run, tmp_path: Path, trained: Path, tiny_npz: Path
) -> None:
    with numpy.load(tiny_npz) as data:
        arrays = {**data, "x_test": data["x_test"] / 255.0, "x_train": data["x_train"] / 255.0}
    numpy.savez(tmp_path / "floats.npz", **arrays)
    assert "scale" not in run("eval", trained / "weights.h5").stderr
    result = run("eval", trained / "weights.h5", "--dataset", "floats.npz")
    assert result.returncode == 0
    assert "the network multiplies its inputs by 0.003906" in result.stderr
