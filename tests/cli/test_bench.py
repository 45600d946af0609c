"""`vdprune bench`."""

import json
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from tests.conftest import Run
from vdprune.cli.bench import bench_command

PROGRAMS = ["vdprune", "all dense", "onnxruntime"]


@pytest.mark.parametrize("file", ["checkpoint.h5", "pruned.h5", "weights.h5"])
def test_any_file_of_ours_is_timed(run: Run, trained: Path, file: str) -> None:
    result = run("bench", trained / file, "--batch", 1, "--batch", 3, "--json", "--threads", 1)
    assert (result.returncode, result.stderr) == (0, "")
    found = json.loads(result.stdout)
    assert (found["file"], found["threads"]) == (str(trained / file), 1)
    assert 0 < found["nonzero"] < found["weights"]
    timings = found["timings"]
    expected = [(name, examples) for examples in (1, 3) for name in PROGRAMS]
    assert [(row["by"], row["examples"]) for row in timings] == expected
    assert all(row["milliseconds"] > 0 for row in timings)


def test_a_table_is_printed_and_how_layers_are_run(run: Run, trained: Path) -> None:
    result = run("bench", trained / "weights.h5", "--batch", 2)
    assert result.returncode == 0, result.stderr
    head, row = result.stdout.splitlines()
    assert head.split() == ["examples", "vdprune", "all", "dense", "onnxruntime"]
    examples, ours, unit, *others = row.split()
    assert (examples, unit, others[1::3]) == ("2", "ms", ["ms", "ms"])
    for time, times in zip(others[::3], others[2::3], strict=True):
        assert float(times.removesuffix("x")) == pytest.approx(
            float(time) / float(ours), rel=0.02, abs=0.006
        )
    told = [line.split()[0] for line in result.stderr.splitlines() if line]
    assert told[-4:] == ["l1", "l2", "l3", "(nonzero:"]
    assert run("bench", trained / "weights.h5", "--batch", 2, "--quiet").stderr == ""


@pytest.mark.parametrize("missing", ["onnxruntime", "onnx"])
def test_without_onnxruntime_the_others_are_compared(
    trained: Path, missing: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, missing, None)
    command = [str(trained / "weights.h5"), "--batch", "1"]
    result = CliRunner().invoke(bench_command, command)
    assert result.exit_code == 0, result.output
    assert result.stdout.splitlines()[0].split() == ["examples", "vdprune", "all", "dense"]
    line = result.stderr.splitlines()[-1]
    assert line.startswith("not compared with onnxruntime: ")
    assert f"-m pip install {'onnx onnxruntime' if missing == 'onnxruntime' else 'onnx'}" in line
    for option in ("--quiet", "--json"):
        result = CliRunner().invoke(bench_command, [*command, option])
        assert (result.exit_code, result.stderr) == (0, "")


def test_what_can_not_be_timed_is_refused(run: Run, tmp_path: Path) -> None:
    (tmp_path / "x.h5").write_bytes(b"x")
    result = run("bench", "x.h5")
    assert (result.returncode, result.stdout) == (1, "")
    assert "x.h5 is no file that vdprune reads" in result.stderr
    assert run("bench").returncode == 2
