"""Training runs of small networks, by Chainer's updater and by ours, and what they leave."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import chainer
import chainer.functions as F
import numpy
from chainer.iterators import SerialIterator
from chainer.training import StandardUpdater, Trainer

from vdprune import (
    Adam,
    ArrayBatches,
    Compaction,
    Distillation,
    MultiStepUpdater,
    RowIterator,
    VariationalDropoutChain,
    VariationalDropoutLinear,
)
from vdprune.links import InputScaling

WIDTH, CLASSES = 12, 4


class Net(VariationalDropoutChain):
    is_static = True

    def __init__(self, sizes: tuple[int, ...] = (20, 7), **kwargs: Any) -> None:
        settings = {"num_train": 95, "warm_up": 0.01, "statistics_interval": 1000, **kwargs}
        options = settings.pop("options", {})
        super().__init__(**settings)
        with self.init_scope():
            self.layers = chainer.ChainList()
            for inputs, outputs in zip((WIDTH, *sizes), (*sizes, CLASSES), strict=True):
                link = VariationalDropoutLinear(inputs, outputs, initial_log_sigma2=-4, **options)
                self.layers.append(link)

    def forward(self, x: Any) -> Any:
        h = x
        for link in self.layers[:-1]:
            h = F.relu(link(h))
        return self.layers[-1](h)


class Scaled(Net):
    is_static = True

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        with self.init_scope():
            self.scaling = InputScaling((3, 4))
        self.scaling.fit(make_arrays("u1")[0], 1 / 256)

    def forward(self, x: Any) -> Any:
        return super().forward(self.scaling(x))


def make_arrays(dtype: str = "f4") -> tuple[Any, Any]:
    random = numpy.random.default_rng(0)
    x = random.integers(0, 256, (95, 3, 4)).astype("u1")
    if dtype != "u1":
        x = (x / 256 - 0.5).astype(dtype).reshape(95, WIDTH)
    return x, random.integers(0, CLASSES, 95).astype("i4")


class Run:
    """What a training run leaves."""

    def __init__(
        self,
        updater_type: type[StandardUpdater],
        make_model: Callable[[], Any] = Net,
        dtype: str = "f4",
        epochs: int = 3,
        iterator: Any = RowIterator,
        optimizer: Any = Adam,
        converter: Any = ArrayBatches,
        prepare: Callable[[Any, Any], None] = lambda model, optimizer: None,
        arrays: Any = None,
        batch: int = 10,
        compact: bool = False,
        out: Path = Path("unused"),
        **kwargs: Any,
    ) -> None:
        numpy.random.seed(1)
        self.model = make_model()
        self.optimizer = optimizer().setup(self.model)
        prepare(self.model, self.optimizer)
        arrays = make_arrays(dtype) if arrays is None else arrays
        n = len(arrays[0])
        self.updater = updater_type(
            iterator(range(n) if iterator is SerialIterator else n, batch),
            self.optimizer,
            converter=converter(*arrays),
            loss_func=self.model.calc_loss,
            **kwargs,
        )
        self.trainer = Trainer(self.updater, (epochs, "epoch"), out=str(out))
        self.iterations: list[int] = []
        self.reports: list[dict[str, float]] = []
        self.trainer.extend(lambda trainer: self.note(trainer), name="note", priority=1000)
        if compact:
            self.trainer.extend(Compaction(self.model, 1))

    def note(self, trainer: Any) -> None:
        self.iterations.append(self.updater.iteration)
        for each in getattr(self.updater, "observations", []) or [trainer.observation]:
            self.reports.append({name: float(value) for name, value in each.items()})

    def run(self) -> "Run":
        self.trainer.run(show_loop_exception_msg=False)
        return self

    def state(self) -> dict[str, Any]:
        rules = {name: p.update_rule for name, p in self.model.namedparams()}
        return {
            "parameters": {name: p.array for name, p in self.model.namedparams()},
            "gradients": {name: p.grad for name, p in self.model.namedparams()},
            "moments": {name: rule.state for name, rule in rules.items()},
            "times": (self.optimizer.t, self.optimizer.epoch, [rule.t for rule in rules.values()]),
            "chain": (self.model.kl_coef, self.model.iteration),
            "position": (self.updater.iteration, self.updater.epoch_detail),
            "random": numpy.random.get_state()[1:3],
            "reports": self.reports,
        }


def assert_same(found: Any, expected: Any) -> None:
    assert type(found) is type(expected)
    if isinstance(expected, dict):
        assert found.keys() == expected.keys()
        for name in expected:
            assert_same(found[name], expected[name])
    elif isinstance(expected, list | tuple):
        assert len(found) == len(expected)
        for mine, theirs in zip(found, expected, strict=True):
            assert_same(mine, theirs)
    else:
        numpy.testing.assert_array_equal(found, expected)


def assert_same_runs(has_several: bool = True, **kwargs: Any) -> None:
    """Run both, and find that one of them takes several steps at a time, or does not."""
    expected = Run(StandardUpdater, **kwargs).run().state()
    run = Run(MultiStepUpdater, **kwargs).run()
    assert_same(run.state(), expected)
    assert (len(run.iterations) < len(run.reports)) == has_several
    if has_several:  # first and last of each epoch, at least, are taken for themselves
        assert len(run.iterations) <= len(run.reports) / 2


class Restless(Net):
    """It derives from a class that is static, and is not."""

    def __init__(self) -> None:
        super().__init__()
        self.calls = 0

    def forward(self, x: Any) -> Any:
        self.calls += 1
        return super().forward(x * numpy.float32(self.calls))


class Listening(Net):
    is_static = True

    def __init__(self) -> None:
        super().__init__()
        self.distillation = Distillation()


class ListeningToScaled(Scaled):
    is_static = True

    def __init__(self) -> None:
        super().__init__()
        self.distillation = Distillation(2.0, 0.4)


X, LABELS = make_arrays()
LOGITS = numpy.random.default_rng(1).normal(0, 5, (95, CLASSES)).astype("f4")
