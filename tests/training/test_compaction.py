"""The extension in Chainer's own trainer."""

from pathlib import Path
from typing import Any

import chainer.functions as F
import numpy
import pytest
from chainer import serializers
from chainer.iterators import SerialIterator
from chainer.training import StandardUpdater, Trainer, extensions

from vdprune import (
    Adam,
    ArrayBatches,
    Compaction,
    VariationalDropoutChain,
    VariationalDropoutLinear,
)

STEPS = 4  # in an epoch


class Net(VariationalDropoutChain):
    def __init__(self) -> None:
        super().__init__(num_train=40)
        with self.init_scope():
            self.l1 = VariationalDropoutLinear(7, 6)
            self.l2 = VariationalDropoutLinear(6, 3)

    def forward(self, x: Any) -> Any:
        return self.l2(F.relu(self.l1(x)))


def reseed(trainer: Trainer) -> None:
    """Snapshots don't hold NumPy's random state."""
    numpy.random.seed(trainer.updater.iteration)


def make_trainer(stop: tuple[int, str], out: Path, every: int = 1) -> tuple[Net, Trainer]:
    numpy.random.seed(0)
    model = Net()
    model.l1.W.array[...] = numpy.random.uniform(0.3, 1, (6, 7))
    model.l1.log_sigma2.array[[0, 3]] = 4
    x, t = numpy.random.randn(40, 7).astype("f"), numpy.random.randint(0, 3, 40).astype("i")
    updater = StandardUpdater(
        SerialIterator(range(40), 10),
        Adam().setup(model),
        converter=ArrayBatches(x, t),
        loss_func=model.calc_loss,
    )
    trainer = Trainer(updater, stop, out=str(out))
    trainer.extend(Compaction(model, every))
    trainer.extend(reseed, trigger=(1, "iteration"), priority=1000)
    return model, trainer


def keep_shapes(model: Net, trainer: Trainer) -> list[tuple[int, ...]]:
    shapes: list[tuple[int, ...]] = []
    trainer.extend(
        lambda trainer: shapes.append(model.l1.W.shape), name="shapes", trigger=(1, "iteration")
    )
    return shapes


def test_network_is_small_within_an_epoch_and_whole_at_its_end(tmp_path: Path) -> None:
    model, trainer = make_trainer((3, "epoch"), tmp_path)
    shapes = keep_shapes(model, trainer)
    trainer.run()
    small, whole = (4, 7), (6, 7)
    assert shapes == [whole] * 4 + ([small] * 3 + [whole]) * 2


def test_every_0_is_never(tmp_path: Path) -> None:
    model, trainer = make_trainer((3, "epoch"), tmp_path, every=0)
    shapes = keep_shapes(model, trainer)
    trainer.run()
    assert set(shapes) == {(6, 7)}


def test_network_is_whole_wherever_training_stops(tmp_path: Path) -> None:
    model, trainer = make_trainer((STEPS + 2, "iteration"), tmp_path)
    trainer.run()
    assert model.l1.W.shape == (6, 7)
    assert model.compaction == {}


def test_network_is_whole_in_the_snapshot_of_an_error(tmp_path: Path) -> None:
    _, trainer = make_trainer((3, "epoch"), tmp_path)

    def fail(trainer: Trainer) -> None:
        if trainer.updater.iteration == STEPS + 2:
            raise RuntimeError("on purpose")

    trainer.extend(fail, name="fail", trigger=(1, "iteration"))
    trainer.extend(extensions.snapshot(filename="error.npz", snapshot_on_error=True))
    with pytest.raises(RuntimeError, match="on purpose"):
        trainer.run(show_loop_exception_msg=False)
    with numpy.load(tmp_path / "error.npz") as file:
        assert file["updater/model:main/l1/W"].shape == (6, 7)
        assert file["updater/optimizer:main/l1/W/m"].shape == (6, 7)


def test_resumed_from_chainers_snapshot_as_if_nothing_had_happened(tmp_path: Path) -> None:
    whole, trainer = make_trainer((5, "epoch"), tmp_path, every=2)
    trainer.run()

    _, trainer = make_trainer((3, "epoch"), tmp_path, every=2)
    trainer.extend(extensions.snapshot(filename="{.updater.epoch}.npz"))
    trainer.run()
    resumed, trainer = make_trainer((5, "epoch"), tmp_path, every=2)
    serializers.load_npz(tmp_path / "3.npz", trainer, strict=False)
    assert set(resumed.compaction) == {"l1"}
    numpy.random.seed(3 * STEPS)
    trainer.run()
    for (name, mine), (_, theirs) in zip(
        sorted(resumed.namedparams()), sorted(whole.namedparams()), strict=True
    ):
        numpy.testing.assert_array_equal(mine.array, theirs.array, err_msg=name)
