"""A network's objective and gradients at once are what its layers give one by one."""

import copy
import gc
import pickle
import weakref
from contextlib import nullcontext
from typing import Any

import chainer
import chainer.functions as F
import chainer.links as L
import numpy
import pytest
from chainer.function_hooks import TimerHook

from vdprune import (
    Adam,
    VariationalDropoutChain,
    VariationalDropoutConvolution2D,
    VariationalDropoutLinear,
    threads,
)
from vdprune.functions.linear_objective import LinearObjective
from vdprune.threads import limited_threads


class Net(VariationalDropoutChain):
    """Two layers, with something between them that a test may replace."""

    def __init__(self, nobias: bool = False, in_size: int | None = 12) -> None:
        super().__init__(num_train=50, warm_up=0)
        with self.init_scope():
            self.l1 = VariationalDropoutLinear(in_size, 20, nobias, initial_log_sigma2=-4)
            self.l2 = VariationalDropoutLinear(20, 4, nobias, initial_log_sigma2=-3)
        self.between: Any = F.relu
        self.seen: list[Any] = []

    def forward(self, x: Any) -> Any:
        return self.l2(self.between(self.l1(x)))


class ConvolutionalNet(VariationalDropoutChain):
    """Layers of other kinds before the linear ones."""

    def __init__(self) -> None:
        super().__init__(num_train=50, warm_up=0)
        with self.init_scope():
            self.conv = VariationalDropoutConvolution2D(1, 3, 3)
            self.norm = L.BatchNormalization(3)
            self.l1 = VariationalDropoutLinear(12, 9)
            self.l2 = VariationalDropoutLinear(9, 4)

    def forward(self, x: Any) -> Any:
        return self.l2(F.relu(self.l1(F.relu(self.norm(self.conv(x.reshape(-1, 1, 4, 4)))))))


def make_batch(width: int = 12, dtype: str = "f4") -> tuple[Any, Any]:
    random = numpy.random.default_rng(0)
    return random.standard_normal((10, width)).astype(dtype), (numpy.arange(10) % 4).astype("i4")


def take_step(model: Any, batch: Any, hook: Any = None, scale: float = 1) -> dict[str, Any]:
    """Return what a training step of a network finds: loss, what is reported and gradients."""
    numpy.random.seed(1)
    reporter = chainer.Reporter()
    reporter.add_observer("main", model)
    observation: dict[str, Any] = {}
    with reporter.scope(observation):
        if hook is None:
            loss = model.calc_loss(*batch)
        else:
            with hook:
                loss = model.calc_loss(*batch)
    model.cleargrads()
    (loss * scale if scale != 1 else loss).backward()
    found = {"at once": isinstance(loss.creator, LinearObjective), "loss": float(loss.array)}
    found |= {name: float(value) for name, value in observation.items()}
    return found | {name: param.grad.copy() for name, param in model.namedparams()}


def assert_same(found: dict[str, Any], expected: dict[str, Any], rtol: float = 2e-4) -> None:
    assert set(found) == set(expected)
    for name, value in expected.items():
        if name != "at once":
            atol = rtol * numpy.abs(value).max() * 0.1
            numpy.testing.assert_allclose(found[name], value, rtol, atol, err_msg=name)


