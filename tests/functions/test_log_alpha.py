import numpy
import pytest
from chainer import Variable, gradient_check
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from vdprune.errors import ArgumentError
from vdprune.functions import is_kept, log_alpha


def make_inputs(log_alpha_values: list[float]) -> tuple[numpy.ndarray, numpy.ndarray]:
    """Weights and variances with the given log alpha, before clipping."""
    W = (
        numpy.random.uniform(0.2, 2, len(log_alpha_values))
        * [1, -1, 1, -1][: len(log_alpha_values)]
    )
    return W, numpy.array(log_alpha_values) + numpy.log(W**2 + 1e-8)


@pytest.mark.parametrize("dtype", ["f4", "f8"])
def test_values(dtype: str) -> None:
    W, log_sigma2 = make_inputs([-11.0, -2.5, 0.5, 12.0])
    y = log_alpha(W.astype(dtype), log_sigma2.astype(dtype))
    assert y.dtype == dtype
    numpy.testing.assert_allclose(y.array, [-8, -2.5, 0.5, 8], rtol=1e-5)


def test_zero_weight_is_finite() -> None:
    y = log_alpha(numpy.zeros(1, "f"), numpy.full(1, -20, "f"))
    assert y.array[0] == pytest.approx(-20 - numpy.log(1e-8), rel=1e-5)


@given(
    hnp.arrays("f8", 7, elements=st.floats(-1e3, 1e3)),
    hnp.arrays("f8", 7, elements=st.floats(-50, 50)),
)
def test_is_clipped_for_any_input(W: numpy.ndarray, log_sigma2: numpy.ndarray) -> None:
    expected = numpy.clip(log_sigma2 - numpy.log(W**2 + 1e-8), -8, 8)
    numpy.testing.assert_allclose(log_alpha(W, log_sigma2).array, expected, rtol=1e-12)


@pytest.mark.parametrize("value", [-7.5, -1.0, 2.5, 7.5])
def test_gradient_inside(value: float) -> None:
    W, log_sigma2 = make_inputs([value] * 4)
    gradient_check.check_backward(
        log_alpha, (W, log_sigma2), numpy.random.randn(4), dtype="d", atol=1e-6, rtol=1e-5
    )


@pytest.mark.parametrize("value", [-9.0, 9.0])
def test_gradient_is_zero_where_clipped(value: float) -> None:
    W, log_sigma2 = (Variable(array) for array in make_inputs([value] * 4))
    y = log_alpha(W, log_sigma2)
    y.grad = numpy.ones(4)
    y.backward()
    assert not W.grad.any()
    assert not log_sigma2.grad.any()


def test_different_shapes_are_refused() -> None:
    with pytest.raises(
        ArgumentError, match=r"log_sigma2 has shape \(300, 784\), W has \(300, 785\)"
    ):
        log_alpha(numpy.zeros((300, 785), "f"), numpy.zeros((300, 784), "f"))


def test_second_derivative_is_refused() -> None:
    W, log_sigma2 = (Variable(array) for array in make_inputs([0.0] * 4))
    y = log_alpha(W, log_sigma2)
    y.grad = numpy.ones(4)
    with pytest.raises(ArgumentError, match="LogAlpha can't be differentiated twice"):
        y.backward(enable_double_backprop=True)


def test_kept_is_at_or_below_the_threshold() -> None:
    assert is_kept(numpy.array([2.9, 3.0, 3.1]), 3.0).tolist() == [True, True, False]
