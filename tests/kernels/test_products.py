"""Matrix products in tiles, against NumPy's."""

from typing import Any

import numpy
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vdprune.kernels.constants import PANEL_BYTES
from vdprune.kernels.products import lay_out, lay_out_turned, multiply

dtypes = st.sampled_from(["f4", "f8"])


def choose_columns(random: Any, columns: int, density: float) -> numpy.ndarray:
    """Choose some columns, one at least."""
    chosen = numpy.flatnonzero(random.random(columns) < density)
    return chosen if chosen.size else numpy.zeros(1, numpy.intp)


def make_room(columns: int, length: int, dtype: str) -> Any:
    """Make room for a right factor and its squares, and say where its panels begin."""
    width = PANEL_BYTES // numpy.dtype(dtype).itemsize
    shape = -(-columns // width), length, width
    return numpy.empty(shape, dtype), numpy.empty(shape, dtype), numpy.arange(shape[0]) * width


@given(
    shape=st.tuples(*[st.integers(1, 40)] * 3),
    is_turned=st.booleans(),
    seed=st.integers(0, 99),
    density=st.sampled_from([0.5, 0.95, 1.0]),
    dtype=dtypes,
)
@settings(deadline=None)
def test_products_of_chosen_columns(
    shape: tuple[int, int, int], is_turned: bool, seed: int, density: float, dtype: str
) -> None:
    rows, length, columns = shape
    random = numpy.random.default_rng(seed)
    x = random.standard_normal((length, columns)).astype(dtype)
    chosen = choose_columns(random, columns, density)
    right = x[:, chosen].T if is_turned else x[:, chosen]
    panels, squares, firsts = make_room(right.shape[1], len(right), dtype)
    half = len(panels) // 2
    for part in ((0, half), (half, len(panels))):  # as threads have them
        if is_turned:
            lay_out_turned(x, chosen, *part, panels, squares)
        else:
            lay_out(x, chosen, firsts, *part, panels, squares)
    left = random.standard_normal((rows, len(right))).astype(dtype)
    numbers = numpy.arange(len(right))
    for factor, expected in ((panels, left @ right), (squares, left @ right**2)):
        for a, row_step, steps in (
            (left, len(right), numbers),
            (numpy.asfortranarray(left), 1, numbers * rows),
        ):
            out = numpy.full(expected.size + 2, 77, dtype)
            flat = a.reshape(-1, order="A")
            multiply(flat, row_step, steps, rows, factor, firsts, right.shape[1], out)
            found = out[:-2].reshape(expected.shape)
            numpy.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4)
            assert out[-2:].tolist() == [77, 77]


def test_some_rows_of_the_left_factors_columns() -> None:
    left, right = numpy.arange(18.0).reshape(3, 6), numpy.arange(8.0).reshape(2, 4)
    panels, squares, firsts = make_room(4, 2, "f8")
    lay_out(right, numpy.arange(4), firsts, 0, 1, panels, squares)
    out = numpy.empty((3, 4))
    multiply(left.reshape(-1), 6, numpy.array([1, 4]), 3, panels, firsts, 4, out.reshape(-1))
    numpy.testing.assert_allclose(out, left[:, [1, 4]] @ right)


def test_panels_with_gaps_between_them() -> None:
    random = numpy.random.default_rng(0)
    x, left = random.standard_normal((5, 60)), random.standard_normal((7, 5))
    firsts = numpy.array([3, 20, 55])
    panels, squares = numpy.empty((2, 3, 5, PANEL_BYTES // 8))
    lay_out(x, numpy.arange(60), firsts, 0, 3, panels, squares)
    out = numpy.full((7, 60), 77.0)
    multiply(left.reshape(-1), 5, numpy.arange(5), 7, panels, firsts, 60, out.reshape(-1))
    covered = numpy.zeros(60, bool)
    for first in firsts:
        covered[first : first + panels.shape[2]] = True
    numpy.testing.assert_allclose(out[:, covered], (left @ x)[:, covered])
    assert (out[:, ~covered] == 77).all()


@pytest.mark.parametrize("value", [numpy.nan, numpy.inf, 1e-310])
@pytest.mark.parametrize("dtype", ["f4", "f8"])
def test_what_is_not_finite_stays_in_its_row_and_column(value: float, dtype: str) -> None:
    left, right = numpy.ones((9, 5), dtype), numpy.ones((5, 21), dtype)
    left[7, 2], right[3, 20] = value, value
    panels, squares, firsts = make_room(21, 5, dtype)
    lay_out(right, numpy.arange(21), firsts, 0, len(panels), panels, squares)
    out = numpy.empty((9, 21), dtype)
    multiply(left.reshape(-1), 5, numpy.arange(5), 9, panels, firsts, 21, out.reshape(-1))
    with numpy.errstate(
        invalid="ignore"
    ):  # OpenBLAS for AVX-512 warns of numbers that are none of these
        expected = left @ right
    numpy.testing.assert_array_equal(out, expected)