@pytest.mark.usefixtures("two_threads")
@pytest.mark.parametrize("count", [1, 2])
@pytest.mark.parametrize("nobias", [False, True])
def test_it_is_what_the_layers_give_one_by_one(
    nobias: bool, count: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A hook wants to see each of them."""
    monkeypatch.setattr(threads, "_LEAST_WORK", 1)
    model = Net(nobias)
    with limited_threads(count):
        found = take_step(model, make_batch())
        hook = TimerHook()
        expected = take_step(model, make_batch(), hook)
    assert found["at once"] and not expected["at once"]
    assert len(hook.call_history) > 4
    assert_same(found, expected)


def test_what_the_whole_network_was_computed_by_is_that_of_the_last_step() -> None:
    model = Net()
    take_step(model, make_batch())
    assert model.last_step.whole_network is not None
    take_step(model, make_batch(), TimerHook())
    assert model.last_step.whole_network is None
    convolutional = ConvolutionalNet()
    take_step(convolutional, make_batch(16))
    assert convolutional.last_step.whole_network is None


def test_float64() -> None:
    with chainer.using_config("dtype", numpy.dtype("d")):
        model = Net()
    batch = make_batch(dtype="f8")
    found, expected = take_step(model, batch), take_step(model, batch, TimerHook())
    assert found["at once"]
    assert_same(found, expected, rtol=1e-10)


def test_layers_of_two_dtypes() -> None:
    model = Net()
    for param in model.l2.params():
        param.array = param.array.astype("f8")
    with pytest.raises(chainer.utils.type_check.InvalidType, match="dtype"):
        model.calc_loss(*make_batch())


def test_a_size_that_the_first_batch_decides() -> None:
    model = Net(in_size=None)
    take_step(model, make_batch())
    assert model.l1.W.shape == (20, 12)
    assert take_step(model, make_batch())["at once"]


def test_other_layers_before_them() -> None:
    model, batch = ConvolutionalNet(), make_batch(16)
    found, expected = take_step(model, batch), take_step(model, batch, TimerHook())
    assert found["at once"] and not expected["at once"]
    assert_same(found, expected)


def test_nothing_of_a_step_waits_for_the_garbage_collector() -> None:
    """It would be all activations, of several steps."""

    class Watched(ConvolutionalNet):
        def forward(self, x: Any) -> Any:
            h = F.relu(self.norm(self.conv(x.reshape(-1, 1, 4, 4))))
            self.activation = weakref.ref(h.node)
            return self.l2(F.relu(self.l1(h)))

    model = Watched()
    take_step(model, make_batch(16))
    gc.disable()
    try:
        loss = model.calc_loss(*make_batch(16))
        assert model.activation() is not None
        loss.backward()
        del loss
        assert model.activation() is None
    finally:
        gc.enable()


def test_inputs_of_more_axes_and_no_activation_between() -> None:
    model, (x, t) = Net(), make_batch()
    model.between = lambda h: h
    batch = numpy.asfortranarray(x.reshape(10, 3, 4)), t
    found, expected = take_step(model, batch), take_step(model, batch, TimerHook())
    assert found["at once"]
    assert_same(found, expected)


def test_a_network_that_ends_in_an_activation() -> None:
    class Rectified(Net):
        def forward(self, x: Any) -> Any:
            return F.relu(super().forward(x))

    model = Rectified()
    found, expected = take_step(model, make_batch()), take_step(model, make_batch(), TimerHook())
    assert not found["at once"]
    assert_same(found, expected)


def test_compacted_layers() -> None:
    model = Net()
    model.l1.log_sigma2.array[:7] = 20
    model.l1.log_sigma2.array[:, 2] = 20
    model.l2.log_sigma2.array[1] = 20
    model.compact(model.find_compaction())
    found = take_step(model, make_batch())
    assert model.l1.alive is not None and found["at once"]
    assert_same(found, take_step(model, make_batch(), TimerHook()))


def keep(model: Net) -> Any:
    def between(h: Any) -> Any:
        model.seen.append(h)
        return F.relu(h)

    return between


def look(model: Net) -> Any:
    return lambda h: F.relu(h) if h.array.sum() > -1e9 else None


def look_without_graph(model: Net) -> Any:
    def between(h: Any) -> Any:
        with chainer.no_backprop_mode():
            assert h.array.size
        return F.relu(h)

    return between


def branch(model: Net) -> Any:
    def between(h: Any) -> Any:
        model.seen.append(F.relu(h))
        return F.relu(h)

    return between


# Each with whether the last layer still is computed along with its gradients.
WAYS = {
    "kept": (keep, False),
    "a branch": (branch, False),
    "looked at": (look, True),
    "looked at without a graph": (look_without_graph, True),
    "dropout": (lambda model: lambda h: F.dropout(F.relu(h), 0.3), True),
    "another activation": (lambda model: F.tanh, True),
    "used twice": (lambda model: lambda h: F.relu(h) + F.relu(h), True),
    "cut off": (lambda model: lambda h: F.relu(chainer.Variable(h.array)) + 0 * h, True),
}


@pytest.mark.parametrize("way", WAYS)
def test_what_is_between_layers_may_be_used_otherwise(way: str) -> None:
    model = Net()
    between, is_at_once = WAYS[way]
    model.between = between(model)
    found = take_step(model, make_batch())
    seen = [type(h) for h in model.seen]
    expected = take_step(model, make_batch(), TimerHook())
    assert found["at once"] == is_at_once
    assert seen == [chainer.Variable] * len(seen)
    assert_same(found, expected)
    for a, b in zip(model.seen[: len(seen)], model.seen[len(seen) :], strict=True):
        numpy.testing.assert_allclose(a.array, b.array, rtol=1e-5, atol=1e-6)


def test_a_branch_that_leads_nowhere_is_of_the_weights_as_they_were() -> None:
    model = Net()
    model.between = lambda h: model.seen.append(model.l2(F.relu(h))) or F.relu(h)
    numpy.random.seed(1)
    model.calc_loss(*make_batch())
    model.l2.W.array[...] = 0
    assert (model.seen[0].array != 0).all()


def test_a_layer_without_a_graph() -> None:
    """Its weights have the divergence's gradients alone."""

    class Frozen(Net):
        def forward(self, x: Any) -> Any:
            with chainer.no_backprop_mode():
                h = self.l1(x)
            return self.l2(F.relu(h))

    model, found = Frozen(), []
    for hook in (nullcontext(), TimerHook()):
        numpy.random.seed(1)
        with hook:
            loss = model.calc_loss(*make_batch())
        model.cleargrads()
        loss.backward()
        assert model.l1.b.grad is None
        found.append([link.W.grad.copy() for link in (model.l1, model.l2)])
    for at_once, one_by_one in zip(*found, strict=True):
        numpy.testing.assert_allclose(at_once, one_by_one, rtol=1e-3, atol=1e-5)


def test_activations_without_a_graph() -> None:
    model = Net()

    def between(h: Any) -> Any:
        with chainer.no_backprop_mode():
            return F.relu(h)

    model.between = between
    assert_same(take_step(model, make_batch()), take_step(model, make_batch(), TimerHook()))


def test_a_pass_without_a_graph() -> None:
    with chainer.no_backprop_mode():
        assert Net().calc_loss(*make_batch()).creator is None


def test_a_layer_that_is_passed_twice() -> None:
    class Loop(VariationalDropoutChain):
        def __init__(self) -> None:
            super().__init__(num_train=50, warm_up=0)
            with self.init_scope():
                self.layer = VariationalDropoutLinear(4, 4)

        def forward(self, x: Any) -> Any:
            return self.layer(F.relu(self.layer(x)))

    model, batch = Loop(), make_batch(4)
    found, expected = take_step(model, batch), take_step(model, batch, TimerHook())
    assert not found["at once"]
    assert_same(found, expected)


def test_labels_that_do_not_count_are_left_to_chainer() -> None:
    model, (x, t) = Net(), make_batch()
    t[3] = -1
    found, expected = take_step(model, (x, t)), take_step(model, (x, t), TimerHook())
    assert not found["at once"]
    assert_same(found, expected)


def test_a_multiple_of_the_loss() -> None:
    model = Net()
    one, three = take_step(model, make_batch()), take_step(model, make_batch(), scale=3)
    for name, param in model.namedparams():
        numpy.testing.assert_allclose(three[name], 3 * one[name], rtol=1e-5)
        assert param.grad is not None


def test_gradients_twice() -> None:
    model = Net()
    once = take_step(model, make_batch())
    numpy.random.seed(1)
    loss = model.calc_loss(*make_batch())
    model.cleargrads()
    loss.backward()
    for param in model.params():
        param.grad[...] = 0  # they are whoever's they were given to
    loss.backward()
    for name, param in model.namedparams():
        numpy.testing.assert_allclose(param.grad, once[name], rtol=1e-5, atol=1e-7)


def test_gradients_of_a_step_stay_as_they_are() -> None:
    model = Net()
    take_step(model, make_batch())
    kept = [(param.grad, param.grad.copy()) for param in model.params()]
    x, t = make_batch()
    take_step(model, (2 * x, t))
    for array, before in kept:
        numpy.testing.assert_array_equal(array, before)


@pytest.mark.parametrize("duplicate", [copy.deepcopy, lambda a: pickle.loads(pickle.dumps(a))])
def test_copies_use_their_own_memory(duplicate: Any) -> None:
    model = Net()
    optimizer = Adam().setup(model)
    for _ in range(2):
        optimizer.update(model.calc_loss, *make_batch())
    before = {name: param.array.copy() for name, param in model.namedparams()}
    if duplicate is copy.deepcopy:
        other, its_optimizer = duplicate((model, optimizer))
    else:  # what an optimizer's hyperparameters are made of can't be pickled
        other = duplicate(model)
        its_optimizer = Adam().setup(other)
    for _ in range(3):
        its_optimizer.update(other.calc_loss, *make_batch())
    for name, param in model.namedparams():
        numpy.testing.assert_array_equal(param.array, before[name])
    for name, param in other.namedparams():
        assert (param.array != before[name]).any()


@pytest.mark.parametrize("name", ["W", "log_sigma2", "b"])
def test_parameters_that_moved_are_found_again(name: str) -> None:
    model = Net()
    take_step(model, make_batch())
    param = getattr(model.l1, name)
    old, param.array = param.array, param.array + 0.5
    old[...] = 77  # which nobody is to read any more
    assert_same(take_step(model, make_batch()), take_step(model, make_batch(), TimerHook()))


def test_batches_of_another_size() -> None:
    model, (x, t) = Net(), make_batch()
    take_step(model, (x, t))
    smaller = x[:4].copy(), t[:4].copy()
    assert_same(take_step(model, smaller), take_step(model, smaller, TimerHook()))
