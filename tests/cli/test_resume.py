"""Runs that are interrupted or killed, and go on as if they had not been."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import h5py
import numpy
import pytest

from tests.conftest import Run, recipe_options, run_vdprune

EPOCHS, BATCH = 12, 20
STEPS = 300 // BATCH
RECIPE = (*recipe_options(EPOCHS, BATCH, kl_weight=(2, 20), theta_std=0.1), "--seed", 3)


@pytest.fixture(scope="module")
def uninterrupted(tiny_npz: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The checkpoint of a run that nothing happened to."""
    folder = tmp_path_factory.mktemp("uninterrupted")
    result = run_vdprune("train", "--dataset", tiny_npz, *RECIPE, "--quiet", cwd=folder)
    assert result.returncode == 0, result.stderr
    return folder / "checkpoint.h5"


@contextmanager
def _hang_up(handler: signal.Handlers) -> Iterator[None]:
    """Let programs that are started begin with a handling of SIGHUP, whatever that of the tests is."""
    before = signal.signal(signal.SIGHUP, handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGHUP, before)


@contextmanager
def _training(folder: Path, *args: object) -> Iterator[subprocess.Popen[str]]:
    """A run in the background that has written its first checkpoint and is in a later epoch."""
    process = subprocess.Popen(
        [sys.executable, "-m", "vdprune", "train", *map(str, args)],
        cwd=folder,
        env={**os.environ, "OPENBLAS_NUM_THREADS": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    with process:
        try:
            assert process.stderr is not None
            seen = []
            for line in process.stderr:
                seen.append(line)
                if re.match(rf" +1/{EPOCHS} ", line):
                    break
            else:
                pytest.fail("no epoch line: " + "".join(seen))
            deadline = time.monotonic() + 30
            while not list(folder.glob("*.h5")) and time.monotonic() < deadline:
                time.sleep(0.005)
            yield process
        finally:
            process.kill()


def _arrays(path: Path) -> dict[str, numpy.ndarray]:
    """All that a run ends with: weights, optimizer, random state, history, but for clocks."""
    arrays = {}

    def collect(name: str, item: object) -> None:
        is_array = isinstance(item, h5py.Dataset) and item.dtype != object
        if is_array and not name.endswith("/seconds"):
            arrays[name] = item[...]

    with h5py.File(path, "r") as file:
        file.visititems(collect)
    return arrays


def _check_same_run(path: Path, other: Path) -> None:
    found, expected = _arrays(path), _arrays(other)
    assert found.keys() == expected.keys()
    assert any(name.startswith("model/") for name in found)
    different = [name for name in expected if found[name].tobytes() != expected[name].tobytes()]
    assert different == []


def _steps_done(path: Path) -> int:
    with h5py.File(path, "r") as file:
        return int(file["training"].attrs["iteration"])


@pytest.mark.parametrize(
    ("number", "code", "out", "how_to_go_on"),
    [
        (signal.SIGINT, 130, "checkpoint.h5", "`vdprune train --resume`"),
        (signal.SIGTERM, 143, "night.h5", "`vdprune train --resume --out night.h5`"),
        (signal.SIGHUP, 129, "checkpoint.h5", "`vdprune train --resume`"),
    ],
    ids=["SIGINT", "SIGTERM", "SIGHUP"],
)
def test_interrupted_run_goes_on_to_the_same_end(
    run: Run,
    tmp_path: Path,
    tiny_npz: Path,
    uninterrupted: Path,
    number: signal.Signals,
    code: int,
    out: str,
    how_to_go_on: str,
) -> None:
    options = ("--dataset", tiny_npz, *RECIPE, "--out", out)
    with _hang_up(signal.SIG_DFL), _training(tmp_path, *options) as process:
        process.send_signal(number)
        stdout, stderr = process.communicate(timeout=60)
    assert process.returncode == code
    assert stdout == ""
    assert "Traceback" not in stderr
    assert how_to_go_on in stderr.splitlines()[-1]
    steps = _steps_done(tmp_path / out)
    assert STEPS < steps < EPOCHS * STEPS
    assert steps % STEPS != 0
    assert [path.name for path in tmp_path.iterdir()] == [out]

    result = run("train", "--resume", "--out", out)
    assert result.returncode == 0, result.stderr
    assert f"going on after {steps} steps" in result.stderr
    _check_same_run(tmp_path / out, uninterrupted)


def test_a_run_that_is_to_outlive_its_terminal_goes_on(
    tmp_path: Path, tiny_npz: Path, uninterrupted: Path
) -> None:
    # as nohup does before it starts a program
    with _hang_up(signal.SIG_IGN), _training(tmp_path, "--dataset", tiny_npz, *RECIPE) as process:
        process.send_signal(signal.SIGHUP)
        _, stderr = process.communicate(timeout=60)
    assert process.returncode == 0, stderr
    _check_same_run(tmp_path / "checkpoint.h5", uninterrupted)


def test_killed_run_goes_on_to_the_same_end(
    run: Run, tmp_path: Path, tiny_npz: Path, uninterrupted: Path
) -> None:
    with _training(tmp_path, "--dataset", tiny_npz, *RECIPE) as process:
        process.kill()
        process.communicate(timeout=60)
    assert process.returncode == -signal.SIGKILL
    steps = _steps_done(tmp_path / "checkpoint.h5")
    assert steps % STEPS == 0
    assert STEPS <= steps < EPOCHS * STEPS

    result = run("train", "--resume", "--dataset", tiny_npz, *RECIPE, "--quiet")
    assert result.returncode == 0, result.stderr
    _check_same_run(tmp_path / "checkpoint.h5", uninterrupted)


def test_run_goes_on_with_data_that_have_moved(
    run: Run, tmp_path: Path, tiny_npz: Path, uninterrupted: Path
) -> None:
    shutil.copy(tiny_npz, tmp_path / "before.npz")
    with _training(tmp_path, "--dataset", "before.npz", *RECIPE) as process:
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=60)
    (tmp_path / "before.npz").rename(tmp_path / "after.npz")
    result = run("train", "--resume")
    assert "give it with --dataset if it has moved" in result.stderr
    result = run("train", "--resume", "--dataset", "after.npz", "--quiet")
    assert result.returncode == 0, result.stderr
    _check_same_run(tmp_path / "checkpoint.h5", uninterrupted)
    assert json.loads(run("eval", "checkpoint.h5", "--json").stdout)["dataset"].endswith(
        "after.npz"
    )


def test_finished_run_is_left_as_it_is(run: Run, tmp_path: Path, uninterrupted: Path) -> None:
    path = tmp_path / "checkpoint.h5"
    shutil.copy(uninterrupted, path)
    before = path.read_bytes()
    result = run("train", "--resume")
    assert result.returncode == 0
    assert f"epoch {EPOCHS} is done" in result.stderr
    assert "measured on the 90 test examples" in result.stderr
    assert path.read_bytes() == before
    evaluated = run("eval", "checkpoint.h5", "--quiet")
    assert evaluated.stdout in result.stdout


def test_data_set_named_as_a_folder_here_is_still_the_shipped_one(
    run: Run, tmp_path: Path, trained: Path
) -> None:
    path = tmp_path / "checkpoint.h5"
    shutil.copy(trained / "checkpoint.h5", path)
    with h5py.File(path, "r+") as file:
        file.attrs["dataset"] = "mnist"
    (tmp_path / "mnist").mkdir()
    result = run("train", "--resume", "--dataset", "mnist")
    assert "holds a run with dataset" not in result.stderr
