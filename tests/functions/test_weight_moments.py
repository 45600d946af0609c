import numpy
import pytest
from chainer import gradient_check

from vdprune.functions import weight_moments


def make_inputs() -> tuple[numpy.ndarray, numpy.ndarray]:
    """Weights with a log alpha well below 3, well above it, and at both clips."""
    W = numpy.random.randn(3, 4)
    log_alpha = numpy.array([[-8, -5, -1, 0], [1, 2.5, 2.9, 3.1], [3.5, 5, 7, 8]])
    return W, log_alpha


@pytest.mark.parametrize("mask_variance", [False, True])
@pytest.mark.parametrize("dtype", ["f4", "f8"])
def test_values(mask_variance: bool, dtype: str) -> None:
    W, log_alpha = (array.astype(dtype) for array in make_inputs())
    mean, variance = weight_moments(W, log_alpha, 3.0, mask_variance)
    kept = log_alpha <= 3
    assert mean.dtype == variance.dtype == dtype
    numpy.testing.assert_array_equal(mean.array, W * kept)
    expected = numpy.exp(log_alpha) * W**2 * (kept if mask_variance else 1)
    numpy.testing.assert_allclose(variance.array, expected, rtol=1e-5)


@pytest.mark.parametrize("mask_variance", [False, True])
def test_gradient(mask_variance: bool) -> None:
    gradient_check.check_backward(
        lambda W, log_alpha: weight_moments(W, log_alpha, 3.0, mask_variance),
        make_inputs(),
        (numpy.random.randn(3, 4), numpy.random.randn(3, 4)),
        dtype="d",
        atol=1e-5,
        rtol=1e-5,
    )


@pytest.mark.parametrize("output", [0, 1])
def test_gradient_through_one_of_the_two(output: int) -> None:
    gradient_check.check_backward(
        lambda W, log_alpha: weight_moments(W, log_alpha)[output] + 0 * log_alpha,
        make_inputs(),
        numpy.random.randn(3, 4),
        dtype="d",
        atol=1e-5,
        rtol=1e-5,
    )
