"""Whole networks from files."""

import subprocess
import sys
from operator import methodcaller
from pathlib import Path
from typing import Any

import chainer
import numpy
import pytest

import vdprune
from tests.export.test_tracing import Residual
from tests.test_checkpoint import INPUT_SHAPES, make_checkpoint
from vdprune import runtime
from vdprune.errors import ArgumentError, FileFormatError
from vdprune.formats import load_weights
from vdprune.runtime import choice
from vdprune.runtime.choice import DENSE, SPARSE
from vdprune.runtime.layers import Layer, Layers
from vdprune.runtime.network import Network
from vdprune.threads import get_team_of


def logits(model: Any, x: Any) -> Any:
    with chainer.using_config("train", False), chainer.no_backprop_mode():
        return model(x).array


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[Path, Any, Any]]:
    """Weight files with the models that they are of, and examples."""
    folder, found = tmp_path_factory.mktemp("networks"), {}
    random = numpy.random.default_rng(5)
    for arch, shape in INPUT_SHAPES.items():
        checkpoint = make_checkpoint(arch)
        path = folder / f"{arch}.h5"
        vdprune.export_weights(checkpoint, path)
        x = random.integers(0, 256, (150, *shape)).astype(numpy.uint8)
        found[arch] = path, checkpoint.model, x
    own = Residual()
    with chainer.using_config("train", False):
        own(numpy.zeros((1, 2, 8, 8), "f"))
    vdprune.to_variational_dropout(own)
    own.a.log_sigma2.array[:, 0] = 20
    vdprune.export_chain(own, (2, 8, 8), folder / "own.npz", "dense")
    x = random.standard_normal((150, 2, 8, 8)).astype(numpy.float32)
    found["own"] = folder / "own.npz", own, x
    return found


@pytest.mark.usefixtures("two_threads")
@pytest.mark.parametrize("name", [*INPUT_SHAPES, "own"])
@pytest.mark.parametrize("threads", [1, 2])
def test_results_are_chainers(files: Any, name: str, threads: int) -> None:
    path, model, x = files[name]
    network = runtime.load(path, threads)
    expected = logits(model, x)
    numpy.testing.assert_allclose(network.logits(x), expected, rtol=1e-4, atol=1e-4)
    for i in range(3):
        found = network.logits(x[i : i + 1])
        numpy.testing.assert_allclose(found, expected[i : i + 1], rtol=1e-4, atol=1e-4)
    assert network.logits(x[:0]).shape == (0, expected.shape[1])


@pytest.mark.usefixtures("two_threads")
@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("examples", [0, 1, 64, 65, 129, 200])
def test_batches_of_any_length_are_cut_into_blocks(examples: int, threads: int) -> None:
    layers = make_linear(0.1)
    network = Network(layers, (500,), get_team_of(threads), "sparse")
    x = numpy.random.default_rng(1).standard_normal((examples, 500)).astype("f4")
    layer = layers.layers[0]
    assert layer.W is not None and layer.b is not None
    numpy.testing.assert_allclose(network.logits(x), x @ layer.W.T + layer.b, atol=1e-4)


def test_predictions(files: Any) -> None:
    path, model, x = files["lenet300"]
    network = runtime.load(path)
    expected = logits(model, x)
    classes = network.predict(x)
    assert classes.dtype == numpy.int64
    numpy.testing.assert_array_equal(classes, expected.argmax(axis=1))
    probabilities = network.predict_proba(x)
    assert probabilities.dtype == numpy.float32
    numpy.testing.assert_allclose(probabilities.sum(axis=1), 1, rtol=1e-5)
    exponentials = numpy.exp(expected)
    numpy.testing.assert_allclose(
        probabilities, exponentials / exponentials.sum(axis=1, keepdims=True), rtol=1e-3, atol=1e-6
    )


def test_a_network_that_ends_in_softmax_gives_its_probabilities(files: Any) -> None:
    path, model, x = files["own"]
    network = runtime.load(path)
    numpy.testing.assert_allclose(network.predict_proba(x), logits(model, x), rtol=1e-4)


CHANGES: Any = [*(methodcaller("astype", d) for d in ("f8", "i8", ">f4", ">u4")), list]


@pytest.mark.parametrize("change", CHANGES)
def test_any_numbers_are_taken(files: Any, change: Any) -> None:
    path, _, x = files["lenet300"]
    network = runtime.load(path)
    numpy.testing.assert_allclose(network.logits(change(x)), network.logits(x), rtol=1e-6)
    backwards = x[:, :, ::-1]
    numpy.testing.assert_array_equal(network.logits(backwards), network.logits(backwards.copy()))


