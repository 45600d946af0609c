"""The noise, drawn and applied."""

from typing import Any

import numpy
import pytest

from tests.kernels import reference
from vdprune.kernels import noise as kernels

dtypes = pytest.mark.parametrize("dtype", ["f4", "f8"])


def test_philox_is_the_published_one() -> None:
    """The first of the known answers that come with Random123 for philox4x32-10."""
    expected = [0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8]
    assert reference.philox((0, 0), (0, 0)) == expected


def sample(
    mean: numpy.ndarray,
    variance: numpy.ndarray,
    *key: int,
    columns: Any = None,
    noise_scale: float = 1.0,
) -> Any:
    """Return the draws and their slopes, of one-dimensional arrays as of a column."""
    y, slope = (array.copy().reshape(len(array), -1) for array in (mean, variance))
    if columns is None:
        columns = range(y.shape[1])
    new = numpy.empty((0, 0), y.dtype)
    kernels.sample(y, slope, numpy.array(columns, "u4"), noise_scale, new, *key)
    return y.reshape(mean.shape), slope.reshape(mean.shape)


@pytest.mark.parametrize("shape", [(1, 1), (2, 3), (3, 17), (4, 1), (5, 8), (101, 10)])
@pytest.mark.parametrize("key", [(0, 0), (1, 2), (2**32 - 1, 2**31)])
def test_noise_is_philox_through_box_and_muller(
    shape: tuple[int, int], key: tuple[int, int]
) -> None:
    columns = numpy.random.randint(0, 2**32, shape[1], "u4").tolist()
    noise, slope = sample(
        numpy.zeros(shape, "f4"), numpy.full(shape, 4, "f4"), *key, columns=columns
    )
    expected = reference.normals(shape[0], columns, key)
    # float32 has few digits left of a logarithm near 0
    numpy.testing.assert_allclose(noise / 2, expected, rtol=1e-5, atol=5e-6)
    numpy.testing.assert_allclose(slope, expected / 4, rtol=1e-5, atol=5e-6)


@dtypes
@pytest.mark.parametrize("shape", [(1, 1), (2, 3), (101, 10)])
@pytest.mark.parametrize("is_given", [False, True])
def test_what_lies_transposed_gets_the_same(
    shape: tuple[int, int], is_given: bool, dtype: str
) -> None:
    random = numpy.random.default_rng(0)
    mean, variance = random.standard_normal(shape), random.uniform(-0.2, 3, shape)
    given = random.standard_normal(shape if is_given else (0, 0)).astype(dtype)
    columns = random.integers(0, 2**32, shape[1], "u4")
    expected = mean.astype(dtype), variance.astype(dtype)
    found = [numpy.ascontiguousarray(array.T) for array in expected]
    kernels.sample(*expected, columns, 0.7, given, 5, 6)
    kernels.sample_turned(*found, columns, 0.7, numpy.ascontiguousarray(given.T), 5, 6)
    for array, turned in zip(expected, found, strict=True):
        numpy.testing.assert_allclose(turned.T, array, rtol=1e-5, atol=1e-6)


@dtypes
@pytest.mark.parametrize("noise_scale", [1.0, 0.3, 0.0])
def test_samples(noise_scale: float, dtype: str) -> None:
    mean = numpy.random.randn(99, 10).astype(dtype)
    variance = numpy.random.uniform(0, 3, (99, 10)).astype(dtype)
    variance[:5] = 0
    y, slope = sample(mean, variance, 5, 6, noise_scale=noise_scale)
    noise = noise_scale * reference.normals(99, list(range(10)), (5, 6))
    noise[:5] = 0  # where there is no variance, there is no noise
    deviation = numpy.sqrt(variance + 1e-8)
    numpy.testing.assert_allclose(y, mean + deviation * noise, rtol=1e-5, atol=1e-5)
    numpy.testing.assert_allclose(slope, noise / (2 * deviation), rtol=1e-4, atol=1e-5)


@dtypes
def test_samples_with_noise_that_is_given(dtype: str) -> None:
    mean, noise = numpy.random.randn(2, 9, 10).astype(dtype)
    variance = numpy.random.uniform(0, 3, (9, 10)).astype(dtype)
    y, slope = mean.copy(), variance.copy()
    kernels.sample(y, slope, numpy.arange(10, dtype="u4"), 0.7, noise, 5, 6)
    noise *= 0.7
    deviation = numpy.sqrt(variance + 1e-8)
    numpy.testing.assert_allclose(y, mean + deviation * noise, rtol=1e-5, atol=1e-6)
    numpy.testing.assert_allclose(slope, noise / (2 * deviation), rtol=1e-5)


def test_noise_has_the_moments_of_a_normal_and_keys_are_independent() -> None:
    size = 4_000_000
    zeros = numpy.zeros((2000, 2000), "f4")
    streams = [
        sample(zeros, zeros + 1, *key)[0].ravel().astype("f8") for key in ((1, 1), (2, 1), (1, 2))
    ]
    for noise in streams:
        for power, moment, variance in ((1, 0, 1), (2, 1, 2), (3, 0, 15), (4, 3, 96)):
            assert abs((noise**power).mean() - moment) < 5 * numpy.sqrt(variance / size)
        assert abs(noise).max() > 4.5
        for distance in (1, 2000, 500 * 2000):  # neighbours; rows; rows of one counter
            products = noise[distance:] * noise[:-distance]
            assert abs(products.mean()) < 5 / numpy.sqrt(products.size)
    for first, second in ((0, 1), (0, 2), (1, 2)):
        assert abs((streams[first] * streams[second]).mean()) < 5 / numpy.sqrt(size)


@dtypes
def test_not_a_number_stays_one(dtype: str) -> None:
    mean, variance = numpy.array([1, numpy.nan, 1, numpy.inf], dtype), numpy.ones(4, dtype)
    variance[2] = numpy.nan
    y, _ = sample(mean, variance, 1, 2)
    assert numpy.isfinite(y).tolist() == [True, False, False, False]
    assert numpy.isnan(y[[1, 2]]).all()


@dtypes
def test_a_variance_below_0_is_a_0_that_was_rounded(dtype: str) -> None:
    mean, variance = numpy.ones(3, dtype), numpy.array([-1e-6, 0, -1e-9], dtype)
    y, slope = sample(mean, variance, 1, 2)
    assert (y.tolist(), slope.tolist()) == ([1, 1, 1], [0, 0, 0])
