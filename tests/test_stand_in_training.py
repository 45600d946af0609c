"""Chainer trains on the stand-in for CuPy as it does on the CPU, in float64."""

from pathlib import Path
from typing import Any

import chainer
import chainer.functions as F
import chainer.links as L
import numpy
import pytest
from chainer import Chain, Variable, serializers
from chainer.backends import cuda
from chainer.training.extensions import Evaluator

cupy = pytest.importorskip("cupy")
if not hasattr(cupy, "_settings"):
    pytest.skip("this is CuPy, not its stand-in", allow_module_level=True)

STEPS, BATCH, SIZE = 4, 10, 12


class Perceptron(Chain):
    def __init__(self) -> None:
        super().__init__()
        with self.init_scope():
            self.l1 = L.Linear(SIZE * SIZE, 20)
            self.l2 = L.Linear(20, 3)

    def forward(self, x: Any) -> Variable:
        return self.l2(F.dropout(F.relu(self.l1(x)), 0.0))


class LeNet5(Chain):
    def __init__(self) -> None:
        super().__init__()
        with self.init_scope():
            self.conv1 = L.Convolution2D(1, 3, 5)
            self.norm = L.BatchNormalization(3)
            self.conv2 = L.Convolution2D(3, 4, 3, pad=1)
            self.l3 = L.Linear(16, 3)

    def forward(self, x: Any) -> Variable:
        h = F.max_pooling_2d(F.relu(self.norm(self.conv1(x))), 2)
        h = F.max_pooling_2d(F.relu(self.conv2(h)), 2)
        return self.l3(h)


def make_optimizer(name: str) -> Any:
    return {
        "Adam": chainer.optimizers.Adam,
        "MomentumSGD": chainer.optimizers.MomentumSGD,
        "SGD": chainer.optimizers.SGD,
    }[name]()


def make_iterator(repeat: bool) -> Any:
    random = numpy.random.RandomState(1)
    labels = numpy.arange(STEPS * BATCH, dtype=numpy.int32) % 3
    images = random.randn(len(labels), 1, SIZE, SIZE)
    images[:, 0, 0] += labels[:, None]
    data = chainer.datasets.TupleDataset(images, labels)
    return chainer.iterators.SerialIterator(data, BATCH, repeat=repeat, shuffle=False)


def train(network: type[Chain], optimizer_name: str, device: Any) -> tuple[Any, list[float]]:
    """Return the trained model, still on its device, and losses: training's, then of the test."""
    with chainer.using_config("dtype", numpy.float64):
        model = L.Classifier(network())
    model.to_device(device)
    device.use()
    optimizer = make_optimizer(optimizer_name).setup(model)
    optimizer.add_hook(chainer.optimizer_hooks.WeightDecay(1e-3))
    updater = chainer.training.updaters.StandardUpdater(
        make_iterator(True), optimizer, device=device
    )
    losses = []
    for _ in range(STEPS):
        updater.update()
        losses.append(float(model.loss.array))
    evaluation = Evaluator(make_iterator(False), model, device=device)()
    return model, losses + [float(cuda.to_cpu(value)) for value in evaluation.values()]


def train_on_both(
    network: type[Chain], optimizer: str
) -> tuple[Any, list[float], Any, list[float]]:
    numpy.random.seed(2)
    on_cpu, expected = train(network, optimizer, chainer.get_device("@numpy"))
    numpy.random.seed(2)
    on_gpu, found = train(network, optimizer, chainer.get_device("@cupy:0"))
    return on_cpu, expected, on_gpu, found


@pytest.mark.parametrize("optimizer", ["Adam", "MomentumSGD", "SGD"])
@pytest.mark.parametrize("network", [Perceptron, LeNet5])
def test_training_agrees_with_the_cpu(network: type[Chain], optimizer: str) -> None:
    on_cpu, expected, on_gpu, found = train_on_both(network, optimizer)
    numpy.testing.assert_allclose(found, expected, rtol=0, atol=1e-12)
    assert len(set(found[:STEPS])) == STEPS
    assert all(isinstance(p.array, cupy.ndarray) for p in on_gpu.params())
    on_gpu.to_cpu()
    for (path, mine), (_, theirs) in zip(on_gpu.namedparams(), on_cpu.namedparams(), strict=True):
        numpy.testing.assert_allclose(mine.array, theirs.array, rtol=0, atol=1e-12, err_msg=path)


@pytest.mark.parametrize("form", ["npz", "hdf5"])
def test_models_are_saved_and_loaded(form: str, tmp_path: Path) -> None:
    save, load = getattr(serializers, f"save_{form}"), getattr(serializers, f"load_{form}")
    model = LeNet5().to_device("@cupy:1")
    path = tmp_path / f"model.{form}"
    save(path, model)
    on_gpu, on_cpu = LeNet5().to_device("@cupy:0"), LeNet5()
    for loaded in (on_gpu, on_cpu):
        load(path, loaded)
        assert loaded.xp is (cupy if loaded is on_gpu else numpy)
        for mine, theirs in zip(loaded.params(), model.params(), strict=True):
            assert (cuda.to_cpu(mine.array) == cuda.to_cpu(theirs.array)).all()


def test_variables_have_operators() -> None:
    x = numpy.random.randn(3, 4)
    results = []
    for array in (x, cuda.to_gpu(x)):
        v = Variable(array)
        y = F.sum(2 * v**2 / (abs(v) + 1) - array * v + F.broadcast_to(F.mean(v), v.shape))
        y.backward()
        results.append((float(y.array), cuda.to_cpu(v.grad)))
    numpy.testing.assert_allclose(results[1][0], results[0][0], rtol=1e-14)
    numpy.testing.assert_allclose(results[1][1], results[0][1], rtol=1e-13)


def test_dropout_draws_on_the_gpu() -> None:
    y = F.dropout(cupy.ones((50, 50)), 0.5).array
    assert set(numpy.unique(y.get())) == {0.0, 2.0}


def test_attribute_left_on_the_cpu_is_caught() -> None:
    class Masked(Perceptron):
        mask = numpy.ones((1, SIZE * SIZE))

        def forward(self, x: Any) -> Variable:
            return super().forward(F.reshape(x, (len(x), -1)) * self.mask)

    with pytest.raises(TypeError):
        train(Masked, "SGD", chainer.get_device("@cupy:0"))


def test_there_is_no_cudnn() -> None:
    assert cuda.available
    assert not cuda.cudnn_enabled
    with pytest.raises(ImportError):
        import cupy.cudnn  # noqa: F401
