"""`python -m benchmarks.inference`: who is compared, on what, and what is written."""

import json
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy
import pytest
from click.testing import CliRunner

from benchmarks.inference import __main__ as command
from benchmarks.inference import contenders, startup
from benchmarks.inference.networks import NETWORKS, PrunedNetwork
from benchmarks.inference.scipy_graph import ScipyGraph
from benchmarks.inference.table import render
from tests.runtime.reference import evaluate_graph
from vdprune.export.onnx_session import make_onnx_session
from vdprune.formats import Weights
from vdprune.runtime import make_network

ROOT = Path(__file__).parents[2]
START, END = "<!-- inference: begin -->\n", "\n<!-- inference: end -->"

SIZES = {
    "lenet300": {"input_shape": (1, 9, 8), "classes": 4},
    "lenet5": {"input_shape": (1, 16, 16), "classes": 4},
    "vgg-like": {"width": 0.0625},
}


@cache
def make_small(arch: str) -> tuple[Weights, numpy.ndarray, numpy.ndarray]:
    """A network with three tenths of its weights, examples, and what comes of them."""
    weights = PrunedNetwork(arch, {"": 0.3}, SIZES[arch]).make()
    random = numpy.random.default_rng(0)
    for array in weights.others.values():  # biases, means and variances that matter
        array[...] = random.uniform(0.5, 1.5, array.shape)
    x = random.integers(0, 256, (2, *weights.graph.input_shape)).astype("f4")
    return weights, x, evaluate_graph(weights.graph, {**weights.others, **weights.weights}, x)


def make_torch(weights: Weights, is_sparse: bool) -> Any:
    pytest.importorskip("torch", reason="runs networks beside ours")
    from benchmarks.inference.torch_graph import TorchGraph

    return TorchGraph(weights, is_sparse)


def make_onnx(weights: Weights) -> Any:
    for package in ("onnx", "onnxruntime"):
        pytest.importorskip(package, reason="runs networks beside ours")
    return make_onnx_session(weights, 1)


@pytest.mark.parametrize("arch", SIZES)
@pytest.mark.parametrize(
    "make",
    [
        pytest.param(lambda weights: make_network(weights, 1).logits, id="ours"),
        pytest.param(lambda weights: make_network(weights, 1, "dense").logits, id="ours, dense"),
        pytest.param(make_onnx, id="onnxruntime"),
        pytest.param(lambda weights: make_torch(weights, False), id="PyTorch"),
        pytest.param(lambda weights: make_torch(weights, True), id="PyTorch, sparse"),
        pytest.param(ScipyGraph, id="SciPy"),
    ],
)
def test_each_computes_what_the_network_does(arch: str, make: Callable[[Weights], Any]) -> None:
    weights, x, expected = make_small(arch)
    tolerance = 1e-4 * abs(expected).max()
    numpy.testing.assert_allclose(make(weights)(x), expected, rtol=0, atol=tolerance)


@pytest.mark.parametrize(("name", "sparsity"), [("lenet300", 0.985), ("lenet5", 0.995)])
def test_so_many_weights_are_cut(name: str, sparsity: float) -> None:
    weights = NETWORKS[name].make()
    assert weights.sparsity().sparsity == pytest.approx(sparsity, abs=3e-4)
    assert all(layer.nonzero for layer in weights.sparsity().layers)


def test_everyone_has_a_turn() -> None:
    pytest.importorskip("torch", reason="runs networks beside ours")
    assert list(contenders.make_contenders(make_small("lenet300")[0], 1)) == [
        "vdprune",
        "vdprune, all dense",
        "onnxruntime, dense",
        "PyTorch, dense",
        "PyTorch, sparse CSR",
        "SciPy, CSR",
    ]


def invoke(*options: object) -> Any:
    return CliRunner().invoke(command.main, [str(option) for option in options])


def test_without_the_peers_it_says_how_to_install_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(contenders.importlib.util, "find_spec", lambda name: None)
    result = invoke()
    assert result.exit_code == 1
    assert result.output == (
        "Error: onnx, onnxruntime, torch not installed: pip install '.[bench]' brings the peers\n"
    )


