from pathlib import Path
from typing import Any

import chainer
import chainer.functions as F
import numpy
import pytest
from chainer import Link, Parameter, serializers

from vdprune import Adam, threads
from vdprune.archs import build_arch
from vdprune.kernels import order_layout as at


def make_link(dtype: str = "f") -> Link:
    link = Link()
    with link.init_scope():
        link.W = Parameter(numpy.linspace(-1, 1, 60, dtype=dtype).reshape(6, 10))
    return link


def take_steps(optimizer: Any, link: Link, steps: int = 5) -> numpy.ndarray:
    optimizer.setup(link)
    for step in range(steps):
        link.W.grad = numpy.cos(link.W.array * (step + 3)).astype(link.W.dtype)
        optimizer.update()
    return link.W.array


@pytest.mark.parametrize("dtype", ["f4", "f8", "f2"])
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"alpha": 0.1, "beta1": 0.5, "beta2": 0.9, "eps": 1e-4, "eta": 0.7},
        {"weight_decay_rate": 0.1},
        {"amsgrad": True},
        {"adabound": True},
    ],
    ids=str,
)
def test_steps_are_chainers(options: dict[str, Any], dtype: str) -> None:
    if dtype == "f2":
        options = {"eps": 1e-3, **options}
    mine = take_steps(Adam(**options), make_link(dtype))
    theirs = take_steps(chainer.optimizers.Adam(**options), make_link(dtype))
    assert mine.dtype == dtype
    tolerance = {"f4": 1e-6, "f8": 1e-14, "f2": 0}[dtype]
    numpy.testing.assert_allclose(mine, theirs, rtol=tolerance, atol=tolerance)


