import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy
import pytest

from experiments.held_out import CHANGES, change
from experiments.results import ROOT
from tests.conftest import run_vdprune
from vdprune import evaluate, load_checkpoint, load_dataset
from vdprune.recipes.files import load_recipe


def measure(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "experiments.held_out", *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True)


def test_a_network_is_measured_on_what_was_held_out(tiny_npz: Path, tmp_path: Path) -> None:
    options = ["--validation", "60", "--epochs", "3", "--batch-size", "20", "--seed", "4"]
    trained = run_vdprune("train", "--dataset", tiny_npz, *options, "--json", cwd=tmp_path)
    assert trained.returncode == 0, trained.stderr
    path = tmp_path / "results" / "held-out.json"
    result = measure(tmp_path / "checkpoint.h5", "--json", path)
    assert result.returncode == 0, result.stderr
    results = json.loads(path.read_text(encoding="utf-8"))
    assert {"commit", "machine"} <= results.keys()
    (found,) = results["networks"]
    assert (found["file"], found["arch"], found["seed"]) == ("checkpoint.h5", "lenet300", 4)
    assert (found["epochs"], found["recipe"]["validation"]) == (3, 60)
    expected = json.loads(trained.stdout)
    assert expected["examples"] == 60
    for name in ("error", "loss", "compression"):
        assert found[name] == pytest.approx(expected[name])

    model = load_checkpoint(tmp_path / "checkpoint.h5").model
    data = load_dataset(str(tiny_npz)).hold_out(60)
    assert data.validation is not None
    copies = [evaluate(model, change(data.validation, seed)) for seed in range(5)]
    assert found["error_changed"] == pytest.approx(sum(copy.error for copy in copies) / 5)
    assert found["loss_changed"] == pytest.approx(sum(copy.loss for copy in copies) / 5)
    learned = evaluate(model, change(data.train, 5))
    assert found["error_learned_changed"] == learned.error
    assert found["loss_learned_changed"] == pytest.approx(learned.loss)


@pytest.mark.parametrize("arch", ["lenet300", "lenet5"])
def test_images_are_changed_as_by_the_recipe_but_all_of_them(arch: str) -> None:
    for phase in load_recipe("strong", arch).phases:
        assert phase.augmentation is not None
        assert replace(phase.augmentation, probability=1) == CHANGES


def test_copies_differ_from_each_other_and_keep_their_labels(tiny_npz: Path) -> None:
    split = load_dataset(str(tiny_npz)).test
    first, again, second = (change(split, seed) for seed in (0, 0, 1))
    numpy.testing.assert_array_equal(first.x, again.x)
    numpy.testing.assert_array_equal(first.t, split.t)
    for other in (split, second):
        assert (first.x != other.x).any(axis=(1, 2, 3)).all()


def test_a_network_that_learned_from_all_images_is_refused(trained: Path, tmp_path: Path) -> None:
    result = measure(trained / "checkpoint.h5", "--json", tmp_path / "none.json")
    assert result.returncode == 1
    (line,) = result.stderr.splitlines()
    assert "no images were held out of its training" in line
    assert not (tmp_path / "none.json").exists()
