"""The whole command line with --gpu, as a user would type it."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import h5py
import numpy
import pytest

from tests.conftest import STAND_IN, Run, change_phase, recipe_options, wants_real_gpu

pytestmark = pytest.mark.gpu

RECIPE = (*recipe_options(3, 50, kl_weight=(1, 2), theta_std=0.1), "--seed", 3)


@pytest.fixture
def environment(request: pytest.FixtureRequest) -> dict[str, str]:
    """What puts the stand-in in CuPy's place where there is to be no GPU."""
    return {} if wants_real_gpu(request.config) else {"PYTHONPATH": str(STAND_IN)}


@pytest.fixture
def run_on_gpu(run: Run, environment: dict[str, str]) -> Any:
    def run_on_gpu(*args: object, env: dict[str, str] | None = None, **kwargs: Any) -> Any:
        return run(*args, env={**environment, **(env or {})}, **kwargs)

    return run_on_gpu


@pytest.fixture
def ill_gpu(run_on_gpu: Any, environment: dict[str, str]) -> Any:
    """`run_on_gpu` for what only the stand-in can be told to do."""
    if not environment:
        pytest.skip("a real GPU does not fail when it is asked to")
    return run_on_gpu


def weights_of(path: Path) -> dict[str, numpy.ndarray]:
    found = {}
    with h5py.File(path) as file:
        file["model"].visititems(
            lambda name, item: found.update({name: item[()]} if hasattr(item, "dtype") else {})
        )
    return found


def assert_done(*results: subprocess.CompletedProcess[str]) -> None:
    for result in results:
        assert result.returncode == 0, result.stderr


def test_train_prune_eval_export(run_on_gpu: Any, run: Run, tiny_npz: Path, tmp_path: Path) -> None:
    trained = run_on_gpu("train", "--dataset", tiny_npz, *RECIPE, "--gpu", 0)
    pruned = run_on_gpu("prune", "--threshold", 3.0)
    exported = run_on_gpu("export", "--format", "csr")
    assert_done(trained, pruned, exported)
    assert "3/3" in trained.stderr
    assert "; training on GPU 0" in trained.stderr
    assert "Warning" not in trained.stderr
    found = []
    for file in ("checkpoint.h5", "pruned.h5", "weights.h5"):
        for gpu in ((), ("--gpu", 0)):
            runner = run_on_gpu if gpu else run
            result = runner("eval", file, "--dataset", tiny_npz, "--json", *gpu)
            if file == "weights.h5" and gpu:
                continue
            assert_done(result)
            found.append(json.loads(result.stdout))
    assert len({row["error"] for row in found}) == 1
    assert len({row["nonzero"] for row in found}) == 1


def test_the_checkpoint_is_the_cpus(
    run_on_gpu: Any, run: Run, tiny_npz: Path, tmp_path: Path
) -> None:
    assert_done(
        run_on_gpu("train", "--dataset", tiny_npz, *RECIPE, "--gpu", 0, "--out", "gpu.h5"),
        run("train", "--dataset", tiny_npz, *RECIPE, "--out", "cpu.h5"),
    )
    mine, theirs = weights_of(tmp_path / "gpu.h5"), weights_of(tmp_path / "cpu.h5")
    assert mine.keys() == theirs.keys()
    for name, array in theirs.items():
        numpy.testing.assert_allclose(mine[name], array, rtol=1e-3, atol=1e-3, err_msg=name)


