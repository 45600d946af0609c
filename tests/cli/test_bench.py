"""`vdprune bench`."""

import json
from pathlib import Path

import pytest

from tests.conftest import Run


@pytest.mark.parametrize("file", ["checkpoint.h5", "pruned.h5", "weights.h5"])
def test_any_file_of_ours_is_timed(run: Run, trained: Path, file: str) -> None:
    result = run("bench", trained / file, "--batch", 1, "--batch", 3, "--json", "--threads", 2)
    assert (result.returncode, result.stderr) == (0, "")
    found = json.loads(result.stdout)
    assert (found["file"], found["threads"]) == (str(trained / file), 2)
    assert 0 < found["nonzero"] < found["weights"]
    timings = found["timings"]
    assert [(row["by"], row["examples"]) for row in timings] == [
        ("vdprune", 1),
        ("all dense", 1),
        ("vdprune", 3),
        ("all dense", 3),
    ]
    assert all(row["milliseconds"] > 0 for row in timings)


def test_a_table_is_printed_and_how_layers_are_run(run: Run, trained: Path) -> None:
    result = run("bench", trained / "weights.h5", "--batch", 2)
    assert result.returncode == 0, result.stderr
    head, row = result.stdout.splitlines()
    assert head.split() == ["examples", "vdprune", "all", "dense"]
    assert row.split()[0] == "2"
    assert row.split()[2::2] == ["ms", "ms"]
    assert [line.split()[0] for line in result.stderr.splitlines() if line][-3:] == [
        "l1",
        "l2",
        "l3",
    ]
    assert run("bench", trained / "weights.h5", "--batch", 2, "--quiet").stderr == ""


def test_what_can_not_be_timed_is_refused(run: Run, tmp_path: Path) -> None:
    (tmp_path / "x.h5").write_bytes(b"x")
    result = run("bench", "x.h5")
    assert (result.returncode, result.stdout) == (1, "")
    assert "x.h5 is not an HDF5 file" in result.stderr
    assert run("bench").returncode == 2
