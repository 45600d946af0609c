import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from experiments.results import ROOT
from tests.conftest import run_vdprune


def prune(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "experiments.pruned", *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True)


def test_a_network_is_pruned_and_measured_as_the_commands_do(trained: Path, tmp_path: Path) -> None:
    shutil.copy(trained / "checkpoint.h5", tmp_path / "tiny.h5")
    path = tmp_path / "results" / "pruned.json"
    options = ["--compression", "40", "--folder", tmp_path / "pruned", "--json", path]
    result = prune(tmp_path / "tiny.h5", *options)
    assert result.returncode == 0, result.stderr
    results = json.loads(path.read_text(encoding="utf-8"))
    (run,) = results["runs"]
    assert (results["arch"], results["recipe"]) == ("lenet300", "paper")
    assert (run["arch"], run["recipe"], run["seed"]) == ("lenet300", "paper", 0)
    assert run["command"] == "vdprune prune tiny.h5 --target-sparsity 0.975"
    assert 40 <= run["compression"] < 41
    evaluated = run_vdprune("eval", "tiny-pruned.h5", "--json", cwd=tmp_path / "pruned")
    expected = json.loads(evaluated.stdout)
    assert {name: run[name] for name in ("error", "nonzero", "layers")} == {
        name: expected[name] for name in ("error", "nonzero", "layers")
    }
    evaluated = run_vdprune("eval", "tiny.h5", "--json", cwd=tmp_path)
    expected = json.loads(evaluated.stdout)
    assert run["error_trained"] == expected["error"]
    assert run["compression_trained"] == expected["compression"] != run["compression"]
    assert {"commit", "machine"} <= run.keys()


@pytest.mark.parametrize("compression", ["1", "-3", "nan", "inf"])
def test_no_compression_is_refused(tmp_path: Path, compression: str) -> None:
    result = prune(tmp_path / "tiny.h5", "--compression", compression)
    assert result.returncode == 2
    assert f"--compression is above 1, not {compression}" in result.stderr
