"""Numbers copied from one array into another."""

import numpy
from hypothesis import given, settings
from hypothesis import strategies as st

from vdprune.kernels.rows import copy_rows, fill


@given(rows=st.integers(0, 4), length=st.integers(0, 20), gaps=st.tuples(*[st.integers(0, 5)] * 4))
@settings(deadline=None)
def test_rows_are_copied(rows: int, length: int, gaps: tuple[int, int, int, int]) -> None:
    begin, place, distance, pitch = gaps[0], gaps[1], gaps[2] + length, gaps[3] + length
    source = numpy.arange(begin + rows * distance, dtype="f4")
    out = numpy.full(place + rows * pitch, -1, "f4")
    copy_rows(source, begin, distance, out, place, pitch, rows, length)
    expected = numpy.full(out.shape, -1, "f4")
    for row in range(rows):
        part = source[begin + row * distance :][:length]
        expected[place + row * pitch :][:length] = part
    numpy.testing.assert_array_equal(out, expected)


def test_an_array_is_filled() -> None:
    out = numpy.zeros(9, "f4")
    fill(out, numpy.float32(2.5))
    assert (out == 2.5).all()
