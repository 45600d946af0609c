"""What is done to a convolution's outputs, and to their gradients."""

import numpy
import pytest

from tests.kernels import reference
from vdprune.kernels import convolution

dtypes = pytest.mark.parametrize("dtype", ["f4", "f8"])
orders = pytest.mark.parametrize("is_filters_first", [False, True])


def make_rows(images_first: numpy.ndarray, is_filters_first: bool) -> tuple:
    """Lay out what images, filters and pixels have in rows; tell in which order they are."""
    images, filters, pixels = images_first.shape
    array = images_first.transpose(1, 0, 2) if is_filters_first else images_first
    rows = numpy.ascontiguousarray(array).reshape(-1, pixels)
    return rows, ((images, 1) if is_filters_first else (1, filters))


@dtypes
@orders
@pytest.mark.parametrize("is_given", [False, True])
@pytest.mark.parametrize("noise_scale", [1.0, 0.3])
def test_samples(noise_scale: float, is_given: bool, is_filters_first: bool, dtype: str) -> None:
    images, filters, pixels, first = 3, 6, 7, 4
    alive = numpy.array([1, 2, 5])
    mean = numpy.random.randn(images, 3, pixels).astype(dtype)
    variance = numpy.random.uniform(0, 3, mean.shape).astype(dtype)
    b = numpy.random.randn(filters).astype(dtype)
    places = numpy.array([-1, 0, 1, -1, -1, 2])
    y, slopes = numpy.full((2, images, filters, pixels), numpy.nan, dtype)
    given = numpy.random.randn(*y.shape).astype(dtype) if is_given else y[:0]
    means, steps = make_rows(mean, is_filters_first)
    variances, _ = make_rows(variance, is_filters_first)
    settings = noise_scale, given, 5, 6
    convolution.sample(means, variances, steps, places, b, first, *settings, y, slopes)

    columns = list(range(first * pixels, (first + images) * pixels))
    noise = reference.normals(filters, columns, (5, 6)).reshape(filters, images, pixels)
    noise = given[:, alive] if is_given else noise.transpose(1, 0, 2)[:, alive]
    noise = noise_scale * noise
    deviation = numpy.sqrt(variance + 1e-8)
    expected, expected_slopes = numpy.zeros((2, *y.shape))
    expected[:, alive] = mean + deviation * noise
    expected_slopes[:, alive] = noise / (2 * deviation)
    expected += b[:, None]
    numpy.testing.assert_allclose(y, expected, rtol=1e-5, atol=1e-5)
    numpy.testing.assert_allclose(slopes, expected_slopes, rtol=1e-4, atol=1e-5)


@dtypes
@orders
def test_gradients_taken_apart(is_filters_first: bool, dtype: str) -> None:
    g, slopes = numpy.random.randn(2, 3, 5, 7).astype(dtype)
    filters = numpy.array([0, 3, 4])
    expected_means, steps = make_rows(g[:, filters], is_filters_first)
    expected_variances, _ = make_rows((g * slopes)[:, filters], is_filters_first)
    g_means, g_variances = numpy.full((2, 9, 7), numpy.nan, dtype)
    g_b = numpy.ones(5, dtype)
    convolution.part_gradients(g, slopes, filters, steps, g_means, g_variances, g_b)
    numpy.testing.assert_array_equal(g_means, expected_means)
    numpy.testing.assert_allclose(g_variances, expected_variances, rtol=1e-6)
    numpy.testing.assert_allclose(g_b, 1 + g.sum(axis=(0, 2)), rtol=1e-4, atol=1e-5)


@dtypes
def test_gradients_put_together(dtype: str) -> None:
    x, through_means, through_variances = numpy.random.randn(3, 100).astype(dtype)
    g_x = numpy.empty_like(x)
    convolution.combine(x, through_means, through_variances, g_x)
    expected = through_means + 2 * x * through_variances
    numpy.testing.assert_allclose(g_x, expected, rtol=1e-5, atol=1e-6)
