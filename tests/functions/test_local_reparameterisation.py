import numpy
import pytest
from chainer import Variable, gradient_check

from vdprune.errors import ArgumentError
from vdprune.functions import local_reparameterisation


@pytest.mark.parametrize("noise_scale", [1.0, 0.3, 0.0])
def test_value_with_given_noise(noise_scale: float) -> None:
    mean, noise = numpy.random.randn(2, 3, 4)
    variance = numpy.random.rand(3, 4)
    y = local_reparameterisation(mean, variance, noise, noise_scale)
    deviation = numpy.sqrt(variance + 1e-8)
    numpy.testing.assert_allclose(y.array, mean + noise_scale * noise * deviation)


def test_noise_is_standard_normal_and_new_each_time() -> None:
    zero, one = numpy.zeros(100_000, "f"), numpy.ones(100_000, "f")
    first = local_reparameterisation(zero, one).array
    second = local_reparameterisation(zero, one).array
    assert first.dtype == numpy.float32
    assert abs(first.mean()) < 0.02
    assert first.std() == pytest.approx(1, abs=0.01)
    assert abs(numpy.corrcoef(first, second)[0, 1]) < 0.02


def test_noise_follows_the_global_seed() -> None:
    def draw() -> numpy.ndarray:
        numpy.random.seed(3)
        return local_reparameterisation(numpy.zeros(5, "f"), numpy.ones(5, "f")).array

    numpy.testing.assert_array_equal(draw(), draw())


def test_gradient() -> None:
    mean, noise, grad = numpy.random.randn(3, 3, 4)
    gradient_check.check_backward(
        lambda m, v: local_reparameterisation(m, v, noise, 0.3),
        (mean, numpy.random.uniform(0.1, 1, (3, 4))),
        grad,
        dtype="d",
        atol=1e-6,
        rtol=1e-5,
    )


def test_gradient_is_finite_without_variance() -> None:
    mean, variance = Variable(numpy.zeros(3, "f")), Variable(numpy.zeros(3, "f"))
    y = local_reparameterisation(mean, variance, numpy.ones(3, "f"))
    y.grad = numpy.ones(3, "f")
    y.backward()
    assert numpy.isfinite(variance.grad).all()


def test_noise_of_another_shape_is_refused() -> None:
    with pytest.raises(ArgumentError, match=r"noise has shape \(3,\), the pre-activations have"):
        local_reparameterisation(numpy.zeros(4), numpy.ones(4), numpy.zeros(3))
