import json
import subprocess
import sys
from pathlib import Path

from experiments.results import ROOT


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