@pytest.mark.usefixtures("two_threads")
def test_threads_have_parts_of_parameters(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(threads, "_LEAST_WORK", 1000)

    def make_net() -> Link:
        net = Link()
        with net.init_scope():
            for name, size in (("a", 7), ("b", 5001), ("c", 0), ("d", 1), ("e", 2050)):
                setattr(net, name, Parameter(numpy.linspace(-1, 1, size)))
        return net

    nets = make_net(), make_net()
    optimizers = Adam().setup(nets[0]), chainer.optimizers.Adam().setup(nets[1])
    counts: list[int] = []
    carry_out = threads.Team.carry_out

    def count(team: threads.Team, order: Any, *rest: Any) -> None:
        carry_out(team, order, *rest)
        counts.append(int(order[at.THREADS]))

    monkeypatch.setattr(threads.Team, "carry_out", count)
    for step in range(3):
        for net, optimizer in zip(nets, optimizers, strict=True):
            for param in net.params():
                param.grad = numpy.cos(param.array * (step + 3))
            with threads.limited_threads(2):
                optimizer.update()
    assert counts == [2, 2, 2]
    for mine, theirs in zip(nets[0].params(), nets[1].params(), strict=True):
        numpy.testing.assert_allclose(mine.array, theirs.array, rtol=1e-14)


@pytest.mark.usefixtures("two_threads")
def test_threads_that_made_gradients_have_them(monkeypatch: pytest.MonkeyPatch) -> None:
    counts: list[int] = []
    carry_out = threads.Team.carry_out

    def count(team: threads.Team, order: Any, numbers: Any, like: Any, count: int) -> None:
        counts.append(count)
        carry_out(team, order, numbers, like, count)

    model = build_arch("lenet300", input_shape=(1, 8, 8), classes=3, theta_std=0.1)
    model.to_variational_dropout()
    model.num_train = 100
    optimizer = Adam().setup(model)
    x, t = numpy.random.default_rng(0).random((9, 1, 8, 8), "f4"), numpy.zeros(9, "i4")
    monkeypatch.setattr(threads.Team, "carry_out", count)
    with threads.limited_threads(2):
        for least_work, expected in ((10**9, 1), (10_000_000, 1), (4_000_000, 2), (10**9, 1)):
            monkeypatch.setattr(threads, "_LEAST_WORK", least_work)
            counts.clear()
            optimizer.update(model.calc_loss, x, t)
            assert counts == [expected, expected]


def test_the_kernel_does_them(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(rule: Any, param: Parameter) -> None:
        raise AssertionError("Chainer's own rule was called")

    monkeypatch.setattr(chainer.optimizers.adam.AdamRule, "update_core_cpu", refuse)
    take_steps(Adam(), make_link())


def test_arrays_that_are_not_contiguous_are_left_to_chainer() -> None:
    link = make_link()
    link.W.array = numpy.asfortranarray(link.W.array)
    expected = take_steps(chainer.optimizers.Adam(), make_link())
    numpy.testing.assert_allclose(take_steps(Adam(), link), expected, rtol=1e-6, atol=1e-6)


def test_parameters_without_a_gradient_stay() -> None:
    link = make_link()
    optimizer = Adam().setup(link)
    link.cleargrads()
    optimizer.update()
    numpy.testing.assert_array_equal(link.W.array, make_link().W.array)


@pytest.mark.parametrize("what", ["data", "m", "gradient"])
def test_arrays_that_others_take_the_place_of(what: str) -> None:
    """Addresses are those of the last step, for arrays that still are there."""
    links = make_link(), make_link()
    optimizers = Adam().setup(links[0]), chainer.optimizers.Adam().setup(links[1])
    for step in range(4):
        for link, optimizer in zip(links, optimizers, strict=True):
            link.W.grad = numpy.cos(link.W.array * (step + 3))
            if what == "data":
                link.W.array = link.W.array.copy()
            elif what == "m" and step:
                state = link.W.update_rule.state
                state["m"] = state["m"] * 0.5
            elif what == "gradient":
                link.W.grad = numpy.ascontiguousarray(link.W.grad[::-1])[::-1]
            optimizer.update()
    numpy.testing.assert_allclose(links[0].W.array, links[1].W.array, rtol=1e-6, atol=1e-6)


def test_saved_state_is_chainers(tmp_path: Path) -> None:
    theirs, link = chainer.optimizers.Adam(), make_link()
    take_steps(theirs, link)
    serializers.save_npz(tmp_path / "state.npz", theirs)
    other = make_link()
    other.W.array[...] = link.W.array
    mine = Adam().setup(other)
    serializers.load_npz(tmp_path / "state.npz", mine)
    for optimizer, target in ((theirs, link), (mine, other)):
        target.W.grad = numpy.sin(target.W.array)
        optimizer.update()
    numpy.testing.assert_allclose(other.W.array, link.W.array, rtol=1e-6, atol=1e-7)


def test_half_precision_with_updates_in_float32() -> None:
    results = []
    for kind in (Adam, chainer.optimizers.Adam):
        link = make_link("f2")
        optimizer = kind(alpha=0.01)
        optimizer.use_fp32_update()
        optimizer.setup(link)
        for _ in range(5):
            link.W.grad = numpy.full(link.W.shape, 1e-3, "f2")
            optimizer.update()
        results.append(link.W.array)
    numpy.testing.assert_array_equal(*results)


def test_dynamic_loss_scaling_with_a_parameter_that_is_not_used() -> None:
    chain = chainer.Chain(used=make_link(), unused=make_link())
    optimizer = Adam().setup(chain)
    optimizer.loss_scaling()
    before = chain.used.W.array.copy()
    optimizer.update(lambda: F.sum(chain.used.W * chain.used.W))
    assert (chain.used.W.array != before).all()


def test_rules_of_other_optimizers_go_on_without_a_gradient() -> None:
    results = []
    for kind in (Adam, chainer.optimizers.Adam):
        link = make_link()
        optimizer = kind().setup(link)
        link.W.update_rule = chainer.optimizers.momentum_sgd.MomentumSGDRule(lr=0.1, momentum=0.9)
        link.W.grad = numpy.ones_like(link.W.array)
        optimizer.update()
        link.cleargrads()
        optimizer.update()
        results.append(link.W.array)
    numpy.testing.assert_array_equal(*results)


def test_an_epsilon_that_float32_does_not_hold_is_left_to_chainer() -> None:
    with pytest.raises((ValueError, AttributeError)):  # Chainer's message has a fault of its own
        take_steps(Adam(eps=1e-60), make_link())
