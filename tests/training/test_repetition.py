"""Several steps in an update are those that Chainer's updater takes, bit for bit."""

from functools import partial
from typing import Any

import chainer
import chainer.functions as F
import numpy
import pytest
from chainer import optimizer_hooks
from chainer.iterators import SerialIterator
from chainer.training import StandardUpdater
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.training.steps import (
    CLASSES,
    LABELS,
    LOGITS,
    Listening,
    ListeningToScaled,
    Net,
    Restless,
    Run,
    Scaled,
    X,
    assert_same,
    assert_same_runs,
    make_arrays,
)
from vdprune import (
    MultiStepUpdater,
    RowIterator,
    VariationalDropoutConvolution2D,
    limited_threads,
    threads,
)
from vdprune.errors import ArgumentError, NonFiniteLossError
from vdprune.training.augmented import WarpedBatches
from vdprune.training.warped_copies import WarpedCopies

# an update is long enough for an epoch
pytestmark = pytest.mark.usefixtures("however_slow")


@pytest.mark.usefixtures("two_threads")
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


@pytest.mark.usefixtures("two_threads")
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


def test_arrays_that_became_shorter() -> None:
    """A row that one of them lacks is found to be missing, and not read from beyond its end."""
    for place in range(3):
        run = Run(
            MultiStepUpdater,
            make_model=Listening,
            arrays=(X, LABELS, LOGITS),
            iterator=partial(RowIterator, shuffle=False),  # six steps have all that they need
        )
        arrays = run.updater.converter.arrays
        arrays[place] = arrays[place][:60]
        with pytest.raises(IndexError):
            run.run()
        assert run.model.iteration == 6


@pytest.mark.parametrize("part", ["copies", "rows", "classes", "plain"])
def test_warped_copies_that_lack_logits(part: str) -> None:
    logits, plain = numpy.zeros((3, 95, CLASSES), "f4"), numpy.zeros((95, CLASSES), "f4")
    x, t = make_arrays("u1")
    logits = {"copies": logits[:2], "rows": logits[:, :90], "classes": logits[:, :, :1]}.get(
        part, logits
    )
    copies = WarpedCopies(numpy.stack([x] * 3), logits, plain[:90] if part == "plain" else plain)
    assert WarpedBatches(x, t, copies, 0.5).count_rows() == (90 if part == "plain" else 0)


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
        with pytest.raises((NonFiniteLossError, ArgumentError)) as caught:
            run.run()
        messages.append(str(caught.value))
        states.append(run.state())
        for name in ("reports", "gradients"):  # those of an update that was not completed
            del states[-1][name]
        del states[-1]["position"]
    assert messages[0] == messages[1]
    assert_same(states[1], states[0])
    assert run.model.iteration == 4


def test_numbers_that_are_no_rows() -> None:
    """Chainer's way takes those below 0 from the end, and so does this one."""

    def sample(order: Any, position: int) -> Any:
        return numpy.random.permutation(95) - 95

    x, t = (numpy.concatenate([array[::-1], array]) for array in make_arrays())
    arrays = x[95:], t[95:]  # others come before them in memory
    assert_same_runs(iterator=partial(RowIterator, order_sampler=sample), arrays=arrays)
