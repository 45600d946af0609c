"""Training without noise, of weights that a fixed log alpha keeps."""

import copy
from pathlib import Path
from typing import Any

import chainer
import chainer.links as L
import numpy
import pytest
from chainer import Chain, serializers
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as stn

import vdprune
from tests.links.test_cutting import LINKS, SHAPES, devices, get_device, to_numpy, train
from vdprune import VariationalDropoutLinear, kernels, to_cpu_sparse
from vdprune.errors import ArgumentError
from vdprune.links.compaction import compact, expand, find_alive
from vdprune.links.variational_dropout import ForwardPass

PLAIN: dict[str, Any] = {"linear": L.Linear(5, 4), "convolution": L.Convolution2D(5, 4, 3)}
kinds = pytest.mark.parametrize("kind", LINKS)


def make_log_alpha(link: Any) -> numpy.ndarray:
    """About half of it above the threshold."""
    return numpy.random.uniform(-9, 15, link.W.shape)


@kinds
def test_with_nothing_cut_it_is_the_plain_layer(kind: str) -> None:
    plain, link = copy.deepcopy(PLAIN[kind]), LINKS[kind]()
    link.W.array[...], link.b.array[...] = plain.W.array, plain.b.array
    link.fix_log_alpha(-8.0)
    assert link.kept().all()
    assert link.noiseless_W() is link.W
    x = numpy.random.randn(*SHAPES[kind]).astype("f")
    for layer in (plain, link):
        optimizer = vdprune.Adam(alpha=0.1).setup(layer)
        for step in range(3):
            layer.cleargrads()
            y = layer(x)
            y.grad = numpy.cos(numpy.arange(y.size, dtype="f") + step).reshape(y.shape)
            y.backward()
            optimizer.update()
    numpy.testing.assert_array_equal(link.W.array, plain.W.array)
    numpy.testing.assert_array_equal(link.b.array, plain.b.array)


@devices
@kinds
def test_cut_weights_stay_zero_and_others_are_trained(
    kind: str, device_name: str, request: pytest.FixtureRequest
) -> None:
    device = get_device(device_name, request)
    link = LINKS[kind]()
    link.to_device(device)
    optimizer = vdprune.Adam(alpha=0.1).setup(link)
    x = device.send(numpy.random.randn(*SHAPES[kind]).astype("f"))
    train(link, optimizer, x, 2)
    for _ in range(2):  # the second time among those that the first one left, and others
        values = make_log_alpha(link)
        kept = values <= 3
        link.fix_log_alpha(values)
        before = to_numpy(link.W.array).copy()
        log_sigma2 = to_numpy(link.log_sigma2.array).copy()
        train(link, optimizer, x, 4)
        W = to_numpy(link.W.array)
        assert not W[~kept].any()
        assert (before != W)[kept].all()
        assert not to_numpy(link.W.update_rule.state["m"])[~kept].any()
        numpy.testing.assert_array_equal(to_numpy(link.log_sigma2.array), log_sigma2)
        numpy.testing.assert_array_equal(to_numpy(link.kept()), kept)
        numpy.testing.assert_array_equal(to_numpy(link.masked_W().array), W)
        found = to_numpy(link.log_alpha().array)
        assert (found[~kept] == 8).all()
        numpy.testing.assert_allclose(found[kept], numpy.maximum(values, -8)[kept], atol=2e-5)
        with chainer.using_config("train", False):
            evaluated = link(x).array
        numpy.testing.assert_array_equal(to_numpy(link(x).array), to_numpy(evaluated))


@pytest.mark.parametrize("kind", ["linear", "convolution"])
def test_of_few_weights_those_are_multiplied_alone(
    kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    link = LINKS[kind]()
    values = numpy.full(link.W.shape, 9.0, "f")
    values[1, 0] = -9
    link.fix_log_alpha(values)
    x = numpy.random.randn(*SHAPES[kind]).astype("f")
    found = go_through(link, x)
    names = {"linear": "LinearOfFewFunction", "convolution": "SparseProducts"}
    assert names[kind] in found.pop()
    monkeypatch.setattr(type(link), "fixed_kept", lambda self: None)
    expected = go_through(link, x)
    assert names[kind] not in expected.pop()
    for one, other in zip(found, expected, strict=True):
        numpy.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-6)


def go_through(link: Any, x: Any) -> list[Any]:
    """Outputs and gradients of a layer, and who computed them."""
    link.cleargrads()
    inputs = chainer.Variable(x)
    y = link(inputs)
    function = y.creator
    y.grad = numpy.cos(numpy.arange(y.size, dtype="f")).reshape(y.shape)
    y.backward()
    who = type(getattr(function, "way", function)).__name__
    return [y.array, inputs.grad, link.W.grad, link.b.grad, who]


