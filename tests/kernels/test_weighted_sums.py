"""Weighted sums of parts of an array."""

import numpy
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vdprune.kernels.weighted_sums import weighted_sum


@given(
    weights=st.integers(0, 9),
    length=st.integers(0, 200),
    step=st.integers(1, 3),
    first=st.integers(0, 5),
    dtype=st.sampled_from(["f4", "f8"]),
    places_dtype=st.sampled_from(["i4", "i8"]),
)
@settings(deadline=None)
def test_sums(
    weights: int, length: int, step: int, first: int, dtype: str, places_dtype: str
) -> None:
    random = numpy.random.default_rng(0)
    W = random.standard_normal(weights + 3).astype(dtype)
    places, shift = random.integers(0, 20, weights + 3).astype(places_dtype), 4
    x = random.standard_normal(23 * step + length).astype(dtype)
    out = numpy.full(first + length + 2, 77, dtype)
    start = numpy.dtype(dtype).type(0.5)
    weighted_sum(W, places, 2, 2 + weights, x, shift, step, start, out, first, length)
    expected = numpy.full(length, 0.5)
    for k in range(2, 2 + weights):
        begin = (places[k] + shift) * step
        expected += W[k].astype("f8") * x[begin : begin + length]
    numpy.testing.assert_allclose(out[first : first + length], expected, rtol=1e-4, atol=1e-5)
    assert set(out[:first]) | set(out[first + length :]) <= {77}


@pytest.mark.parametrize("spoiled", [numpy.nan, numpy.inf])
def test_what_is_not_finite_stays_where_it_is(spoiled: float) -> None:
    x = numpy.zeros(110, "f4")
    x[100] = spoiled
    out = numpy.empty(109, "f4")
    one, place = numpy.ones(1, "f4"), numpy.ones(1, "i4")
    weighted_sum(one, place, 0, 1, x, 0, 1, numpy.float32(0), out, 0, out.size)
    assert numpy.flatnonzero(~numpy.isfinite(out)).tolist() == [99]
