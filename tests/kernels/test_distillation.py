"""The divergence from a teacher against its definition in float64."""

import numpy
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.kernels import reference
from vdprune.kernels.distillation import distil


@given(
    rows=st.integers(1, 5),
    classes=st.integers(1, 12),
    scale=st.sampled_from([0.0, 1.0, 30.0, 1000.0]),
    temperature=st.floats(0.3, 20),
    share=st.floats(0, 1),
    dtype=st.sampled_from(["f4", "f8"]),
)
@settings(deadline=None)
def test_it_is_its_definition(
    rows: int, classes: int, scale: float, temperature: float, share: float, dtype: str
) -> None:
    random = numpy.random.default_rng(0)
    y, teacher, gradient = random.normal(0, 1, (3, rows, classes))
    y, teacher, gradient = (a.astype(dtype) for a in (scale * y, scale * teacher, gradient))
    expected, by_y = reference.distil(y, teacher, temperature)
    mixed = (1 - share) * gradient + share * by_y
    found = distil(y, teacher, temperature, share, gradient)
    close = 2e-4 if dtype == "f4" else 1e-9
    assert found == pytest.approx(expected, rel=close, abs=close * max(1, temperature**2))
    numpy.testing.assert_allclose(gradient, mixed, rtol=close, atol=close * max(1, temperature))


def test_large_logits_leave_no_rounding_in_a_small_divergence() -> None:
    teacher = numpy.random.default_rng(0).integers(-2000, 2000, (50, 10)) / 1024
    y = (teacher + 3000).astype("f4")  # which float32 holds to the last digit
    assert (y - 3000 == teacher).all()
    found = distil(y, teacher.astype("f4"), 3.0, 0.5, numpy.zeros((50, 10), "f4"))
    assert abs(found) < 1e-8


@pytest.mark.parametrize("dtype", ["f4", "f8"])
@pytest.mark.parametrize("scale", [1, 100, 10_000])
def test_with_one_class_there_is_nothing_to_differ_in(scale: float, dtype: str) -> None:
    y, teacher = numpy.random.default_rng(0).normal(0, scale, (2, 50, 1)).astype(dtype)
    for temperature in (0.5, 1.0, 3.0):
        found = distil(y, teacher, temperature, 0.5, numpy.zeros((50, 1), dtype))
        assert abs(found) < 1e-8


@pytest.mark.parametrize("place", [0, 1])
@pytest.mark.parametrize("value", [numpy.nan, numpy.inf, -numpy.inf])
def test_what_is_not_finite_is_not_lost(place: int, value: float) -> None:
    logits = numpy.zeros((2, 3, 4), "f4")
    logits[place, 1] = value
    assert not numpy.isfinite(distil(*logits, 3.0, 0.7, numpy.zeros((3, 4), "f4")))
