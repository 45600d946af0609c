"""The links in code written as Chainer's own MNIST example is."""

import json
import subprocess
import sys
from pathlib import Path

import numpy
import pytest

EXAMPLE = Path(__file__).parent.parent / "examples" / "train_mnist.py"


@pytest.mark.parametrize("options", [[], ["--dense"]], ids=["variational", "dense"])
def test_chainers_example_runs(options: list[str], tmp_path: Path) -> None:
    command = [sys.executable, str(EXAMPLE), "--epoch", "2", "--examples", "1000", *options]
    result = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=300)
    assert result.returncode == 0, result.stderr
    header, *lines = result.stdout.strip().splitlines()
    assert len(lines) == 2
    log = json.loads((tmp_path / "result" / "log").read_text())
    assert [row["epoch"] for row in log] == [1, 2]
    assert log[1]["main/class"] < log[0]["main/class"]
    assert log[1]["validation/main/accuracy"] > 0.6
    assert ("main/sparsity" in header.split()) is not bool(options)
    if not options:
        assert log[0]["main/W/Wnz"] == pytest.approx(1 / (1 - log[0]["main/sparsity"]), rel=1e-3)
        assert 0 < log[0]["main/mean_p"] < 1
    with numpy.load(tmp_path / "result" / "snapshot_epoch_2") as snapshot:
        names = {
            name.split("model:main/")[-1] for name in snapshot.files if "model:main/l1" in name
        }
    expected = {"l1/W", "l1/b"} | (set() if options else {"l1/log_sigma2"})
    assert names == expected
