"""Matrix products in tiles, against NumPy's."""

from typing import Any

import numpy
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vdprune.kernels.products import lay_out, lay_out_turned, multiply

dtypes = st.sampled_from(["f4", "f8"])


def choose_columns(random: Any, columns: int, density: float) -> numpy.ndarray:
    """Choose some columns, one at least."""
    chosen = numpy.flatnonzero(random.random(columns) < density)
    return chosen if chosen.size else numpy.zeros(1, numpy.intp)


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
    right = x[:, chosen]
    if is_turned:
        panels, squares = lay_out_turned(x, chosen)
        right = right.T
    else:
        panels, squares = lay_out(x, chosen)
    left = random.standard_normal((rows, len(right))).astype(dtype)
    for factor, expected in ((panels, left @ right), (squares, left @ right**2)):
        for a, row_step, step in ((left, len(right), 1), (numpy.asfortranarray(left), 1, rows)):
            out = numpy.full(expected.size + 2, 77, dtype)
            flat = a.reshape(-1, order="A")
            multiply(flat, row_step, step, rows, factor, right.shape[1], out)
            found = out[:-2].reshape(expected.shape)
            numpy.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4)
            assert out[-2:].tolist() == [77, 77]


@pytest.mark.parametrize("value", [numpy.nan, numpy.inf, 1e-310])
@pytest.mark.parametrize("dtype", ["f4", "f8"])
def test_what_is_not_finite_stays_in_its_row_and_column(value: float, dtype: str) -> None:
    left, right = numpy.ones((9, 5), dtype), numpy.ones((5, 21), dtype)
    left[7, 2], right[3, 20] = value, value
    panels, _ = lay_out(right, numpy.arange(21))
    out = numpy.empty((9, 21), dtype)
    multiply(left.reshape(-1), 5, 1, 9, panels, 21, out.reshape(-1))
    numpy.testing.assert_array_equal(out, left @ right)
