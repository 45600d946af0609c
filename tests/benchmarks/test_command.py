import json
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from benchmarks import __main__ as command
from benchmarks import contenders, rounds
from benchmarks.clock import StepClock
from benchmarks.contenders import list_contenders
from benchmarks.networks import NETWORKS

ROOT = Path(__file__).parent.parent.parent


def test_a_worker_prints_one_line_of_json() -> None:
    options = ["--steps", "60", "--warm-up", "20", "--threads", "1"]
    result = subprocess.run(
        [sys.executable, "-m", "benchmarks.worker", "vdprune", "lenet300", *options],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert result.returncode == 0, result.stderr
    (line,) = result.stdout.splitlines()
    measurement = json.loads(line)
    assert (measurement["contender"], measurement["network"]) == ("vdprune", "lenet300")
    assert len(measurement["ms"]) > 20  # several in an update
    assert min(measurement["ms"]) > 0
    assert measurement["peak_mb"] > 1
    assert measurement["blas"]
    assert "vdprune train" in measurement["settings"]
    assert {"python", "numpy", "vdprune", "chainer"} <= set(measurement["versions"])


def test_without_the_peers_it_says_how_to_install_them(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(contenders.importlib.util, "find_spec", lambda name: None)
    result = CliRunner().invoke(command.main, ["--json", str(tmp_path / "b.json")])
    assert result.exit_code == 1
    assert result.output == (
        "Error: torch, cplxmodule, pytorch-ard not installed: pip install '.[bench]' brings the "
        "peers\n"
    )


def test_the_recipe_needs_its_network(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(command, "missing_peers", lambda: [])
    result = CliRunner().invoke(command.main, ["--networks", "lenet5", "--recipe"])
    assert result.exit_code == 2
    assert "--recipe is for lenet300, which is not among the networks" in result.output


def test_everyone_has_a_turn() -> None:
    names = [contender.name for contender in list_contenders({})]
    assert names == ["vdprune", *contenders.PEERS, "floor"]


def test_where_openblas_is_told_its_kernel_vdprune_is_timed_without_too(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("OPENBLAS_CORETYPE", "Haswell")
    monkeypatch.setenv("OPENBLAS_L2_SIZE", "512")
    ours, freed, *_ = list_contenders()
    assert freed.name == "vdprune without OPENBLAS_CORETYPE"
    assert ours.worker == freed.worker == "vdprune"
    assert {"OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE"} <= set(ours.environment)
    assert not {"OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE"} & set(freed.environment)
    assert freed.environment["PATH"] == ours.environment["PATH"]


@pytest.mark.parametrize(
    ("worker", "network", "expected"),
    [
        ("vdprune", "lenet5", []),
        ("floor", "lenet5", []),
        ("cplxmodule eager", "lenet300", []),
        ("cplxmodule eager", "lenet5", ["channels last"]),
        ("pytorch-ard compiled", "lenet300", ["max_autotune", "random numbers of eager mode"]),
        ("pytorch-ard compiled", "conv-stack", list(contenders.TUNINGS)),
    ],
)
def test_tunings_that_can_change_something(worker: str, network: str, expected: list[str]) -> None:
    contender = contenders.Contender(worker, worker)
    assert contenders.list_tunings(contender, NETWORKS[network]) == expected


def test_a_tuning_is_kept_if_it_helps(monkeypatch: pytest.MonkeyPatch) -> None:
    tried = []

    def measure(contender: str, network: str, steps: int, threads: int, tunings: list[str]) -> dict:
        tried.append(tunings)
        ms = 10 - 2 * ("channels last" in tunings) + ("max_autotune" in tunings)
        return {"ms": [ms - ("random numbers of eager mode" in tunings), 99]}

    monkeypatch.setattr(rounds, "_measure", measure)
    contender = contenders.Contender("cplxmodule compiled", "cplxmodule compiled")
    chosen = rounds._choose_tunings(contender, NETWORKS["lenet5"], 60, 2, lambda text: None)
    assert chosen == ["channels last", "random numbers of eager mode"]
    assert tried == [
        [],
        ["channels last"],
        ["channels last", "max_autotune"],
        ["channels last", "random numbers of eager mode"],
    ]


def test_the_clock_leaves_the_warm_up_out(monkeypatch: pytest.MonkeyPatch) -> None:
    times = iter([1.0, 5.0, 5.25, 6.25])
    monkeypatch.setattr("benchmarks.clock.time.perf_counter", lambda: next(times))
    clock = StepClock(warm_up=2)
    for iteration in range(1, 5):
        clock(iteration)
    assert clock.milliseconds() == [250, 1000]


def test_the_clock_shares_the_time_of_several_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    times = iter([1.0, 5.0, 6.0, 6.5])
    monkeypatch.setattr("benchmarks.clock.time.perf_counter", lambda: next(times))
    clock = StepClock(warm_up=3)
    for iteration in (2, 4, 8, 9):
        clock(iteration)
    assert clock.milliseconds() == [250] * 4 + [500]
