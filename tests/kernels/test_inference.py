"""Probabilities against NumPy's; whole programs are in tests/runtime."""

import numpy
import pytest

from vdprune.kernels.inference import to_probabilities


@pytest.mark.parametrize("shape", [(0, 3), (1, 1), (1, 10), (300, 7)])
@pytest.mark.parametrize("scale", [0.1, 10, 1e30])
def test_probabilities(shape: tuple[int, int], scale: float) -> None:
    y = (numpy.random.default_rng(0).standard_normal(shape) * scale).astype("f4")
    expected = numpy.exp(y.astype(float) - y.max(axis=1, keepdims=True, initial=-numpy.inf))
    expected /= expected.sum(axis=1, keepdims=True)
    to_probabilities(y)
    numpy.testing.assert_allclose(y, expected, rtol=1e-5, atol=1e-37)


@pytest.mark.parametrize("value", [numpy.nan, numpy.inf])
@pytest.mark.parametrize("place", [0, 2])
def test_what_is_no_number_gives_none(value: float, place: int) -> None:
    y = numpy.zeros((2, 3), "f4")
    y[0, place] = value
    to_probabilities(y)
    assert numpy.isnan(y[0]).any()
    numpy.testing.assert_allclose(y[1], 1 / 3)
