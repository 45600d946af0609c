import json
import subprocess
import sys
from pathlib import Path

import pytest

from experiments.results import ROOT, read_results


def run_seeds(folder: Path, data: Path, *seeds: int) -> list[dict]:
    path = folder / "results.json"
    command = [sys.executable, "-m", "experiments.results", "lenet300", "quick", "--seeds"]
    options = ["--dataset", str(data), "--epochs", "1", "--batch-size", "100", "--quiet"]
    subprocess.run(
        [*command, *map(str, seeds), "--folder", str(folder), "--json", str(path), "--", *options],
        check=True,
        cwd=ROOT,
    )
    return json.loads(path.read_text())["runs"]


def test_each_seed_is_trained_once(tmp_path: Path, tiny_npz: Path) -> None:
    (first,) = run_seeds(tmp_path, tiny_npz, 1)
    assert first["seed"] == 1
    assert first["command"].startswith(
        "vdprune train --arch lenet300 --recipe quick --seed 1 --data"
    )
    assert (first["weights"], first["epochs"]) == (64 * 300 + 300 * 100 + 300, 1)
    assert (tmp_path / "lenet300-quick-1.h5").exists()
    runs = run_seeds(tmp_path, tiny_npz, 0, 1)
    assert [run["seed"] for run in runs] == [0, 1]
    assert runs[1] == first


def test_an_interrupted_training_goes_on(tmp_path: Path, tiny_npz: Path) -> None:
    (whole,) = run_seeds(tmp_path, tiny_npz, 1)
    assert not whole["resumed"]
    (tmp_path / "results.json").unlink()
    (again,) = run_seeds(tmp_path, tiny_npz, 1)
    assert again["resumed"]
    assert {**again, "resumed": False, "machine": 0} == {**whole, "machine": 0}


def test_a_training_that_fails_says_why_itself(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "experiments.results", "lenet300", "nonsense", "--seeds", "0"]
    options = ["--folder", str(tmp_path), "--json", str(tmp_path / "results.json")]
    result = subprocess.run([*command, *options], cwd=ROOT, capture_output=True, text=True)
    assert (result.returncode, result.stdout) == (1, "")
    (line,) = result.stderr.splitlines()
    assert line.startswith("vdprune: error: there is no recipe 'nonsense' for lenet300")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("text", ["{", "[]", "{}", '{"runs": [3]}', '{"runs": [{"seed": 0}]}'])
def test_a_file_without_results_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "results.json").write_text(text)
    with pytest.raises(SystemExit, match="results.json can't be read as results"):
        read_results(tmp_path / "results.json")
