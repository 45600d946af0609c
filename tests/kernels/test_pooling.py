"""Max pooling and its gradient."""

from typing import Any

import numpy
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from tests.kernels import reference
from vdprune.kernels.pooling import max_pool, max_unpool

pairs = st.tuples(st.integers(1, 4), st.integers(1, 4))


@given(
    shape=st.tuples(st.integers(1, 3), st.integers(1, 9), st.integers(1, 9)),
    ksize=pairs,
    stride=pairs,
    pad=st.tuples(st.integers(0, 3), st.integers(0, 3)),
    spoiled=st.booleans(),
    dtype=st.sampled_from(["f4", "f8"]),
)
@settings(deadline=None)
def test_maxima_and_their_gradient(
    shape: Any, ksize: Any, stride: Any, pad: Any, spoiled: bool, dtype: str
) -> None:
    size = [
        (n + 2 * p - k) // s + 1 for n, p, k, s in zip(shape[1:], pad, ksize, stride, strict=True)
    ]
    assume(min(size) > 0)
    check_maxima_and_their_gradient(shape, ksize, stride, pad, size, spoiled, dtype)


@given(
    shape=st.tuples(st.integers(1, 3), st.integers(1, 9), st.integers(1, 9)),
    rows_more=st.integers(-1, 1),
    spoiled=st.booleans(),
    dtype=st.sampled_from(["f4", "f8"]),
)
@settings(deadline=None)
def test_squares_next_to_each_other(shape: Any, rows_more: int, spoiled: bool, dtype: str) -> None:
    """One row less: the last windows reach out of the planes, as Chainer has it by default."""
    planes, height, width = shape
    whole = planes, 2 * height + rows_more, 2 * width
    check_maxima_and_their_gradient(whole, (2, 2), (2, 2), (0, 0), shape[1:], spoiled, dtype)


def check_maxima_and_their_gradient(
    shape: Any, ksize: Any, stride: Any, pad: Any, size: Any, spoiled: bool, dtype: str
) -> None:
    x = numpy.random.default_rng(0).integers(-3, 3, shape).astype(dtype)  # so that some are equal
    if spoiled:
        x.ravel()[::5] = numpy.nan
        x.ravel()[::7] = -numpy.inf
    y, positions = numpy.full((shape[0], *size), 77, dtype), numpy.full((shape[0], *size), 77)
    max_pool(x, ksize, stride, pad, y, positions)
    expected = reference.max_pool(x, ksize, stride, pad, size)
    numpy.testing.assert_array_equal(y, expected[0])
    numpy.testing.assert_array_equal(positions, expected[1])

    # the gradient is the transpose: every maximum's gradient lands where it came from
    g, g_x = numpy.random.default_rng(1).standard_normal(y.shape).astype(dtype), numpy.zeros_like(x)
    max_unpool(g, positions, ksize, stride, pad, g_x)
    expected_g_x = numpy.zeros(shape)
    for p, row, column in numpy.ndindex(*y.shape):
        i, j = divmod(int(positions[p, row, column]), ksize[1])
        place = row * stride[0] - pad[0] + i, column * stride[1] - pad[1] + j
        if 0 <= place[0] < shape[1] and 0 <= place[1] < shape[2]:
            expected_g_x[(p, *place)] += g[p, row, column]
    numpy.testing.assert_allclose(g_x, expected_g_x, rtol=1e-4, atol=1e-5)
