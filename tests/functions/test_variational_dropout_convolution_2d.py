import sys
from typing import Any

import chainer.functions as F
import numpy
import pytest
from chainer import gradient_check
from scipy.signal import correlate2d

from vdprune.errors import ArgumentError
from vdprune.functions import (
    convolution_products,
    kl_divergence,
    log_alpha,
    variational_dropout_convolution_2d,
)
from vdprune.functions.variational_dropout_convolution_2d import (
    VariationalDropoutConvolution2DFunction,
)

MODULE = sys.modules[VariationalDropoutConvolution2DFunction.__module__]


@pytest.fixture(
    params=["fused", "fused, image by image", "fused, Winograd", "fused, sparse", "composed"],
    autouse=True,
)
def path(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """All ways through the function: fused, in one block or many, and composed."""
    if request.param == "composed":
        monkeypatch.setattr(MODULE, "choose_fused", lambda *arrays: None)
    else:
        monkeypatch.setattr(MODULE, "local_reparameterisation", None)
    if request.param == "fused, image by image":
        monkeypatch.setattr(convolution_products, "_BLOCK_BYTES", 1)
    if request.param == "fused, Winograd":
        monkeypatch.setattr(convolution_products, "_LEAST_CHANNELS", 1)
    most = 9.0 if request.param == "fused, sparse" else -1.0
    monkeypatch.setattr(convolution_products, "_MOST_SPARSE", (most, most))
    return request.param


GEOMETRIES = [
    {},
    {"pad": (1, 2)},
    {"stride": 2, "pad": 1},
    {"stride": (1, 2), "pad": (2, 0)},
    {"dilate": 2},
    {"groups": 2},
]


def make_inputs(log_alphas: tuple[float, float], groups: int = 1) -> dict[str, Any]:
    shape = (4, 2 // groups, 3, 3)
    W = numpy.random.uniform(0.3, 1, shape) * numpy.sign(numpy.random.randn(*shape))
    return {
        "x": numpy.random.randn(2, 2, 6, 5),
        "W": W,
        "log_sigma2": numpy.log(W**2) + numpy.random.uniform(*log_alphas, shape),
        "b": numpy.random.randn(4),
    }


@pytest.mark.parametrize(("prior", "noise_scale"), [("log-uniform", 1.0), ("ard", 0.3)])
def test_value_against_scipy(prior: str, noise_scale: float) -> None:
    a = make_inputs((-4, 7))
    noise = numpy.random.randn(2, 4, 4, 3)
    y, divergence = variational_dropout_convolution_2d(
        a["x"],
        a["W"],
        a["log_sigma2"],
        a["b"],
        noise=noise,
        prior=prior,
        noise_scale=noise_scale,
    )
    la = log_alpha(a["W"], a["log_sigma2"])
    numpy.testing.assert_allclose(divergence.array, kl_divergence(la, prior).array)
    kept = la.array <= 3
    sigma2 = numpy.exp(a["log_sigma2"]) * kept

    def convolve(x: numpy.ndarray, W: numpy.ndarray) -> numpy.ndarray:
        return numpy.array(
            [
                [sum(correlate2d(c, f, "valid") for c, f in zip(image, filters, strict=True))
                 for filters in W]
                for image in x
            ]
        )  # fmt: skip

    mean = convolve(a["x"], a["W"] * kept) + a["b"][:, None, None]
    expected = mean + noise_scale * noise * numpy.sqrt(convolve(a["x"] ** 2, sigma2) + 1e-8)
    numpy.testing.assert_allclose(y.array, expected, rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("geometry", GEOMETRIES, ids=str)
@pytest.mark.parametrize("mask_variance", [False, True])
@pytest.mark.parametrize(
    ("log_alphas", "options"),
    [
        ((-4, 7.9), {}),
        ((8.5, 12), {}),
        ((-4, 7.9), {"prior": "ard", "noise_scale": 0.3}),
    ],
    ids=["mixed", "clipped", "ARD, less noise"],
)
def test_gradient(
    geometry: dict[str, Any],
    mask_variance: bool,
    log_alphas: tuple[float, float],
    options: dict[str, Any],
) -> None:
    a = make_inputs(log_alphas, geometry.get("groups", 1))
    W, log_sigma2 = a["W"], a["log_sigma2"]
    shape = variational_dropout_convolution_2d(a["x"], W, log_sigma2, a["b"], **geometry)[0].shape
    noise = numpy.random.randn(*shape)

    def function(x: Any, W: Any, log_sigma2: Any, b: Any) -> Any:
        return variational_dropout_convolution_2d(
            x,
            W,
            log_sigma2,
            b,
            **geometry,
            mask_variance=mask_variance,
            noise=noise,
            **options,
        )

    gradient_check.check_backward(
        function,
        (a["x"], W, log_sigma2, a["b"]),
        (numpy.random.randn(*shape), numpy.array(numpy.random.randn())),
        dtype="d",
        atol=1e-5,
        rtol=1e-4,
    )


def test_distribution_of_the_draws() -> None:
    """Mean and variance over many draws are those of the weights' distribution."""
    a = make_inputs((-3, 5))
    draws = 20_000
    x = numpy.repeat(a["x"][:1], draws, axis=0)
    parameters = a["W"], a["log_sigma2"], a["b"]
    y = variational_dropout_convolution_2d(x, *parameters)[0].array
    mean, one_up = (
        variational_dropout_convolution_2d(a["x"][:1], *parameters, noise=noise)[0].array
        for noise in (numpy.zeros((1, 4, 4, 3)), numpy.ones((1, 4, 4, 3)))
    )
    deviation = one_up - mean
    kept = log_alpha(a["W"], a["log_sigma2"]).array <= 3
    corner = (a["x"][0, :, :3, :3] ** 2 * numpy.exp(a["log_sigma2"]) * kept).sum(axis=(1, 2, 3))
    numpy.testing.assert_allclose(deviation[0, :, 0, 0] ** 2, corner, rtol=1e-5)
    assert (abs(y.mean(axis=0) - mean[0]) < 5 * deviation[0] / numpy.sqrt(draws)).all()
    numpy.testing.assert_allclose(y.var(axis=0), deviation[0] ** 2, rtol=5 * numpy.sqrt(2 / draws))


def test_negative_bias_is_no_variance() -> None:
    """A fault of another implementation: the bias in the variance, NaN where it is negative."""
    a = make_inputs((-4, 4))
    y, _ = variational_dropout_convolution_2d(a["x"], a["W"], a["log_sigma2"], a["b"] - 100)
    assert numpy.isfinite(y.array).all()


@pytest.mark.parametrize("shape", [(2, 1, 4, 3), (4, 2, 4, 3)])
def test_noise_of_another_shape_is_refused(shape: tuple[int, ...]) -> None:
    a = make_inputs((-4, 4))
    noise = numpy.random.randn(*shape)
    with pytest.raises(ArgumentError, match="noise has shape"):
        variational_dropout_convolution_2d(a["x"], a["W"], a["log_sigma2"], noise=noise)


def test_no_examples() -> None:
    a = make_inputs((-4, 4))
    y, _ = variational_dropout_convolution_2d(a["x"][:0], a["W"], a["log_sigma2"], a["b"])
    assert y.shape[:2] == (0, 4)


@pytest.mark.parametrize(
    ("ksize", "arguments", "error"),
    [
        (7, {}, AssertionError),
        (7, {"stride": -1}, ValueError),
        (7, {"stride": (-2, 1), "pad": (0, 1)}, ValueError),
        (3, {"stride": (1, 0)}, ZeroDivisionError),
        (3, {"pad": (1, -1)}, ValueError),
        (3, {"dilate": (0, 1)}, ValueError),
        (3, {"dilate": -1}, ValueError),
    ],
    ids=str,
)
def test_chainer_refuses_geometries_that_do_not_fit(
    ksize: int, arguments: dict[str, Any], error: type[Exception]
) -> None:
    x, W = numpy.random.randn(2, 2, 6, 5), numpy.random.randn(4, 2, ksize, ksize)
    with pytest.raises(error) as expected:
        F.convolution_2d(x, W, **arguments)
    with pytest.raises(error) as found:
        variational_dropout_convolution_2d(x, W, W, **arguments)
    assert str(found.value) == str(expected.value)
