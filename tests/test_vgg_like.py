"""The VGG-like network from CIFAR's original files to an exported network."""

import json
import tracemalloc
from pathlib import Path
from typing import Any

import chainer
import h5py
import numpy
import pytest
from chainer.datasets import TupleDataset
from chainer.iterators import SerialIterator
from chainer.links import BatchNormalization
from chainer.optimizers import Adam
from chainer.training import StandardUpdater

from tests.conftest import Run
from tests.datasets.test_cifar import (
    make_batches,
    write_binary,
    write_pickle_of_python_2,
    write_pickled,
)
from vdprune.archs import build_arch
from vdprune.chain import VariationalDropoutChain
from vdprune.chain_evaluation import evaluate
from vdprune.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from vdprune.datasets import Dataset, load_dataset
from vdprune.errors import FileFormatError
from vdprune.export import build_chain, export_weights
from vdprune.formats import load_weights
from vdprune.pruning import prune

WIDTH = 0.0625
CONVOLUTIONS = [f"conv{i}_{j}" for i, n in enumerate((2, 2, 3, 3, 3), 1) for j in range(1, n + 1)]
STATISTICS = ("gamma", "beta", "avg_mean", "avg_var")


@pytest.fixture(scope="module", params=["cifar10", "cifar100"])
def folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Files in an original layout: a binary one of CIFAR-10, the pickled one of CIFAR-100."""
    name = request.param
    folder = tmp_path_factory.mktemp("files") / name
    folder.mkdir()
    batches = make_batches(name, per_batch=8)
    for x, _ in batches.values():
        x //= numpy.arange(1, 9, dtype=numpy.uint8)[
            :, None, None, None
        ]  # bright ones and dark ones
    if name == "cifar10":
        write_binary(folder, name, batches)
    else:
        write_pickled(folder, name, batches, write_pickle_of_python_2)
    return folder


@pytest.fixture(scope="module")
def data(folder: Path) -> Dataset:
    return load_dataset(folder.name, folder)


def start(data: Dataset) -> Checkpoint:
    numpy.random.seed(0)
    kwargs = {
        "input_shape": list(data.input_shape),
        "classes": data.classes,
        "theta_std": 0.1,
        "width": WIDTH,
    }
    model = build_arch("vgg-like", **kwargs)
    model.warm_up = 0
    model.kl_coef = 0.01
    model.num_train = len(data.train.x)
    model.statistics_interval = 1
    model.scaling.fit(data.train.x, data.input_scale)
    model.to_variational_dropout(mask_variance=True)
    return Checkpoint(model, "vgg-like", kwargs, {"name": "paper"}, data.name, 3.0)


def train(model: VariationalDropoutChain, data: Dataset, steps: int) -> list[dict[str, float]]:
    """Train on one batch over and over."""
    batch = TupleDataset(data.train.x[:8], data.train.t[:8])
    updater = StandardUpdater(
        SerialIterator(batch, 8, shuffle=False),
        Adam(alpha=0.003).setup(model),
        loss_func=model.calc_loss,
    )
    reporter = chainer.Reporter()
    reporter.add_observer("main", model)
    observations = []
    for _ in range(steps):
        observation: dict[str, Any] = {}
        with reporter.scope(observation):
            updater.update()
        observations.append({name: float(value) for name, value in observation.items()})
    return observations


@pytest.fixture(scope="module")
def trained(data: Dataset, folder: Path) -> Path:
    """A network of which about two thirds are noise, its statistics those of its training images."""
    checkpoint = start(data)
    model = checkpoint.model
    train(model, data, 3)
    random = numpy.random.default_rng(4)
    for _, link in model.named_variational_links():
        noise = random.random(link.W.shape) < 0.66
        link.log_sigma2.array[noise] = 4 + numpy.log(link.W.array[noise] ** 2 + 1e-8)
    for link in model.links():
        if isinstance(link, BatchNormalization):
            link.decay = 0
    with chainer.no_backprop_mode():
        model(data.train.x)
    save_checkpoint(folder / "checkpoint.h5", checkpoint)
    return folder / "checkpoint.h5"


def logits(model: chainer.Chain, data: Dataset) -> numpy.ndarray:
    with chainer.using_config("train", False), chainer.no_backprop_mode():
        return model(data.train.x).array


def test_the_loss_falls(data: Dataset) -> None:
    model = start(data).model
    before = {name: param.array.copy() for name, param in model.namedparams()}
    losses = [observation["main/loss"] for observation in train(model, data, 3)]
    assert losses[2] < losses[1] < losses[0]
    for name, param in model.namedparams():
        assert numpy.isfinite(param.array).all()
        assert (param.array != before[name]).any(), f"{name} is not trained"


def test_sparsity_is_that_of_a_plain_count(data: Dataset, trained: Path) -> None:
    model = load_checkpoint(trained).model
    model.num_train = len(data.train.x)
    counts = {}
    for name, link in model.named_variational_links():
        theta, log_sigma2 = (param.array.astype(float) for param in (link.W, link.log_sigma2))
        counts[name] = int((log_sigma2 - numpy.log(theta**2 + 1e-8) <= 3).sum())
    sparsity = model.sparsity()
    assert {layer.name: layer.nonzero for layer in sparsity.layers} == counts
    assert list(counts) == [*CONVOLUTIONS, "l6", "l7"]
    weights = sum(link.W.size for _, link in model.named_variational_links())
    assert sparsity.weights == weights
    assert sparsity.sparsity == pytest.approx(1 - sum(counts.values()) / weights)
    assert 0.6 < sparsity.sparsity < 0.7
    assert train(model, data, 1)[0]["main/sparsity"] == pytest.approx(sparsity.sparsity)


def test_a_checkpoint_comes_back_with_its_statistics(data: Dataset, tmp_path: Path) -> None:
    checkpoint = start(data)
    train(checkpoint.model, data, 2)
    save_checkpoint(tmp_path / "c.h5", checkpoint)
    loaded = load_checkpoint(tmp_path / "c.h5")
    assert loaded.arch_kwargs == checkpoint.arch_kwargs
    for i in ("1_1", "3_2", "5_3", "6"):
        mine, theirs = loaded.model[f"bn{i}"], checkpoint.model[f"bn{i}"]
        assert theirs.avg_mean.any() and (theirs.avg_var != 1).all()
        for name in STATISTICS:
            numpy.testing.assert_array_equal(
                chainer.as_array(getattr(mine, name)), chainer.as_array(getattr(theirs, name))
            )
    numpy.testing.assert_array_equal(logits(loaded.model, data), logits(checkpoint.model, data))


@pytest.mark.parametrize("encoding", ["csr", "dense"])
@pytest.mark.parametrize("ending", [".h5", ".npz"])
def test_the_exported_network_is_the_pruned_one(
    data: Dataset, trained: Path, tmp_path: Path, encoding: str, ending: str
) -> None:
    checkpoint = load_checkpoint(trained)
    before = logits(checkpoint.model, data)
    assert len(set(before.argmax(axis=1))) > 1
    save_checkpoint(tmp_path / "pruned.h5", prune(checkpoint, 3.0))
    pruned = load_checkpoint(tmp_path / "pruned.h5")
    numpy.testing.assert_array_equal(logits(pruned.model, data), before)
    export_weights(pruned, tmp_path / f"weights{ending}", encoding)
    weights = load_weights(tmp_path / f"weights{ending}")
    assert weights.sparsity() == pruned.model.sparsity()
    assert set(weights.others) == {
        "scaling/scale",
        "scaling/mean",
        "l7/b",
        *(f"bn{i[-3:]}/{name}" for i in CONVOLUTIONS for name in STATISTICS),
        *(f"bn6/{name}" for name in STATISTICS),
    }
    model = build_chain(weights)
    numpy.testing.assert_allclose(logits(model, data), before, rtol=1e-4, atol=1e-4)
    found, expected = (evaluate(network, data.test) for network in (model, pruned.model))
    assert (found.error, found.examples) == (expected.error, expected.examples)
    assert found.loss == pytest.approx(expected.loss, rel=1e-4)


def test_the_command_evaluates_an_exported_file(
    data: Dataset, folder: Path, trained: Path, tmp_path: Path, run: Run
) -> None:
    pruned = prune(load_checkpoint(trained), 3.0)
    export_weights(pruned, tmp_path / "weights.h5")
    result = run("eval", "weights.h5", "--data-root", folder, "--split", "train", "--json")
    assert result.returncode == 0, result.stderr
    found, expected = json.loads(result.stdout), evaluate(pruned.model, data.train)
    assert (found["error"], found["examples"]) == (expected.error, expected.examples)
    assert found["loss"] == pytest.approx(expected.loss, rel=1e-5)
    assert found["nonzero"] == pruned.model.sparsity().nonzero


def claiming(**changes: Any) -> Checkpoint:
    """A small network that tells of something else."""
    kwargs = {"input_shape": [3, 32, 32], "classes": 3, "theta_std": 0.1, "width": WIDTH}
    model = build_arch("vgg-like", **kwargs)
    model.to_variational_dropout()
    return Checkpoint(model, "vgg-like", {**kwargs, **changes}, {}, "cifar10", 3.0)


@pytest.mark.parametrize(
    "width",
    [
        1e9,
        7.5,
        0.125,
        0,
        -1,
        numpy.nan,
        numpy.inf,
        pytest.param(10**400, id="huge"),
        "wide",
        None,
        True,
        [1],
    ],
)
def test_a_file_that_claims_another_width_is_refused(tmp_path: Path, width: Any) -> None:
    path = tmp_path / "lying.h5"
    save_checkpoint(path, claiming(width=width))
    tracemalloc.start()
    try:
        with pytest.raises(FileFormatError, match=r"lying\.h5 .*width is"):
            load_checkpoint(path)
        assert tracemalloc.get_traced_memory()[1] < 4 * 2**20, "a network was made"
    finally:
        tracemalloc.stop()


def test_a_narrow_file_that_says_nothing_of_its_width_is_refused(tmp_path: Path) -> None:
    checkpoint = claiming()
    del checkpoint.arch_kwargs["width"]
    save_checkpoint(tmp_path / "c.h5", checkpoint)
    with pytest.raises(FileFormatError, match="c.h5: bn1_1/avg_mean has shape .4,. in the file"):
        load_checkpoint(tmp_path / "c.h5")


def test_a_file_of_another_arch_that_tells_of_a_width_is_refused(tmp_path: Path) -> None:
    kwargs = {"input_shape": [1, 3, 3], "classes": 3, "theta_std": 0.1}
    model = build_arch("lenet300", **kwargs)
    model.to_variational_dropout()
    path = tmp_path / "c.h5"
    save_checkpoint(path, Checkpoint(model, "lenet300", {**kwargs, "width": 1}, {}, "mnist", 3.0))
    with h5py.File(path) as file:
        assert json.loads(file.attrs["arch_kwargs"])["width"] == 1
    with pytest.raises(FileFormatError, match=r"c\.h5 .*width is 1, which makes"):
        load_checkpoint(path)
