import json
import re
import shutil
from pathlib import Path

import h5py
import pytest

from tests.conftest import Run, recipe_options, run_vdprune


def test_table_and_picture(run: Run, trained: Path, tmp_path: Path) -> None:
    result = run("sweep", trained / "checkpoint.h5", "--points", 8, "--picture", "sweep.svg")
    assert result.returncode == 0, result.stderr
    lines = result.stdout.splitlines()
    assert re.fullmatch(r".*checkpoint.h5: lenet300, 49,500 weights", lines[0])
    assert len(lines) == 2 + 8
    assert [line for line in lines if line.endswith("the file's own")] == [
        line for line in lines if line.startswith("    3.000 ")
    ]
    assert "measuring on the 90 test examples" in result.stderr
    assert "sweep.svg is written" in result.stderr
    assert (tmp_path / "sweep.svg").stat().st_size > 1000


def test_json_is_what_eval_says(run: Run, trained: Path) -> None:
    checkpoint = trained / "checkpoint.h5"
    result = run("sweep", checkpoint, "--points", 6, "--json", "--quiet")
    assert (result.returncode, result.stderr) == (0, "")
    found = json.loads(result.stdout)
    assert (found["split"], found["chosen"]) == ("test", None)
    assert len(found["points"]) == 6
    own = next(point for point in found["points"] if point["threshold"] == found["threshold"])
    evaluated = json.loads(run("eval", checkpoint, "--json").stdout)
    for name in ("error", "loss", "nonzero", "sparsity", "compression"):
        assert own[name] == evaluated[name]


@pytest.fixture(scope="module")
def held_out(tiny_npz: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("held_out")
    recipe = recipe_options(6, 20, kl_weight=(3, 20), theta_std=0.1)
    result = run_vdprune(
        *("train", "--dataset", tiny_npz, *recipe, "--validation", 60, "--quiet"), cwd=folder
    )
    assert result.returncode == 0, result.stderr
    return folder / "checkpoint.h5"


def test_choice_on_validation_examples(run: Run, held_out: Path) -> None:
    arguments = ("sweep", held_out, "--points", 8, "--max-error-increase", 2)
    found = json.loads(run(*arguments, "--json").stdout)
    assert (found["split"], found["examples"]) == ("validation", 60)
    chosen, points = found["chosen"], found["points"]
    own = next(point for point in points if point["threshold"] == found["threshold"])
    assert chosen in points
    assert chosen["error"] <= own["error"] + 2
    assert all(p["error"] > own["error"] + 2 for p in points if p["nonzero"] < chosen["nonzero"])
    text = run(*arguments).stdout
    command = re.search(r"vdprune prune .* (--threshold=\S+)", text)
    assert command is not None
    pruned = run("prune", held_out, command[1], "--json", "--quiet")
    assert json.loads(pruned.stdout)["nonzero"] == chosen["nonzero"]
    assert re.search(rf"^ *{chosen['threshold']:.3f} .*  chosen$", text, re.M) or (
        chosen["threshold"] == own["threshold"]
    )


def test_no_choice_on_test_examples(run: Run, trained: Path) -> None:
    result = run("sweep", trained / "checkpoint.h5", "--max-error-increase", 0.1)
    assert (result.returncode, result.stdout) == (1, "")
    assert "train with --validation" in result.stderr
    assert result.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--points", 2), "2 is not in the range x>=3"),
        (("--max-error-increase", -1), "-1.0 is not in the range x>=0"),
        (("--picture", "sweep.jpg"), "a picture ends in .png, .svg, .pdf"),
        (("--picture", "nowhere/sweep.png"), "nowhere"),
    ],
)
def test_wrong_options(
    run: Run, trained: Path, arguments: tuple[object, ...], message: str
) -> None:
    result = run("sweep", trained / "checkpoint.h5", *arguments)
    assert result.returncode in (1, 2)
    assert message in result.stderr
    assert result.stderr.count("\n") == 1


def test_weight_files_no_longer_know(run: Run, trained: Path) -> None:
    result = run("sweep", trained / "weights.h5")
    assert result.returncode == 1
    assert "no longer knows its weights' noise" in result.stderr


def test_a_choice_that_is_no_better_than_guessing_is_told(run: Run, held_out: Path) -> None:
    arguments = ("sweep", held_out, "--points", 8, "--max-error-increase")
    assert "wrong, no less than" not in run(*arguments, 2).stderr
    result = run(*arguments, 100)
    assert result.returncode == 0
    assert re.search(
        r"the network of the chosen threshold gets \d+\.\d\d % wrong, no less than one that says the "
        r"same of all images, \d+\.\d\d %: accept less with --max-error-increase",
        result.stderr,
    )


def test_no_threshold_is_chosen_for_a_network_that_guesses(
    run: Run, tmp_path: Path, held_out: Path
) -> None:
    path = tmp_path / "knows-nothing.h5"
    shutil.copy(held_out, path)
    with h5py.File(path, "r+") as file:
        file["model/l3/W"][...] = 0
        file["model/l3/b"][...] = 0
    result = run("sweep", path, "--points", 3, "--max-error-increase", 100)
    assert result.returncode == 0
    assert "vdprune prune" not in result.stdout
    assert re.search(
        r"no threshold is chosen: at its own the network gets (\S+) % wrong, no less than one that says "
        r"the same of all images, \S+ %: train it",
        result.stderr,
    )


def test_a_network_without_noise_is_refused_before_anything_is_said(
    run: Run, tiny_npz: Path, tmp_path: Path
) -> None:
    arguments = ("train", "--dataset", tiny_npz, "--recipe", "dense", "--epochs", 1, "--quiet")
    assert run(*arguments).returncode == 0
    result = run("sweep", "checkpoint.h5")
    assert result.returncode == 1
    assert len(result.stderr.splitlines()) == 1


@pytest.mark.parametrize("value", ["nan", "inf", "-1"])
def test_an_increase_that_is_no_number_is_refused(run: Run, value: str) -> None:
    for command in ("sweep", "export"):
        result = run(command, "nothing.h5", f"--max-error-increase={value}")
        assert result.returncode == 2
        assert "Invalid value for '--max-error-increase'" in result.stderr
