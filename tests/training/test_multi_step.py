"""Several steps in an update are those that Chainer's updater takes, bit for bit."""

import itertools
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import chainer
import chainer.functions as F
import numpy
import pytest
from chainer import function_hooks, link_hooks, optimizer_hooks
from chainer.iterators import SerialIterator
from chainer.training import StandardUpdater, Trainer, extensions
from hypothesis import given, settings
from hypothesis import strategies as st

from vdprune import (
    Adam,
    ArrayBatches,
    Compaction,
    Distillation,
    MultiStepUpdater,
    RowIterator,
    VariationalDropoutChain,
    VariationalDropoutConvolution2D,
    VariationalDropoutLinear,
    limited_threads,
    threads,
)
from vdprune.errors import NonFiniteLossError
from vdprune.links import InputScaling
from vdprune.training import multi_step
from vdprune.training.augmented import WarpedBatches
from vdprune.training.warped_copies import WarpedCopies

WIDTH, CLASSES = 12, 4


@pytest.fixture(autouse=True)
def _in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """However slow the machine is, an update is long enough for an epoch."""
    monkeypatch.setattr(multi_step, "_SECONDS", 1e9)


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


@pytest.mark.parametrize("count", [1, 2])
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"nobias": True},
        {"mask_variance": True, "loga_threshold": -3.0},
        {"prior": "ard"},
    ],
    ids=["plain", "nobias", "masked", "ard"],
)
def test_steps_are_those_of_chainers_updater(
    options: dict[str, Any], count: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(threads, "_LEAST_WORK", 1)
    with limited_threads(count):
        assert_same_runs(make_model=lambda: Net(options=options))


def test_one_layer() -> None:
    assert_same_runs(make_model=lambda: Net(()))


@pytest.mark.parametrize("warm_up", [0, 0.3])
def test_weight_of_the_divergence(warm_up: float) -> None:
    assert_same_runs(make_model=lambda: Net(warm_up=warm_up))


def test_examples_that_are_bytes() -> None:
    assert_same_runs(make_model=Scaled, dtype="u1")


def test_float64() -> None:
    with chainer.using_config("dtype", numpy.dtype("d")):
        assert_same_runs(dtype="f8")


def test_batches_that_fill_an_epoch() -> None:
    x, t = make_arrays()
    assert_same_runs(arrays=(x[:80], t[:80]))


def test_an_order_that_does_not_change() -> None:
    assert_same_runs(iterator=partial(RowIterator, shuffle=False))


def test_a_network_that_is_compacted() -> None:
    def prepare(model: Any, optimizer: Any) -> None:
        model.layers[0].log_sigma2.array[[0, 3]] = 6
        model.layers[1].log_sigma2.array[:, [1, 2]] = 6

    assert_same_runs(prepare=prepare, compact=True)


@settings(max_examples=25, deadline=None)
@given(
    st.lists(st.integers(1, 30), max_size=3),
    st.integers(1, 96),
    st.floats(0.01, 2),
    st.integers(1, 2),
)
def test_any_sizes(sizes: list[int], batch: int, warm_up: float, count: int) -> None:
    def make_model() -> Net:
        return Net(tuple(sizes), warm_up=warm_up)

    with pytest.MonkeyPatch.context() as patch, limited_threads(count):
        patch.setattr(threads, "_LEAST_WORK", 1)
        expected = Run(StandardUpdater, make_model, batch=batch).run()
        assert_same(Run(MultiStepUpdater, make_model, batch=batch).run().state(), expected.state())


class Restless(Net):
    """It derives from a class that is static, and is not."""

    def __init__(self) -> None:
        super().__init__()
        self.calls = 0

    def forward(self, x: Any) -> Any:
        self.calls += 1
        return super().forward(x * numpy.float32(self.calls))


class Shifted(Net):
    is_static = True

    def forward(self, x: Any) -> Any:
        return super().forward(x + numpy.float32(1))


class Convolutional(Net):
    is_static = True

    def __init__(self) -> None:
        super().__init__()
        with self.init_scope():
            self.conv = VariationalDropoutConvolution2D(1, 1, 3, pad=1)

    def forward(self, x: Any) -> Any:
        return super().forward(F.relu(self.conv(x.reshape(-1, 1, 3, 4))))


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


def fix(model: Any, optimizer: Any) -> None:
    for link in model.layers:
        link.fix_log_alpha(link.log_alpha().array)


def add_hook(model: Any, optimizer: Any) -> None:
    optimizer.add_hook(optimizer_hooks.WeightDecay(0.01))


def give_own_rate(model: Any, optimizer: Any) -> None:
    model.layers[0].W.update_rule.hyperparam.alpha = 0.01


def give_all_their_own_rate(model: Any, optimizer: Any) -> None:
    for param in model.params():
        param.update_rule.hyperparam.alpha = 0.01


def freeze(model: Any, optimizer: Any) -> None:
    model.layers[0].disable_update()


def decay(model: Any, optimizer: Any) -> None:
    optimizer.weight_decay_rate = 0.01


X, LABELS = make_arrays()
LOGITS = numpy.random.default_rng(1).normal(0, 5, (95, CLASSES)).astype("f4")


def test_a_teacher() -> None:
    assert_same_runs(make_model=Listening, arrays=(X, LABELS, LOGITS))


@pytest.mark.parametrize("has_teacher", [True, False])
@pytest.mark.parametrize("probability", [0.0, 0.6, 1.0])
def test_warped_copies(has_teacher: bool, probability: float) -> None:
    x, t = make_arrays("u1")
    random = numpy.random.default_rng(2)
    copies = WarpedCopies(
        random.integers(0, 256, (3, *x.shape)).astype("u1"),
        random.normal(0, 5, (3, 95, CLASSES)).astype("f4") if has_teacher else None,
        LOGITS if has_teacher else None,
    )
    assert_same_runs(
        make_model=ListeningToScaled if has_teacher else Scaled,
        arrays=(x, t),
        converter=partial(WarpedBatches, copies=copies, probability=probability),
    )


@pytest.mark.parametrize(
    "kwargs",
    [
        {"make_model": Restless},
        {"make_model": Shifted},
        {"make_model": Convolutional},
        {"make_model": Listening, "arrays": (X, LABELS, LOGITS.astype("f8"))},
        {"optimizer": chainer.optimizers.Adam},
        {"optimizer": chainer.optimizers.SGD},
        {"iterator": SerialIterator},
        {"prepare": fix},
        {"prepare": add_hook},
        {"prepare": give_own_rate},
        {"prepare": give_all_their_own_rate},
        {"prepare": decay},
        {"prepare": freeze},
        {"arrays": (numpy.asfortranarray(X), LABELS)},
        {"arrays": (X, LABELS.astype("i8"))},
    ],
    ids=lambda kwargs: " ".join(getattr(v, "__name__", k) for k, v in kwargs.items()),
)
def test_what_is_not_known_is_taken_step_by_step(kwargs: dict[str, Any]) -> None:
    """A network of another kind, an optimizer, an iterator, arrays."""
    assert_same_runs(has_several=False, **kwargs)


def test_a_class_says_that_it_is_static_for_its_own_forward() -> None:
    class Derived(Net):
        pass

    class Silent(VariationalDropoutChain):
        forward = Net.forward

    assert [multi_step._is_static(each) for each in (Net, Derived, Restless, Silent)] == [
        True,
        True,
        False,
        False,
    ]


def test_who_watches_links_sees_them_all() -> None:
    with link_hooks.TimerHook() as watching:
        assert_same_runs(has_several=False)
    assert len(watching.call_history) == 2 * 29 * (3 + 1)  # runs, steps, layers and the network

    def watch_one(model: Any, optimizer: Any) -> None:
        model.layers[1].add_hook(link_hooks.TimerHook())

    assert_same_runs(has_several=False, prepare=watch_one)


def test_arrays_of_different_lengths() -> None:
    """A row that one of them lacks is found to be missing, and not read from beyond its end."""
    x, t = make_arrays()
    for arrays in ((x[:60], t), (x, t[:60]), (x, t, LOGITS[:60])):
        run = Run(
            MultiStepUpdater,
            make_model=Listening,
            iterator=lambda n, batch: RowIterator(95, batch),
            arrays=arrays,
        )
        with pytest.raises(IndexError):
            run.run()


@pytest.mark.parametrize("part", ["copies", "rows", "classes", "plain"])
def test_warped_copies_that_lack_logits(part: str) -> None:
    logits, plain = numpy.zeros((3, 95, CLASSES), "f4"), numpy.zeros((95, CLASSES), "f4")
    x, t = make_arrays("u1")
    logits = {"copies": logits[:2], "rows": logits[:, :90], "classes": logits[:, :, :1]}.get(
        part, logits
    )
    copies = WarpedCopies(numpy.stack([x] * 3), logits, plain[:90] if part == "plain" else plain)
    assert WarpedBatches(x, t, copies, 0.5).count_rows() == (90 if part == "plain" else 0)


def test_who_watches_functions_sees_them_all() -> None:
    with function_hooks.TimerHook() as watching:
        assert_same_runs(has_several=False)
    assert len(watching.call_history) > 30 * 8


@pytest.mark.parametrize("spoilt", ["example", "label"])
def test_an_error_is_that_of_chainers_updater(spoilt: str) -> None:
    x, t = (array.copy() for array in make_arrays())
    row = Run(MultiStepUpdater).updater.get_iterator("main")._state.order[45]  # of the fifth step
    if spoilt == "example":
        x[row, 5] = numpy.inf
    else:
        t[row] = CLASSES
    states, messages = [], []
    for updater_type in (StandardUpdater, MultiStepUpdater):
        run = Run(updater_type, arrays=(x, t))
        with pytest.raises((NonFiniteLossError, IndexError)) as caught:
            run.run()
        messages.append(str(caught.value))
        states.append(run.state())
        for name in ("reports", "gradients"):  # those of an update that was not completed
            del states[-1][name]
        del states[-1]["position"]
    assert messages[0] == messages[1]
    assert_same(states[1], states[0])
    assert run.model.iteration == 4


def test_an_update_ends_where_others_have_something_to_do() -> None:
    plain = Run(MultiStepUpdater).run()
    run = Run(MultiStepUpdater, pauses=[16, 4, 9, 200]).run()
    assert {4, 9, 16} <= set(run.iterations)
    assert not {4, 16} & set(plain.iterations)
    assert_same(run.reports, plain.reports)


def test_statistics_are_counted_when_they_are_due() -> None:
    def make_model() -> Net:
        return Net(statistics_interval=4)

    assert_same_runs(make_model=make_model, epochs=1)


def test_triggers(tmp_path: Path) -> None:
    run = Run(MultiStepUpdater, out=tmp_path)
    seen: list[int] = []
    halves: list[float] = []
    run.trainer.extend(
        lambda trainer: seen.append(trainer.updater.iteration), name="a", trigger=(5, "iteration")
    )
    run.trainer.extend(
        lambda trainer: halves.append(trainer.updater.epoch_detail),
        name="b",
        trigger=(0.5, "epoch"),
    )
    run.trainer.extend(extensions.LogReport(trigger=(1, "epoch")))
    run.run()
    # an interval that ends within an update has its trigger at the update's end
    assert 3 <= len(seen) <= 6
    assert all(b // 5 > a // 5 for a, b in itertools.pairwise(seen))
    assert len(halves) == 6
    rows = run.trainer.get_extension("LogReport").log
    assert [row["epoch"] for row in rows] == [1, 2, 3]
    assert [row["iteration"] for row in rows] == [10, 19, 29]


def test_the_observation_is_the_mean() -> None:
    run = Run(MultiStepUpdater)
    means: list[dict[str, float]] = []
    run.trainer.extend(lambda trainer: means.append(dict(trainer.observation)), name="means")
    run.run()
    first = 0
    for mean, before, last in zip(means, [0, *run.iterations], run.iterations, strict=False):
        reports = run.reports[before:last]
        first += len(reports)
        for name in ("main/loss", "main/class", "main/kl", "main/kl_coef", "main/accuracy"):
            expected = numpy.mean([report[name] for report in reports])
            assert float(mean[name]) == pytest.approx(expected, rel=1e-12)
        assert mean["main/sparsity"] == reports[0]["main/sparsity"]
    assert first == len(run.reports)


def test_without_a_trainer_it_takes_one_step() -> None:
    runs = []
    for updater_type in (StandardUpdater, MultiStepUpdater):
        runs.append(Run(updater_type))
        for _ in range(3):
            runs[-1].updater.update()
    assert_same(runs[1].state(), runs[0].state())
    assert runs[1].updater.iteration == 3


def test_numbers_that_are_no_rows() -> None:
    """Chainer's way takes those below 0 from the end, and so does this one."""

    def sample(order: Any, position: int) -> Any:
        return numpy.random.permutation(95) - 95

    x, t = (numpy.concatenate([array[::-1], array]) for array in make_arrays())
    arrays = x[95:], t[95:]  # others come before them in memory
    assert_same_runs(iterator=partial(RowIterator, order_sampler=sample), arrays=arrays)


def test_an_update_takes_so_long(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(multi_step, "_SECONDS", 1e-9)
    assert_same_runs(has_several=False)
    monkeypatch.setattr(multi_step, "_SECONDS", 1e9)
    monkeypatch.setattr(multi_step, "_MOST", 5)
    run = Run(MultiStepUpdater, epochs=1).run()
    assert run.iterations == [6, 9, 10]
