"""Weights that are cut stay cut."""

from typing import Any

import chainer
import numpy
import pytest

import vdprune
from vdprune import VariationalDropoutConvolution2D, VariationalDropoutLinear
from vdprune.errors import ArgumentError
from vdprune.links.compaction import compact, find_alive
from vdprune.links.cutting import cut

LINKS: dict[str, Any] = {
    "linear": lambda **kwargs: VariationalDropoutLinear(5, 4, **kwargs),
    "convolution": lambda **kwargs: VariationalDropoutConvolution2D(5, 4, 3, **kwargs),
}
SHAPES = {"linear": (6, 5), "convolution": (6, 5, 4, 4)}
devices = pytest.mark.parametrize(
    "device_name", ["cpu", pytest.param("gpu", marks=pytest.mark.gpu)]
)


def get_device(name: str, request: pytest.FixtureRequest) -> Any:
    return request.getfixturevalue("gpu") if name == "gpu" else chainer.get_device("@numpy")


def to_numpy(array: Any) -> numpy.ndarray:
    return chainer.get_device("@numpy").send(array)


def train(link: Any, optimizer: Any, x: Any, steps: int) -> None:
    """Minimise something that every weight has a say in, divergence included."""
    target = link.device.send(numpy.random.randn(*link(x).shape).astype(link.W.dtype))
    for _ in range(steps):
        difference = link(x) - target
        loss = chainer.functions.sum(difference * difference) + 0.5 * link.kl_divergence()
        link.cleargrads()
        loss.backward()
        optimizer.update()


@devices
@pytest.mark.parametrize("kind", LINKS)
@pytest.mark.parametrize("mask_variance", [False, True])
@pytest.mark.parametrize("prior", ["log-uniform", "ard"])
def test_cut_weights_stay_zero(
    prior: str, mask_variance: bool, kind: str, device_name: str, request: pytest.FixtureRequest
) -> None:
    device = get_device(device_name, request)
    link = LINKS[kind](mask_variance=mask_variance, prior=prior)
    link.log_sigma2.array[...] = -6
    link.to_device(device)
    x = device.send(numpy.random.randn(*SHAPES[kind]).astype("f"))
    optimizer = vdprune.Adam(alpha=0.1).setup(link)
    train(link, optimizer, x, 3)
    dead = numpy.random.rand(*link.W.shape) < 0.5
    assert to_numpy(link.W.array).all()
    cut(link, dead)
    train(link, optimizer, x, 5)
    for param in (link.W, link.log_sigma2):
        for array in (param.array, *param.update_rule.state.values()):
            array = to_numpy(array)
            assert not array[dead].any()
            assert array[~dead].all()
    assert not to_numpy(link.kept())[dead].any()


@pytest.mark.gpu
def test_state_that_was_loaded_is_cut_on_the_device(gpu: Any) -> None:
    """Chainer loads an optimizer's state to the CPU, where the parameters are on a GPU."""
    link = LINKS["linear"]()
    optimizer = vdprune.Adam(alpha=0.1).setup(link)
    x = numpy.random.randn(6, 5).astype("f")
    train(link, optimizer, x, 1)
    link.to_device(gpu)
    dead = numpy.zeros(link.W.shape, bool)
    dead[0] = True
    cut(link, dead)
    assert not to_numpy(link.W.update_rule.state["m"])[0].any()
    train(link, optimizer, gpu.send(x), 2)
    assert not to_numpy(link.W.array)[0].any()


def test_what_cannot_be_cut_is_refused() -> None:
    link = LINKS["linear"]()
    with pytest.raises(ArgumentError, match=r"dead has shape \(4,\), W has \(4, 5\)"):
        cut(link, numpy.ones(4, bool))
    with pytest.raises(ArgumentError, match="has no weights yet"):
        cut(VariationalDropoutLinear(None, 4), numpy.ones((4, 5), bool))
    with pytest.raises(ArgumentError, match=r"loga_threshold is 8 and log alpha is at most 8"):
        cut(LINKS["linear"](loga_threshold=8), numpy.ones((4, 5), bool))
    link.fix_log_alpha(-8)
    with pytest.raises(ArgumentError, match="is fixed, and decides what is cut"):
        cut(link, numpy.ones((4, 5), bool))


def test_a_compacted_link_is_refused() -> None:
    link = LINKS["linear"]()
    dead = numpy.zeros((4, 5), bool)
    dead[0] = True
    cut(link, dead)
    compact(link, find_alive(link))
    with pytest.raises(ArgumentError, match="VariationalDropoutLinear is compacted"):
        cut(link, dead)