@devices
def test_the_divergence_is_zero(device_name: str, request: pytest.FixtureRequest) -> None:
    device = get_device(device_name, request)
    model = vdprune.VariationalDropoutChain(num_train=10, warm_up=0)
    with model.init_scope():
        model.layer = LINKS["linear"]()
    model.forward = lambda x: model.layer(x)
    model.to_device(device)
    model.layer.fix_log_alpha(make_log_alpha(model.layer))
    x = device.send(numpy.random.randn(6, 5).astype("f"))
    t = device.send(numpy.arange(6, dtype="i4") % 4)
    optimizer = vdprune.Adam().setup(model)
    optimizer.update(model.calc_loss, x, t)
    with ForwardPass([model.layer]):
        model.layer(x)
        divergence = model.layer.kl_divergence()
    assert (divergence.shape, divergence.dtype) == ((), numpy.float32)
    assert float(divergence.array) == 0
    loss = float(model.calc_loss(x, t).array)
    logits = model.layer(x)
    assert loss == pytest.approx(
        float(chainer.functions.softmax_cross_entropy(logits, t).array), rel=1e-6
    )


def test_log_sigma2_is_not_updated_meanwhile() -> None:
    link = LINKS["linear"]()
    vdprune.Adam().setup(link)
    rule = link.log_sigma2.update_rule
    link.fix_log_alpha(-8)
    link.fix_log_alpha(0)
    assert not rule.enabled
    link.release_log_alpha()
    link.release_log_alpha()
    assert rule.enabled
    rule.enabled = False  # by someone else
    link.fix_log_alpha(0)
    link.release_log_alpha()
    assert not rule.enabled


def test_another_optimizer_meanwhile() -> None:
    link = LINKS["linear"]()
    vdprune.Adam().setup(link)
    link.fix_log_alpha(-8)
    vdprune.Adam().setup(link)
    link.fix_log_alpha(-8)
    rule = link.log_sigma2.update_rule
    assert not rule.enabled
    link.release_log_alpha()
    assert rule.enabled


@kinds
def test_after_release_it_trains_with_noise_from_there(kind: str) -> None:
    link = LINKS[kind]()
    optimizer = vdprune.Adam(alpha=0.1).setup(link)
    x = numpy.random.randn(*SHAPES[kind]).astype("f")
    values = make_log_alpha(link)
    link.fix_log_alpha(values)
    train(link, optimizer, x, 2)
    link.release_log_alpha()
    numpy.testing.assert_array_equal(link.kept(), values <= 3)
    kept = link.kept()
    expected = numpy.clip(values, -8, 3)[kept]
    numpy.testing.assert_allclose(link.log_alpha().array[kept], expected, atol=2e-5)
    assert float(link.kl_divergence().array) > 0
    assert (link(x).array != link(x).array).any()
    before = link.log_sigma2.array.copy()
    train(link, optimizer, x, 1)
    assert (link.log_sigma2.array != before).any()
    assert not link.W.array[~kept].any()


NUMBERS = stn.arrays(
    "f8", (2, 4, 5), elements=st.floats(-30, 30) | st.sampled_from([3.0, 2.9999999, -8.0, 0.0])
)


@given(NUMBERS, st.sampled_from([3.0, 2.0, -1.0, 7.9999, -8.0, 8.0]), st.sampled_from("fd"))
@settings(deadline=None, max_examples=50)
def test_a_file_read_back_has_the_same_mask(
    numbers: numpy.ndarray, threshold: float, dtype: str
) -> None:
    """By a link that knows nothing of fixing; for means of any size."""
    values, exponents = numbers
    with chainer.using_config("dtype", numpy.dtype(dtype)):
        link, other = (VariationalDropoutLinear(5, 4, loga_threshold=threshold) for _ in range(2))
    link.fix_log_alpha(values.astype(dtype))
    kept = link.kept()
    numpy.testing.assert_array_equal(kept, numpy.clip(values.astype(dtype), -8, 8) <= threshold)
    link.W.array[kept] = (10 ** (exponents / 10))[kept]
    target: dict[str, Any] = {}
    serializers.DictionarySerializer(target).save(link)
    serializers.NpzDeserializer(target).load(other)
    numpy.testing.assert_array_equal(other.kept(), kept)
    numpy.testing.assert_allclose(other.log_alpha().array, link.log_alpha().array, atol=3e-5)
    if threshold < 8:
        assert (other.log_alpha().array[~kept] == 8).all()


