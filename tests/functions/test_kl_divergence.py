import itertools

import numpy
import pytest
import scipy.integrate
import scipy.optimize
import scipy.special
import scipy.stats
from chainer import Variable, gradient_check

from vdprune.errors import ArgumentError
from vdprune.functions import kl_divergence


def exact_kl(log_alpha: float) -> float:
    """KL under the log-uniform prior, by numerical integration, up to the paper's constant.

    -KL = 0.5 * log(alpha) - E[log|1 + sqrt(alpha) * e|] + C; as alpha grows this goes to
    -E[log|e|] + C, which the approximation takes as 0.
    """
    scale = numpy.exp(0.5 * log_alpha)

    def integrand(e: float) -> float:
        return scipy.stats.norm.pdf(e) * numpy.log(abs(1 + scale * e))

    singularity = -1 / scale
    limit = 12.0
    cuts = sorted({-limit, limit, max(-limit, min(limit, singularity))})
    expectation = sum(
        scipy.integrate.quad(integrand, a, b, limit=400)[0] for a, b in itertools.pairwise(cuts)
    )
    log_abs_normal = 0.5 * (numpy.log(2) + scipy.special.digamma(0.5))
    return expectation - 0.5 * log_alpha - log_abs_normal


@pytest.mark.parametrize("log_alpha", [-7.5, -5.0, -3.0, -1.0, 0.0, 1.0, 3.0, 5.0, 7.5])
def test_agrees_with_the_exact_value(log_alpha: float) -> None:
    approximated = float(kl_divergence(numpy.array([log_alpha])).array)
    assert approximated == pytest.approx(exact_kl(log_alpha), abs=0.01)


def test_formula_of_the_paper() -> None:
    x = numpy.linspace(-8, 8, 33)
    sigmoid = 1 / (1 + numpy.exp(-(1.8732 + 1.48695 * x)))
    expected = -(0.63576 * sigmoid - 0.5 * numpy.log1p(numpy.exp(-x)) - 0.63576)
    assert float(kl_divergence(x).array) == pytest.approx(expected.sum(), rel=1e-12)


@pytest.mark.parametrize(("theta", "sigma"), [(0.7, 0.1), (-0.2, 0.3), (0.01, 2.0)])
def test_ard_is_the_smallest_divergence_from_a_normal_prior(theta: float, sigma: float) -> None:
    def divergence(log_gamma: float) -> float:
        """KL(N(theta, sigma^2) || N(0, gamma))."""
        gamma = numpy.exp(log_gamma)
        return 0.5 * (log_gamma - numpy.log(sigma**2) + (sigma**2 + theta**2) / gamma - 1)

    smallest = scipy.optimize.minimize_scalar(divergence, tol=1e-12).fun
    log_alpha = numpy.array([numpy.log(sigma**2 / theta**2)])
    assert float(kl_divergence(log_alpha, "ard").array) == pytest.approx(smallest, rel=1e-6)


def test_formula_of_ard() -> None:
    x = numpy.linspace(-8, 8, 33)
    expected = (0.5 * numpy.log1p(1 / numpy.exp(x))).sum()
    assert float(kl_divergence(x, "ard").array) == pytest.approx(expected, rel=1e-12)


def test_an_unknown_prior_is_refused() -> None:
    with pytest.raises(ArgumentError, match="prior is 'ARD': it must be 'log-uniform' or 'ard'"):
        kl_divergence(numpy.zeros(3), "ARD")


def test_float32_agrees_with_float64() -> None:
    x = numpy.random.uniform(-8, 8, (300, 784))
    y = kl_divergence(x.astype("f"))
    assert y.dtype == numpy.float32
    assert float(y.array) == pytest.approx(float(kl_divergence(x).array), rel=1e-6)


def test_falls_to_zero_as_noise_grows() -> None:
    values = [float(kl_divergence(numpy.array([x])).array) for x in (-8.0, -2.0, 2.0, 8.0)]
    assert values == sorted(values, reverse=True)
    assert values[0] > 4
    assert 0 < values[-1] < 1e-3


@pytest.mark.parametrize("value", [-8.0, -3.0, 0.0, 3.0, 8.0])
@pytest.mark.parametrize("prior", ["log-uniform", "ard"])
def test_gradient(prior: str, value: float) -> None:
    x = numpy.random.uniform(value - 0.5, value + 0.5, (3, 4))
    gradient_check.check_backward(
        lambda x: kl_divergence(x, prior), (x,), numpy.array(0.7), dtype="d", atol=1e-6, rtol=1e-5
    )


def test_gradient_is_not_scaled_by_the_value() -> None:
    """A fault of another implementation: the gradient multiplied by the KL itself."""
    x = Variable(numpy.zeros(1000))
    y = kl_divergence(x)
    y.backward()
    sigmoid = 1 / (1 + numpy.exp(-1.8732))
    expected = -0.63576 * 1.48695 * sigmoid * (1 - sigmoid) - 0.25
    numpy.testing.assert_allclose(x.grad, expected, rtol=1e-10)
