"""im2col and col2im."""

from typing import Any

import numpy
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from tests.kernels import reference
from vdprune.kernels.unfolding import fold, unfold

pairs = st.tuples(st.integers(1, 3), st.integers(1, 3))


@given(
    shape=st.tuples(*[st.integers(1, 3)] * 2, *[st.integers(1, 7)] * 2),
    ksize=pairs,
    stride=pairs,
    pad=st.tuples(st.integers(0, 3), st.integers(0, 3)),
    dilate=pairs,
    dtype=st.sampled_from(["f4", "f8"]),
)
@settings(deadline=None)
def test_columns_and_their_gradient(
    shape: Any, ksize: Any, stride: Any, pad: Any, dilate: Any, dtype: str
) -> None:
    assume(
        all(
            n + 2 * p >= (k - 1) * d + 1
            for n, p, k, d in zip(shape[2:], pad, ksize, dilate, strict=True)
        )
    )
    x = numpy.random.default_rng(0).standard_normal(shape).astype(dtype)
    expected = reference.unfold(x, ksize, stride, pad, dilate)
    columns = numpy.full(expected.shape, numpy.nan, dtype)
    unfold(x, stride, pad, dilate, columns)
    numpy.testing.assert_array_equal(columns, expected)

    # fold is unfold's transpose: <unfold(x), g> = <x, fold(g)>
    g = numpy.random.default_rng(1).standard_normal(columns.shape).astype(dtype)
    g_x = numpy.zeros_like(x)
    fold(g, stride, pad, dilate, g_x)
    left, right = (columns * g).sum(dtype="f8"), (x * g_x).sum(dtype="f8")
    assert left == pytest.approx(right, rel=1e-4, abs=1e-4)
