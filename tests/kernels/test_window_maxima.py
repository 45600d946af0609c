"""Largest pixels of windows of two by two."""

import numpy
from hypothesis import given, settings
from hypothesis import strategies as st

from vdprune.kernels.window_maxima import most_of_squares


@given(
    height=st.integers(1, 4),
    width=st.integers(1, 30),
    beyond=st.integers(0, 3),
    first=st.integers(0, 3),
    place=st.integers(0, 3),
    spoiled=st.booleans(),
    dtype=st.sampled_from(["f4", "f8"]),
)
@settings(deadline=None)
def test_maxima(
    height: int, width: int, beyond: int, first: int, place: int, spoiled: bool, dtype: str
) -> None:
    pitch = 2 * width + beyond
    x = numpy.random.default_rng(0).standard_normal(first + 2 * height * pitch).astype(dtype)
    if spoiled:
        x[::5], x[::7] = numpy.nan, -numpy.inf
    out = numpy.full(place + height * width + 2, 77, dtype)
    most_of_squares(x, first, pitch, out, place, height, width)
    rows = x[first:].reshape(2 * height, pitch)[:, : 2 * width]
    expected = rows.reshape(height, 2, width, 2).max(axis=(1, 3))
    found = out[place:-2].reshape(height, width)
    numpy.testing.assert_array_equal(found, expected)
    assert set(out[:place]) | set(out[-2:]) <= {77}
