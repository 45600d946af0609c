import sys
from typing import Any

import chainer.functions as F
import numpy
import pytest
from chainer import Variable, gradient_check

from vdprune.errors import ArgumentError
from vdprune.functions import kl_divergence, log_alpha, variational_dropout_linear
from vdprune.functions.variational_dropout_linear import VariationalDropoutLinearFunction


@pytest.fixture(params=["fused", "composed"], autouse=True)
def path(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Both ways through the function: the fused one, and the one of arrays that it does not take."""
    module = sys.modules[VariationalDropoutLinearFunction.__module__]
    if request.param == "composed":
        monkeypatch.setattr(module, "choose_fused", lambda *arrays: None)
    else:
        monkeypatch.setattr(module, "local_reparameterisation", None)
    return request.param


def make_inputs(log_alphas: tuple[float, float]) -> dict[str, Any]:
    W = numpy.random.uniform(0.3, 1, (4, 5)) * numpy.sign(numpy.random.randn(4, 5))
    return {
        "x": numpy.random.randn(3, 5),
        "W": W,
        "log_sigma2": numpy.log(W**2) + numpy.random.uniform(*log_alphas, (4, 5)),
        "b": numpy.random.randn(4),
        "noise": numpy.random.randn(3, 4),
    }


OPTIONS: list[dict[str, Any]] = [{}, {"prior": "ard"}, {"noise_scale": 0.3}]
options = pytest.mark.parametrize("options", OPTIONS, ids=str)


@options
@pytest.mark.parametrize("mask_variance", [False, True])
def test_value(mask_variance: bool, options: dict[str, Any]) -> None:
    a = make_inputs((-4, 7))
    y, divergence = variational_dropout_linear(
        a["x"],
        a["W"],
        a["log_sigma2"],
        a["b"],
        mask_variance=mask_variance,
        noise=a["noise"],
        **options,
    )
    noise = a["noise"] * options.get("noise_scale", 1)
    kept = a["log_sigma2"] - numpy.log(a["W"] ** 2 + 1e-8) <= 3
    sigma2 = numpy.exp(a["log_sigma2"]) * (kept if mask_variance else 1)
    mean = a["x"] @ (a["W"] * kept).T + a["b"]
    variance = a["x"] ** 2 @ sigma2.T
    numpy.testing.assert_allclose(y.array, mean + noise * numpy.sqrt(variance), rtol=1e-6)
    prior = options.get("prior", "log-uniform")
    expected = kl_divergence(log_alpha(a["W"], a["log_sigma2"]), prior).array
    numpy.testing.assert_allclose(divergence.array, expected)


@pytest.mark.parametrize("mask_variance", [False, True])
@pytest.mark.parametrize(
    "log_alphas",
    [(-4, 2.9), (3.1, 7.9), (-12, -8.5), (8.5, 12)],
    ids=["kept", "cut", "clipped low", "clipped high"],
)
@pytest.mark.parametrize("nobias", [False, True])
@options
def test_gradient_of_the_parameters(
    log_alphas: tuple[float, float], mask_variance: bool, nobias: bool, options: dict[str, Any]
) -> None:
    a = make_inputs(log_alphas)

    def function(x: Any, W: Any, log_sigma2: Any, *b: Any) -> Any:
        return variational_dropout_linear(
            x, W, log_sigma2, *b, mask_variance=mask_variance, noise=a["noise"], **options
        )

    inputs = (a["x"], a["W"], a["log_sigma2"], *(() if nobias else (a["b"],)))
    gradient_check.check_backward(
        function,
        inputs,
        (numpy.random.randn(3, 4), numpy.array(numpy.random.randn())),
        dtype="d",
        atol=1e-5,
        rtol=1e-4,
    )


@pytest.mark.parametrize("output", [0, 1])
def test_gradient_of_one_of_the_two_results(output: int) -> None:
    a = make_inputs((-4, 7))
    gradient_check.check_backward(
        lambda x, W, log_sigma2: (
            variational_dropout_linear(x, W, log_sigma2, noise=a["noise"])[output]
            + 0 * (F.sum(x) + F.sum(W))
        ),
        (a["x"], a["W"], a["log_sigma2"]),
        [numpy.random.randn(3, 4), numpy.array(numpy.random.randn())][output],
        dtype="d",
        atol=1e-5,
        rtol=1e-4,
    )


def test_several_batch_axes() -> None:
    a = make_inputs((-4, 4))
    x = numpy.random.randn(2, 3, 5)
    noise = numpy.random.randn(2, 3, 4)
    parameters = a["W"], a["log_sigma2"], a["b"]
    y, _ = variational_dropout_linear(x, *parameters, n_batch_axes=2, noise=noise)
    flat, _ = variational_dropout_linear(x.reshape(6, 5), *parameters, noise=noise.reshape(6, 4))
    numpy.testing.assert_allclose(y.array, flat.array.reshape(2, 3, 4))


def test_distribution_of_the_draws() -> None:
    """Mean and variance over many draws are those of the weights' distribution."""
    a = make_inputs((-3, 5))
    draws = 20_000
    x = numpy.repeat(a["x"][:1], draws, axis=0)
    y = variational_dropout_linear(x, a["W"], a["log_sigma2"], a["b"])[0].array
    kept = log_alpha(a["W"], a["log_sigma2"]).array <= 3
    mean = a["x"][0] @ (a["W"] * kept).T + a["b"]
    variance = a["x"][0] ** 2 @ numpy.exp(a["log_sigma2"]).T
    assert abs(y.mean(axis=0) - mean).max() < 4 * numpy.sqrt(variance.max() / draws)
    numpy.testing.assert_allclose(y.var(axis=0), variance, rtol=4 * numpy.sqrt(2 / draws))


def test_bias_is_not_in_the_variance() -> None:
    """A fault of another implementation; with a negative bias it made NaN."""
    a = make_inputs((-4, 4))
    x, W, log_sigma2, noise = a["x"], a["W"], a["log_sigma2"], a["noise"]
    with_bias, _ = variational_dropout_linear(x, W, log_sigma2, a["b"] - 100, noise=noise)
    without, _ = variational_dropout_linear(x, W, log_sigma2, noise=noise)
    numpy.testing.assert_allclose(with_bias.array - without.array, [a["b"] - 100] * 3)


@pytest.mark.parametrize("shape", [(3, 1), (4, 3), (12,)])
def test_noise_of_another_shape_is_refused(shape: tuple[int, ...]) -> None:
    a = make_inputs((-4, 4))
    noise = numpy.random.randn(*shape)
    with pytest.raises(ArgumentError, match="noise has shape"):
        variational_dropout_linear(a["x"], a["W"], a["log_sigma2"], noise=noise)


def test_no_examples() -> None:
    a = make_inputs((-4, 4))
    y, _ = variational_dropout_linear(a["x"][:0], a["W"], a["log_sigma2"], a["b"])
    assert y.shape[:2] == (0, 4)


def test_inputs_that_must_not_be_written_to() -> None:
    a = make_inputs((-4, 4))
    a["x"].flags.writeable = False
    W = Variable(a["W"])
    y, _ = variational_dropout_linear(a["x"], W, a["log_sigma2"])
    F.sum(y).backward()
    assert numpy.isfinite(W.grad).all()


def test_without_noise() -> None:
    a = make_inputs((-4, 2))
    x = Variable(a["x"])
    y, _ = variational_dropout_linear(x, a["W"], a["log_sigma2"], a["b"], noise_scale=0.0)
    numpy.testing.assert_allclose(y.array, a["x"] @ a["W"].T + a["b"], rtol=1e-12)
    F.sum(y).backward()
    numpy.testing.assert_allclose(x.grad, numpy.tile(a["W"].sum(axis=0), (3, 1)), rtol=1e-12)


def test_drawn_noise_is_scaled() -> None:
    a = make_inputs((-4, 2))
    arrays = a["x"], a["W"], a["log_sigma2"]
    mean = a["x"] @ a["W"].T
    drawn = []
    for noise_scale in (1.0, 0.3):
        numpy.random.seed(1)
        drawn.append(variational_dropout_linear(*arrays, noise_scale=noise_scale)[0].array - mean)
    numpy.testing.assert_allclose(drawn[1], 0.3 * drawn[0], rtol=1e-6)


def test_an_unknown_prior_is_refused() -> None:
    a = make_inputs((-4, 2))
    with pytest.raises(ArgumentError, match="prior is 'normal': it must be 'log-uniform' or 'ard'"):
        variational_dropout_linear(a["x"], a["W"], a["log_sigma2"], prior="normal")
