import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from experiments.packed import measure_packed
from experiments.results import ROOT

pytest.importorskip("constriction", reason="packed files need it")


def test_a_network_is_measured_as_the_commands_do(trained: Path, tmp_path: Path) -> None:
    shutil.copy(trained / "checkpoint.h5", tmp_path / "tiny.h5")
    path = tmp_path / "results" / "packed.json"
    subprocess.run(
        [
            *(sys.executable, "-m", "experiments.packed", tmp_path / "tiny.h5"),
            *("--folder", tmp_path / "packed", "--json", path),
        ],
        check=True,
        cwd=ROOT,
    )
    (run,) = json.loads(path.read_text(encoding="utf-8"))["runs"]
    assert (run["arch"], run["recipe"], run["seed"]) == ("lenet300", "paper", 0)
    assert run["bytes"] == (tmp_path / "packed" / "tiny.packed").stat().st_size
    assert run["dense_bytes"] == 4 * (49_500 + 300 + 100 + 3 + 64 + 1)
    assert 0 < run["nonzero_packed"] <= run["nonzero"] < run["weights"] == 49_500
    assert (run["examples"], run["error"]) == (90, pytest.approx(run["error_packed"], abs=5))
    assert run["bits_chosen_by"] == "300 training examples, for training held out none"
    assert run["command"] == "vdprune export tiny.h5 --format packed"
    assert {"commit", "machine"} <= run.keys()


def test_a_command_that_fails_says_why_itself(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as info:
        measure_packed(tmp_path / "nothing.h5", tmp_path)
    assert info.value.code == 1
    (line,) = capfd.readouterr().err.splitlines()
    assert line.startswith("vdprune: error: there is no file 'nothing.h5'")
