"""What a training step asks of a GPU."""

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from benchmarks import gpu

RESULTS = Path(__file__).parents[2] / "docs" / "results" / "gpu-counts.json"


@pytest.fixture(scope="module")
def counted() -> dict[str, Any]:
    return gpu.count_step("lenet300")


def test_a_step_takes_few_launches_and_waits_for_none(counted: dict[str, Any]) -> None:
    assert counted["launches"] == sum(counted["launches_by_name"].values()) <= 40
    assert counted["synchronisations"] == 0
    # each weight is read and written several times, each example is sent once
    assert counted["bytes"] > 10 * 4 * 266_200
    assert counted["bytes_to_device"] == 100 * (784 + 4)


def test_counts_in_the_results_are_of_this_version(counted: dict[str, Any]) -> None:
    rows = json.loads(RESULTS.read_text(encoding="utf-8"))["networks"]
    assert counted in rows


def test_table() -> None:
    rows = [
        {"network": "a", "launches": 3, "synchronisations": 0, "bytes": 600_000_000},
        {"network": "b", "launches": 4, "synchronisations": 1, "bytes": 0, "ms": [1.0, 3.0, 2.0]},
    ]
    lines = gpu.render(rows).splitlines()
    assert lines[2] == "| a | 3 | 0 | 600.0 | 2.000 | 0.667 | 0.300 | - |"
    assert lines[3] == "| b | 4 | 1 | 0.0 | 0.000 | 0.000 | 0.000 | 2.000 |"


def test_command_without_a_gpu(
    counted: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gpu, "count_step", lambda name: dict(counted))
    monkeypatch.setattr(gpu, "_find_trouble", lambda number: "no GPU here")
    file = tmp_path / "found.json"
    result = CliRunner().invoke(gpu.main, ["--networks", "lenet300", "--json", str(file)])
    assert result.exit_code == 0, result.output
    assert "| lenet300 |" in result.output
    assert "not timed: no GPU here" in result.output
    assert json.loads(file.read_text())["networks"] == [counted]


def test_times_are_taken_where_there_is_a_gpu(
    counted: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On the stand-in, which is one to this process."""
    monkeypatch.setattr(gpu, "count_step", lambda name: dict(counted))
    monkeypatch.setattr(gpu, "_CHUNK", 1)
    file = tmp_path / "found.json"
    arguments = ["--networks", "lenet300", "--chunks", "2", "--json", str(file)]
    result = CliRunner().invoke(gpu.main, arguments)
    assert result.exit_code == 0, result.output
    assert "timed on GPU 0" in result.output
    assert len(json.loads(file.read_text())["networks"][0]["ms"]) == 2


def test_what_fails_is_told_in_one_line(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(gpu, "_ROOT", tmp_path)
    with pytest.raises(gpu.CountingError, match="^lenet300: .*"):
        gpu.count_step("lenet300")
