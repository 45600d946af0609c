import inspect
from typing import Any

import chainer
import chainer.links as L
import numpy
import pytest

from tests.links.test_variational_dropout_linear import make_sparse
from vdprune import VariationalDropoutConvolution2D

GEOMETRIES = [
    {},
    {"nobias": True},
    {"stride": 2},
    {"stride": (2, 1), "pad": (1, 2)},
    {"dilate": 2},
    {"dilate": (1, 2), "pad": 1},
    {"groups": 2},
]


def test_signature_is_chainers_and_more() -> None:
    ours = list(inspect.signature(VariationalDropoutConvolution2D).parameters.values())
    theirs = list(inspect.signature(L.Convolution2D).parameters.values())
    assert ours[-1].kind == theirs[-1].kind == inspect.Parameter.VAR_KEYWORD
    assert [(p.name, p.default) for p in ours[: len(theirs) - 1]] == [
        (p.name, p.default) for p in theirs[:-1]
    ]
    assert [p.name for p in ours[len(theirs) - 1 : -1]] == [
        "p_threshold",
        "loga_threshold",
        "initial_log_sigma2",
        "mask_variance",
        "prior",
    ]


def test_defaults() -> None:
    link = VariationalDropoutConvolution2D(2, 4, 3)
    assert (link.p_threshold, link.loga_threshold, link.mask_variance) == (0.95, 3.0, True)
    assert (link.log_sigma2.array == -10).all()


@pytest.mark.parametrize("geometry", GEOMETRIES, ids=str)
@pytest.mark.parametrize("ksize", [3, (3, 2)])
@pytest.mark.parametrize("in_channels", [None, 4])
def test_evaluation_is_a_convolution_with_masked_weights(
    geometry: dict[str, Any], ksize: Any, in_channels: int | None
) -> None:
    link = VariationalDropoutConvolution2D(in_channels, 6, ksize, **geometry)
    x = numpy.random.randn(2, 4, 9, 8).astype("f")
    noisy = link(x)
    make_sparse(link)
    plain = L.Convolution2D(4, 6, ksize, initialW=link.W.array * link.kept(), **geometry)
    with chainer.using_config("train", False):
        y = link(x)
    expected = plain(x)
    assert 0 < link.kept().sum() < link.W.size
    assert noisy.shape == expected.shape
    numpy.testing.assert_allclose(y.array, expected.array, rtol=1e-5, atol=1e-5)


def test_in_channels_left_out() -> None:
    link = VariationalDropoutConvolution2D(6, 3)
    link(numpy.zeros((1, 2, 5, 5), "f"))
    assert link.W.shape == link.log_sigma2.shape == (6, 2, 3, 3)


def test_initial_values() -> None:
    link = VariationalDropoutConvolution2D(
        2, 3, 3, initialW=0.5, initial_bias=0.25, initial_log_sigma2=-6, loga_threshold=2
    )
    assert (link.W.array == 0.5).all()
    assert (link.b.array == 0.25).all()
    assert (link.log_sigma2.array == -6).all()
    assert link.loga_threshold == 2


def test_gradients_of_cut_weights() -> None:
    for mask_variance in (False, True):
        link = make_sparse(VariationalDropoutConvolution2D(2, 3, 3, mask_variance=mask_variance))
        link.cleargrads()
        y = link(numpy.random.randn(20, 2, 6, 6).astype("f"))
        y.grad = numpy.random.randn(*y.shape).astype("f")
        y.backward()
        cut = ~link.kept()
        assert link.W.grad[~cut].all()
        assert bool(link.W.grad[cut].any()) is not mask_variance


def test_float64() -> None:
    with chainer.using_config("dtype", numpy.float64):
        link = VariationalDropoutConvolution2D(None, 3, 3)
        y = link(numpy.random.randn(1, 2, 5, 5))
    assert y.dtype == link.log_sigma2.dtype == numpy.float64