@pytest.mark.parametrize(
    "x", [numpy.zeros((2, 1, 3, 4)), numpy.zeros((1, 3, 3)), 3, numpy.array(["a"]), numpy.zeros(9)]
)
def test_other_examples_are_refused(files: Any, x: Any) -> None:
    network = runtime.load(files["lenet300"][0])
    with pytest.raises(ArgumentError, match=r"takes numbers of shape \(batch, 1, 3, 3\)"):
        network.predict(x)
    with pytest.raises(ArgumentError, match=r"\(batch, 1, 3, 3\); one example alone is x\[None\]$"):
        network.predict(numpy.zeros((1, 3, 3)))


def test_wrong_files_and_threads_are_refused(files: Any, tmp_path: Path) -> None:
    with pytest.raises(ArgumentError, match="threads is 0: this machine lets us have 1 to"):
        runtime.load(files["lenet300"][0], 0)
    with pytest.raises(ArgumentError, match="threads is '2': this machine lets us have 1 to"):
        runtime.load(files["lenet300"][0], "2")  # type: ignore[arg-type]
    (tmp_path / "x.h5").write_bytes(b"x")
    with pytest.raises(FileFormatError, match=r"x\.h5"):
        runtime.load(tmp_path / "x.h5")


def test_chainer_is_not_imported_nor_what_takes_long(files: Any) -> None:
    code = (
        "import sys, numpy, vdprune.runtime\n"
        "network = vdprune.runtime.load(sys.argv[1])\n"
        "network.predict(numpy.zeros((3, 1, 3, 3), numpy.uint8))\n"
        "slow = {'chainer', 'cupy', 'click', 'tqdm', 'matplotlib', 'scipy.linalg', 'scipy.sparse'}\n"
        "print(sorted(slow & set(sys.modules)))"
    )
    command = [sys.executable, "-c", code, files["lenet300"][0]]
    result = subprocess.run(command, capture_output=True, text=True)
    assert result.stdout == "[]\n", result.stderr


def make_linear(density: float) -> Layers:
    random = numpy.random.default_rng(0)
    W = random.standard_normal((300, 500)) * (random.random((300, 500)) < density)
    layer = Layer("linear", "l", (0,), (500,), (300,), W=W.astype("f4"), b=numpy.zeros(300, "f4"))
    return Layers(1.0, numpy.zeros(500, numpy.float32), (layer,))


@pytest.mark.parametrize(("times", "way"), [([3.0, 2.0], DENSE), ([2.0, 3.0], SPARSE)])
def test_the_faster_way_is_chosen(
    monkeypatch: pytest.MonkeyPatch, times: list[float], way: str
) -> None:
    monkeypatch.setattr(choice, "_measure", lambda programs, examples: times)
    ways, (found,) = choice.choose_ways(make_linear(0.5), 64)
    assert ways == [found.way] == [way]
    assert [found.sparse_seconds, found.dense_seconds] == times


def test_both_ways_are_measured() -> None:
    _, (found,) = choice.choose_ways(make_linear(0.5), 8)
    assert found.sparse_seconds is not None and found.sparse_seconds > 0
    assert found.dense_seconds is not None and found.dense_seconds > 0


def test_the_sparsest_layers_are_not_measured() -> None:
    ways, (found,) = choice.choose_ways(make_linear(0.005), 64)
    assert (ways, found.sparse_seconds) == ([SPARSE], None)


def test_the_choice_can_be_printed(files: Any) -> None:
    *lines, last = runtime.load(files["lenet5"][0]).describe().splitlines()
    assert last.startswith("(nonzero: share of the weights between units")
    assert [line.split()[0] for line in lines] == ["layer", "conv1", "conv2", "l3", "l4"]
    assert all("sparse" in line for line in lines[1:])


def test_files_in_float16_are_not_rounded_once_more(files: Any) -> None:
    """What dead units contribute is folded into biases, which are float16 in the file."""
    path, _, x = files["lenet300"]
    weights = load_weights(path)
    weights.weights["l1/W"][::2] = 0
    weights.others["l1/b"][:] = numpy.linspace(0.1, 0.9, weights.others["l1/b"].size)
    half = weights.in_float16()
    found, expected = (runtime.make_network(w, 1, "sparse") for w in (half, half.in_float32()))
    numpy.testing.assert_array_equal(found.logits(x), expected.logits(x))
