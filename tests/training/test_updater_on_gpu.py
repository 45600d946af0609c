"""A user's own training loop on a GPU, with Chainer's updater or without."""

from typing import Any

import chainer
import chainer.functions as F
import numpy
import pytest
from chainer.iterators import SerialIterator
from chainer.training import StandardUpdater

from tests.conftest import make_tiny_arrays
from tests.training.test_on_gpu import CPU, second_gpu  # noqa: F401  a fixture
from vdprune import Adam, ArrayBatches, VariationalDropoutChain, VariationalDropoutLinear
from vdprune.errors import NonFiniteLossError

pytestmark = pytest.mark.gpu


class Net(VariationalDropoutChain):
    def __init__(self) -> None:
        super().__init__(num_train=300, warm_up=0.1, statistics_interval=5)
        with self.init_scope():
            self.l1 = VariationalDropoutLinear(64, 20)
            self.l2 = VariationalDropoutLinear(20, 3)

    def forward(self, x: Any) -> Any:
        return self.l2(F.relu(self.l1(x.reshape(len(x), -1))))


def make_updater(model: Net, device: Any) -> Any:
    arrays = make_tiny_arrays()
    x, t = arrays["x_train"].astype("f4") / 256, arrays["y_train"].astype("i4")
    model.to_device(device)
    return StandardUpdater(
        SerialIterator(range(len(x)), 50),
        Adam().setup(model),
        converter=ArrayBatches(x, t),
        device=device,
        loss_func=model.calc_loss,
    )


def test_a_users_own_updater(gpu: Any) -> None:
    found = []
    for device in (CPU, gpu):
        numpy.random.seed(0)
        model = Net()
        updater = make_updater(model, device.name)
        for _ in range(7):
            updater.update()
        model.to_device(CPU)
        found.append({name: param.array for name, param in model.namedparams()})
    for name, array in found[0].items():
        numpy.testing.assert_allclose(found[1][name], array, rtol=1e-3, atol=1e-4)


def test_a_loss_that_is_no_number_is_found_out(gpu: Any) -> None:
    """At the next look, with the number of the step; parameters are ruined by then."""
    model = Net()
    updater = make_updater(model, gpu)
    for step in range(1, 8):
        if step == 3:
            model.l1.W.array[0, 0] = numpy.nan
        if step == 6:
            with pytest.raises(NonFiniteLossError, match=r"at iteration 3: .* of layer l") as info:
                updater.update()
            break
        updater.update()
    assert "\n" not in str(info.value)
    model.check_losses()  # it has been told of


def test_a_label_that_is_no_class_is_found_out(gpu: Any) -> None:
    model = Net()
    model.to_device(gpu)
    model.calc_loss(gpu.xp.ones((2, 64), "f4"), gpu.xp.asarray(numpy.array([0, 1], "i4")))
    model.calc_loss(gpu.xp.ones((2, 64), "f4"), gpu.xp.asarray(numpy.array([0, 3], "i4")))
    with pytest.raises(
        NonFiniteLossError, match=r"iteration 2, .* look for labels that are no class"
    ):
        model.check_losses()


def test_a_users_updater_on_another_gpu_than_the_current_one(
    gpu: Any,
    second_gpu: Any,  # noqa: F811
) -> None:
    model = Net()
    updater = make_updater(model, second_gpu)
    for _ in range(6):
        updater.update()
    with chainer.using_device(second_gpu):
        model.l1.W.array[0, 0] = numpy.nan
    updater.update()
    with pytest.raises(NonFiniteLossError, match="iteration 7"):
        model.check_losses()
    assert gpu.xp.cuda.Device().id == 0


def test_training_goes_on_after_a_move(
    gpu: Any,
    second_gpu: Any,  # noqa: F811
) -> None:
    """A compacted network and its optimizer's state go from device to device."""
    found = []
    for devices in ([CPU] * 4, [CPU, gpu, second_gpu, CPU]):
        numpy.random.seed(0)
        model = Net()
        model.l1.log_sigma2.array[5:] = 4
        optimizer = Adam().setup(model)
        x, t = numpy.random.rand(50, 64).astype("f4"), numpy.arange(50, dtype="i4") % 3
        for device in devices:
            model.to_device(device)
            for _ in range(3):
                optimizer.update(model.calc_loss, device.send(x), device.send(t))
            if device is devices[0]:
                model.compact(model.find_compaction())
            optimizer.update(model.calc_loss, device.send(x), device.send(t))
            assert model.l1.W.shape == (5, 64)
        model.to_device(CPU)
        assert model.l1.W.shape == (20, 64)
        found.append({name: param.array for name, param in model.namedparams()})
    for name, array in found[0].items():
        numpy.testing.assert_allclose(found[1][name], array, rtol=1e-2, atol=1e-3)
