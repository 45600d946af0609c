"""`vdprune train`: what it prints and writes, held-out examples, and a loss that goes astray."""

import json
import shutil
import subprocess
from pathlib import Path

import h5py
import numpy
import pytest

from tests.conftest import Run, change_phase, recipe_options, run_vdprune

VALIDATION = 60
EPOCHS = 5


def _history(path: Path) -> dict[str, numpy.ndarray]:
    with h5py.File(path, "r") as file:
        return {
            column: file["history"][column][...]
            for column in ("epoch", "error", "sparsity", "kl_coef", "loss", "eval_loss")
        }


def _error_lines(stderr: str) -> list[str]:
    return [line for line in stderr.splitlines() if line.startswith("vdprune: error: ")]


@pytest.fixture(scope="module")
def held_out(tiny_npz: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A folder where a run with a validation split was made, and what the run wrote on stderr."""
    folder = tmp_path_factory.mktemp("held_out")
    recipe = recipe_options(EPOCHS, 20, kl_weight=(1, 3))
    result = run_vdprune(
        "train", "--dataset", tiny_npz, *recipe, "--validation", VALIDATION, cwd=folder
    )
    assert result.returncode == 0, result.stderr
    assert f"on {VALIDATION} validation examples held out of the training" in result.stdout
    return folder, result.stderr


def test_progress_has_a_line_per_epoch(held_out: tuple[Path, str]) -> None:
    lines = held_out[1].splitlines()
    epochs = [line.split()[0] for line in lines if line.split()[0].endswith(f"/{EPOCHS}")]
    assert epochs == [f"{epoch}/{EPOCHS}" for epoch in range(1, EPOCHS + 1)]


def test_progress_says_that_epochs_are_measured_on_held_out_examples(
    held_out: tuple[Path, str], tiny_npz: Path
) -> None:
    assert (
        f"measured on {VALIDATION} validation examples held out of the training examples of "
        f"{tiny_npz}" in held_out[1]
    )


def test_best_epoch_is_that_of_lowest_error_at_full_kl_weight(held_out: tuple[Path, str]) -> None:
    whole = _history(held_out[0] / "checkpoint.h5")
    best = _history(held_out[0] / "checkpoint.best.h5")
    assert len(whole["epoch"]) == EPOCHS
    full = whole["kl_coef"] == 1
    assert 0 < full.sum() < EPOCHS
    ranked = sorted(
        zip(whole["error"][full], -whole["sparsity"][full], whole["epoch"][full], strict=True)
    )
    assert best["epoch"][-1] == ranked[0][2]


def test_no_best_epoch_before_the_kl_weight_is_1(run: Run, tmp_path: Path, tiny_npz: Path) -> None:
    recipe = recipe_options(2, 100, kl_weight=(1, 4))
    result = run("train", "--dataset", tiny_npz, *recipe, "--validation", VALIDATION, "--quiet")
    assert result.returncode == 0, result.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["checkpoint.h5"]


@pytest.mark.parametrize(
    ("split", "examples"), [("validation", VALIDATION), ("train", 300 - VALIDATION)]
)
def test_eval_uses_the_split(
    run: Run, held_out: tuple[Path, str], split: str, examples: int
) -> None:
    best = held_out[0] / "checkpoint.best.h5"
    found = json.loads(run("eval", best, "--split", split, "--json").stdout)
    assert found["examples"] == examples
    if split == "validation":
        assert found["error"] == pytest.approx(_history(best)["error"][-1])
        assert found["loss"] == pytest.approx(_history(best)["eval_loss"][-1])


def test_eval_names_the_held_out_examples(run: Run, held_out: tuple[Path, str]) -> None:
    result = run("eval", held_out[0] / "checkpoint.h5", "--split", "validation")
    assert f"{VALIDATION} validation examples held out of the training" in result.stdout


def test_eval_on_other_data_needs_no_held_out_examples_of_it(
    run: Run, tmp_path: Path, held_out: tuple[Path, str], tiny_npz: Path
) -> None:
    with numpy.load(tiny_npz) as arrays:
        few = {name: array[:VALIDATION] for name, array in arrays.items()}
    numpy.savez(tmp_path / "few.npz", **few)
    result = run("eval", held_out[0] / "checkpoint.h5", "--dataset", "few.npz")
    assert result.returncode == 0, result.stderr
    assert f"on the {VALIDATION} test examples" in result.stdout


def test_overwrite_replaces_the_run(
    run: Run, tmp_path: Path, trained: Path, tiny_npz: Path
) -> None:
    shutil.copy(trained / "checkpoint.h5", tmp_path)
    result = run(
        *("train", "--dataset", tiny_npz, "--epochs", 2, "--batch-size", 100, "--overwrite"),
        "--quiet",
    )
    assert result.returncode == 0, result.stderr
    assert _history(tmp_path / "checkpoint.h5")["epoch"].tolist() == [1, 2]


@pytest.fixture(scope="module")
def diverged(
    tiny_npz: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, subprocess.CompletedProcess[str]]:
    """The folder of a run whose first step goes much too far, and how it ended."""
    folder = tmp_path_factory.mktemp("diverged")
    options = ("--epochs", 3, "--set", "variational.learning_rate=1e30", "--quiet")
    return folder, run_vdprune("train", "--dataset", tiny_npz, *options, cwd=folder)


def test_diverged_first_epoch_names_iteration_and_layer(
    diverged: tuple[Path, subprocess.CompletedProcess[str]],
) -> None:
    folder, result = diverged
    assert (result.returncode, result.stdout) == (1, "")
    (line,) = _error_lines(result.stderr)
    assert "at iteration 2: " in line
    assert "layer l1" in line
    assert "lower the learning rate" in line
    assert "no epoch was completed" in line
    assert list(folder.iterdir()) == []


def test_diverged_run_prints_nothing_but_its_error(
    diverged: tuple[Path, subprocess.CompletedProcess[str]],
) -> None:
    stderr = diverged[1].stderr
    assert stderr.splitlines() == _error_lines(stderr)


def test_diverged_later_epoch_leaves_the_checkpoint(
    run: Run, tmp_path: Path, trained: Path
) -> None:
    path = tmp_path / "checkpoint.h5"
    shutil.copy(trained / "checkpoint.h5", path)
    change_phase(path, epochs=12, learning_rate=1e30)
    before = path.read_bytes()
    result = run("train", "--resume")
    assert (result.returncode, result.stdout) == (1, "")
    (line,) = _error_lines(result.stderr)
    assert "at iteration 152: " in line
    assert "checkpoint.h5 is that of epoch 10" in line
    assert path.read_bytes() == before


def test_epoch_that_ends_in_nan_does_not_replace_the_checkpoint(
    run: Run, tmp_path: Path, tiny_npz: Path
) -> None:
    """With one step an epoch the loss is still finite in the step that ruins the weights."""
    path = tmp_path / "checkpoint.h5"
    result = run("train", "--dataset", tiny_npz, "--epochs", 1, "--batch-size", 300, "--quiet")
    assert result.returncode == 0, result.stderr
    change_phase(path, epochs=5, learning_rate=1e30)
    result = run("train", "--resume", "--quiet")
    assert result.returncode == 1
    assert len(_error_lines(result.stderr)) == 1
    assert numpy.isfinite(_history(path)["eval_loss"]).all()
    assert _history(path)["epoch"].tolist() == [1]


@pytest.mark.parametrize(
    ("noisy", "advice"),
    [
        (
            ("--set", "initial_log_sigma2=6"),
            "the KL divergence outweighed the data; let the phase's kl_weight grow",
        ),
        (
            ("--threshold", -1000),
            "the threshold is -1000, below all log alpha; train with a higher",
        ),
    ],
)
def test_a_network_without_weights(
    run: Run, tiny_npz: Path, noisy: tuple[object, ...], advice: str
) -> None:
    result = run("train", "--dataset", tiny_npz, "--batch-size", 100, *noisy, "--epochs", 1)
    assert result.returncode == 0, result.stderr
    (line,) = [line for line in result.stderr.splitlines() if line.startswith("   1/1 ")]
    assert line.split()[-3:-1] == ["all", "cut"] and line.count("100.00%") == 3
    assert "every weight is cut" in result.stderr
    assert f": {advice}" in result.stderr


def test_cuts_that_leave_a_layer_without_weights(run: Run, tiny_npz: Path) -> None:
    cut = "{epoch = 0, by = 'magnitude', compression = 24750}"
    short = (
        "--set",
        "dense.epochs=1",
        "--set",
        "gradual.epochs=1",
        "--set",
        f"gradual.cuts=[{cut}]",
    )
    result = run("train", "--method", "magnitude", "--dataset", tiny_npz, *short)
    assert result.returncode == 0, result.stderr
    assert (
        ": the recipe's cuts took the last; let the cuts end at a smaller compre" in result.stderr
    )
    options = ("--set", f"variational.cuts=[{cut}]", "--epochs", 1, "--out", "both.h5")
    result = run("train", "--dataset", tiny_npz, *options)
    assert result.returncode == 0, result.stderr
    assert ": the KL divergence outweighed the data, or the recipe's cuts took the" in result.stderr