@devices
@pytest.mark.parametrize("dtype", ["f", "d"])
@pytest.mark.parametrize("threshold", [3.0, -0.3, 7.9999, -8.0])
def test_rounding_cuts_nothing(
    threshold: float, dtype: str, device_name: str, request: pytest.FixtureRequest
) -> None:
    """A log alpha at the threshold stays on its side, on the way through log_sigma2 and back."""
    device = get_device(device_name, request)
    with chainer.using_config("dtype", numpy.dtype(dtype)):
        link = VariationalDropoutLinear(50, 40, loga_threshold=threshold)
    link.W.array[...] = numpy.logspace(-9, 9, 2000).reshape(40, 50)
    link.to_device(device)
    link.fix_log_alpha(threshold)
    link.release_log_alpha()
    assert link.kept().all()
    if device.xp is numpy:  # alpha as the kernels for training see it, negative where it is cut
        flat = link.W.array.reshape(-1), link.log_sigma2.array.reshape(-1)
        alpha = numpy.zeros_like(flat[0])
        others = [numpy.empty_like(alpha) for _ in range(3)]
        kernels.cpu.weight_moments(*flat, threshold, False, 0.0, *others[:2], alpha, others[2])
    else:
        alpha = link(device.send(numpy.zeros((1, 50), dtype))).creator.alpha
    assert (alpha > 0).all()


def test_loading_ends_it(tmp_path: Path) -> None:
    link = LINKS["linear"]()
    link.log_sigma2.array[...] = -5
    serializers.save_npz(tmp_path / "link.npz", link)
    other = LINKS["linear"]()
    vdprune.Adam().setup(other)
    other.fix_log_alpha(make_log_alpha(other))
    serializers.load_npz(tmp_path / "link.npz", other)
    assert other.fixed is None
    assert other.log_sigma2.update_rule.enabled
    numpy.testing.assert_array_equal(other.log_sigma2.array, link.log_sigma2.array)
    numpy.testing.assert_array_equal(other.W.array, link.W.array)


@pytest.mark.gpu
def test_moves_between_devices(gpu: Any) -> None:
    link = LINKS["linear"]()
    link.fix_log_alpha(make_log_alpha(link))
    x = numpy.random.randn(6, 5).astype("f")
    expected, log_alpha = link(x).array, link.log_alpha().array
    link.to_device(gpu)
    assert isinstance(link.fixed.log_alpha, gpu.xp.ndarray)
    numpy.testing.assert_allclose(link(gpu.send(x)).array.get(), expected, atol=1e-6)
    link.to_cpu()
    numpy.testing.assert_array_equal(link.log_alpha().array, log_alpha)
    numpy.testing.assert_array_equal(link(x).array, expected)


@pytest.mark.parametrize("mode", ["copy", "share", "init"])
def test_copies_are_fixed_on_their_own(mode: str) -> None:
    chain = Chain(layer=LINKS["linear"]())
    chain.layer.fix_log_alpha(make_log_alpha(chain.layer))
    kept = chain.layer.kept()
    other = chain.copy(mode).layer
    numpy.testing.assert_array_equal(other.kept(), kept)
    chain.layer.fix_log_alpha(-8)
    numpy.testing.assert_array_equal(other.kept(), kept)
    other.release_log_alpha()
    numpy.testing.assert_array_equal(other.kept(), kept)
    assert chain.layer.kept().all()


def test_a_fixed_link_is_not_compacted_and_a_compacted_one_not_fixed() -> None:
    link = LINKS["linear"]()
    values = numpy.full(link.W.shape, -3.0)
    values[:2] = 8
    link.fix_log_alpha(values)
    assert find_alive(link) is None
    link.release_log_alpha()
    alive = find_alive(link)
    assert alive is not None
    compact(link, alive)
    with pytest.raises(ArgumentError, match="VariationalDropoutLinear is compacted"):
        link.fix_log_alpha(-8)
    expand(link)
    link.fix_log_alpha(values)
    with pytest.raises(ArgumentError, match="is fixed, and such a layer is trained whole"):
        compact(link, alive)


def test_becomes_sparse() -> None:
    model = Chain(layer=LINKS["linear"]())
    model.layer.fix_log_alpha(make_log_alpha(model.layer))
    W = model.layer.masked_W().array
    to_cpu_sparse(model)
    numpy.testing.assert_array_equal(model.layer.masked_W(), W)


def test_values_that_do_not_fit_are_refused() -> None:
    link = LINKS["linear"]()
    with pytest.raises(ArgumentError, match=r"log_alpha has shape \(5,\), W has \(4, 5\)"):
        link.fix_log_alpha(numpy.zeros(5))
    with pytest.raises(ArgumentError, match="log_alpha is NaN for some weights"):
        link.fix_log_alpha(numpy.nan)
    for value in (None, [8.0] * 20):
        with pytest.raises(ArgumentError, match="log_alpha is a .*: give an array with one number"):
            link.fix_log_alpha(value)
    with pytest.raises(ArgumentError, match="has no weights yet"):
        VariationalDropoutLinear(None, 4).fix_log_alpha(-8)
    assert link.fixed is None