@pytest.fixture
def _two(monkeypatch: pytest.MonkeyPatch) -> None:
    """A small network in the place of the first, two contenders, and no turn that takes long."""
    weights, _, _ = make_small("lenet300")

    def make_contenders(weights: Weights, threads: int) -> dict[str, Any]:
        return {"vdprune": make_network(weights, threads).logits, "SciPy, CSR": ScipyGraph(weights)}

    monkeypatch.setattr(command, "missing_peers", lambda: [])
    monkeypatch.setattr(command, "versions_of", lambda packages: {"numpy": "2.4"})
    monkeypatch.setattr(command, "make_contenders", make_contenders)
    monkeypatch.setattr(PrunedNetwork, "make", lambda self: weights)
    monkeypatch.setattr("vdprune.runtime.bench._SECONDS", 0.0)


@pytest.mark.usefixtures("_two")
def test_results_are_written_and_printed(tmp_path: Path) -> None:
    path = tmp_path / "i.json"
    sizes = ("--batches", 2, "--batches", 3, "--threads", 1, "--turns", 2)
    result = invoke("--networks", "lenet300", *sizes, "--json", path)
    assert result.exit_code == 0, result.output
    results = json.loads(path.read_text())
    assert result.stdout == f"{render(results)}\n"
    assert (results["versions"], results["machine"]["processors"] > 0) == ({"numpy": "2.4"}, True)
    (network,) = results["networks"].values()
    assert network["nonzero"] == make_small("lenet300")[0].sparsity().nonzero
    rows = [(row["threads"], row["examples"], row["turns"]) for row in network["rows"]]
    assert rows == [(1, 2, 2), (1, 3, 2)]
    for row in network["rows"]:
        assert list(row["milliseconds"]) == ["vdprune", "SciPy, CSR"]
        assert all(milliseconds > 0 for milliseconds in row["milliseconds"].values())


@pytest.mark.usefixtures("_two")
def test_what_computes_something_else_ends_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ScipyGraph, "__call__", lambda self, x: 0 * x[:, :4, 0, 0])
    result = invoke("--networks", "lenet300", "--json", tmp_path / "i.json")
    assert result.exit_code == 1
    assert "Error: SciPy, CSR computes something else than vdprune: " in result.output
    assert not (tmp_path / "i.json").exists()


def test_table() -> None:
    def row(threads: int, ours: float, other: float) -> dict[str, Any]:
        return {
            "threads": threads,
            "examples": 1024,
            "turns": 7,
            "milliseconds": {"vdprune": ours, "SciPy, CSR": other},
        }

    results = {
        "networks": {
            "a": {"sparsity": 0.985, "rows": [row(1, 0.00412, 0.0412), row(2, 2, 1)]},
            "b": {"sparsity": 0.9799, "rows": [row(1, 12345.6, 12345.6)]},
        }
    }
    assert render(results).splitlines() == [
        "|  | examples | threads | vdprune, ms | SciPy, CSR, times |",
        "| --- | --: | --: | --: | --: |",
        "| a, 98.5 % cut | 1,024 | 1 | 0.0041 | 10.00 |",
        "| a, 98.5 % cut | 1,024 | 2 | 2.00 | 0.50 |",
        "| b, 98.0 % cut | 1,024 | 1 | 12,346 | 1.00 |",
    ]


def test_times_in_the_docs_are_those_that_the_benchmark_wrote() -> None:
    path = ROOT / "docs" / "results" / "inference.json"
    written = json.loads(path.read_text(encoding="utf-8"))
    _, _, rest = (ROOT / "docs" / "speed.md").read_text(encoding="utf-8").partition(START)
    table, _, _ = rest.partition(END)
    assert table == render(written)
    for network in written["networks"].values():
        assert len(network["rows"]) == 3 * 2  # batches, threads


def test_start_up_is_timed_and_written(tmp_path: Path) -> None:
    path = tmp_path / "startup.json"
    result = CliRunner().invoke(startup.main, ["--turns", "2", "--json", str(path)])
    assert result.exit_code == 0, result.output
    written = json.loads(path.read_text(encoding="utf-8"))
    assert written["turns"] == 2
    assert list(written["seconds"]) == ["lenet300", "lenet5"]
    for low, middle, high in written["seconds"].values():
        assert 0 < low <= middle <= high
    assert result.stdout == startup.render(written["seconds"]) + "\n"


def test_start_up_in_the_docs_is_what_the_benchmark_wrote() -> None:
    path = ROOT / "docs" / "results" / "startup.json"
    written = json.loads(path.read_text(encoding="utf-8"))
    speed = " ".join((ROOT / "docs" / "speed.md").read_text(encoding="utf-8").split())
    assert f"(results/startup.json)): {startup.render(written['seconds'])}." in speed