def test_an_interrupted_run_goes_on(
    run_on_gpu: Any, environment: dict[str, str], tiny_npz: Path, tmp_path: Path
) -> None:
    assert_done(
        run_on_gpu("train", "--dataset", tiny_npz, *RECIPE, "--gpu", 0, "--out", "whole.h5")
    )
    command = [sys.executable, "-m", "vdprune", "train", "--dataset", str(tiny_npz)]
    command += [*map(str, RECIPE), "--gpu", "0"]
    with subprocess.Popen(
        command, cwd=tmp_path, env={**os.environ, **environment}, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stderr is not None
        for line in process.stderr:
            if line.lstrip().startswith("1/3"):
                process.send_signal(signal.SIGINT)
                break
        rest = process.stderr.read()
    assert process.returncode == 130, rest
    assert "go on with `vdprune train --resume --gpu 0`" in rest
    assert_done(run_on_gpu("train", "--resume", "--gpu", 0))
    mine, theirs = weights_of(tmp_path / "checkpoint.h5"), weights_of(tmp_path / "whole.h5")
    for name, array in theirs.items():
        numpy.testing.assert_array_equal(mine[name], array, err_msg=name)


def test_a_run_that_goes_on_elsewhere_is_told_of(
    run_on_gpu: Any, run: Run, tiny_npz: Path, tmp_path: Path
) -> None:
    recipe = recipe_options(2, 100, kl_weight=(0, 1))
    assert_done(run_on_gpu("train", "--dataset", tiny_npz, *recipe, "--gpu", 0))
    change_phase(tmp_path / "checkpoint.h5", epochs=3)
    result = run("train", "--resume")
    assert_done(result)
    assert "the run was on GPU 0 so far: on the CPU it ends close to where" in result.stderr


@pytest.mark.parametrize("value", ["abc", "-1", "1.5"])
def test_what_is_no_number_of_a_gpu(run: Run, value: str) -> None:
    result = run("train", "--gpu", value)
    assert result.returncode == 2
    assert f"'{value}' is neither the number of a GPU, counted from 0, nor cpu" in result.stderr


def test_back_to_the_cpu(run: Run, trained: Path, tmp_path: Path) -> None:
    (tmp_path / "gpu.toml").write_text("gpu = 5\n")
    result = run("eval", trained / "checkpoint.h5", "--config", "gpu.toml", "--gpu", "cpu")
    assert_done(result)


def assert_one_line(result: subprocess.CompletedProcess[str], *parts: str) -> None:
    assert result.returncode == 1
    lines = [line for line in result.stderr.splitlines() if line.startswith("vdprune: ")]
    assert len(lines) == 1
    assert lines[0] == result.stderr.splitlines()[-1]
    assert "Traceback" not in result.stderr
    for part in parts:
        assert part in lines[0]


def test_a_wrong_number(ill_gpu: Any, tiny_npz: Path) -> None:
    result = ill_gpu("train", "--dataset", tiny_npz, "--gpu", 2)
    assert_one_line(result, "there is no GPU 2: this machine has 2, counted from 0")


def test_no_memory_for_the_network(ill_gpu: Any, tiny_npz: Path, tmp_path: Path) -> None:
    result = ill_gpu("train", "--dataset", tiny_npz, "--gpu", 0, env={"STAND_IN_MEMORY": "100000"})
    assert_one_line(result, "the GPU is out of memory", "which nvidia-smi shows")
    assert not list(tmp_path.glob("*.h5"))


def test_no_memory_for_evaluation(ill_gpu: Any, trained: Path) -> None:
    result = ill_gpu(
        "eval", "checkpoint.h5", "--gpu", 0, cwd=trained, env={"STAND_IN_MEMORY": "250000"}
    )
    assert_one_line(result, "the GPU is out of memory")


def test_a_gpu_that_vanishes_leaves_the_last_checkpoint(
    ill_gpu: Any, tiny_npz: Path, tmp_path: Path
) -> None:
    recipe = recipe_options(30, 50, kl_weight=(0, 1))
    command = ("train", "--dataset", tiny_npz, *recipe, "--gpu", 0)
    result = ill_gpu(*command, env={"STAND_IN_VANISH_AFTER": "1500"})
    assert_one_line(
        result,
        "the GPU failed (cudaErrorLaunchFailure",
        "checkpoint.h5 is that of epoch",
        "go on with `vdprune train --resume --gpu 0`",
    )
    epoch = int(result.stderr.split("is that of epoch ")[1].split(")")[0])
    with h5py.File(tmp_path / "checkpoint.h5") as file:
        assert len(file["history/loss"]) == epoch > 0
    assert_done(ill_gpu("eval", "checkpoint.h5", "--dataset", tiny_npz))
