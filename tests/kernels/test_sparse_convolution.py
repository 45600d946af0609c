"""Sums of shifted rows, and their gradient."""

import numpy
from hypothesis import given, settings
from hypothesis import strategies as st

from vdprune.kernels.sparse_convolution import correlate, sum_shifted


@given(
    counts=st.lists(st.integers(0, 9), min_size=1, max_size=4),
    length=st.integers(0, 40),
    skip=st.integers(0, 3),
    dtype=st.sampled_from(["f4", "f8"]),
    seed=st.integers(0, 99),
)
@settings(deadline=None)
def test_sums_and_their_gradient(
    counts: list[int], length: int, skip: int, dtype: str, seed: int
) -> None:
    random = numpy.random.default_rng(seed)
    starts = numpy.cumsum([0, *counts])
    rows, shifts = random.integers(0, 3, starts[-1]), random.integers(0, 8, starts[-1])
    weights = random.standard_normal(starts[-1]).astype(dtype)
    sources = random.standard_normal((3, length + 7)).astype(dtype)
    targets = numpy.full((len(counts), length), 77, dtype)
    sum_shifted(weights, starts, rows, shifts, sources, targets)
    parts = numpy.array(
        [sources[row, shift : shift + length] for row, shift in zip(rows, shifts, strict=True)]
    ).reshape(starts[-1], length)
    of = numpy.repeat(numpy.arange(len(counts)), counts)
    expected = numpy.zeros((len(counts), length))
    numpy.add.at(expected, of, weights[:, None].astype("f8") * parts)
    numpy.testing.assert_allclose(targets, expected, rtol=1e-4, atol=1e-5)

    gradients = random.standard_normal((len(counts), skip + length)).astype(dtype)
    found = numpy.full(weights.shape, 77, dtype)
    correlate(gradients, skip, starts, rows, shifts, sources, found)
    expected = (gradients[of, skip:].astype("f8") * parts).sum(axis=1)
    numpy.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)


def test_rows_of_many_blocks() -> None:
    random = numpy.random.default_rng(0)
    sources = random.standard_normal((2, 3000))
    starts, rows, shifts = numpy.array([0, 5]), numpy.array([0, 1, 1, 0, 1]), numpy.arange(5) * 7
    weights, targets = random.standard_normal(5), numpy.empty((1, 2900))
    sum_shifted(weights, starts, rows, shifts, sources, targets)
    parts = numpy.array([sources[r, s : s + 2900] for r, s in zip(rows, shifts, strict=True)])
    numpy.testing.assert_allclose(targets[0], weights @ parts, rtol=1e-10, atol=1e-10)
    found = numpy.empty(5)
    correlate(targets, 0, starts, rows, shifts, sources, found)
    numpy.testing.assert_allclose(found, parts @ targets[0], rtol=1e-10)


def test_what_is_not_finite_stays_where_it_is() -> None:
    sources = numpy.zeros((1, 12))
    sources[0, 5] = numpy.inf
    targets = numpy.empty((1, 10))
    one = numpy.ones(1)
    sum_shifted(one, numpy.array([0, 1]), numpy.array([0]), numpy.array([2]), sources, targets)
    assert numpy.flatnonzero(numpy.isinf(targets[0])).tolist() == [3]
