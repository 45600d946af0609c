"""What the GPU does to images and outputs of a convolution, against plain NumPy."""

from typing import Any

import numpy
import pytest
from chainer.utils.conv import col2im_cpu, get_conv_outsize

from tests.kernels import reference
from tests.kernels.cuda.test_activations import places_of
from vdprune import kernels

pytestmark = pytest.mark.gpu

GEOMETRIES = [
    ((1, 1), (0, 0), (1, 1)),
    ((2, 3), (1, 0), (1, 1)),
    ((1, 2), (2, 1), (2, 1)),
]
KSIZE = 3, 2


def out_size(x: numpy.ndarray, geometry: Any) -> tuple[int, ...]:
    sizes = zip(x.shape[2:], KSIZE, *geometry, strict=True)
    return tuple(get_conv_outsize(length, k, s, p, d=d) for length, k, s, p, d in sizes)


@pytest.mark.parametrize("geometry", GEOMETRIES)
def test_unfold(gpu: Any, geometry: Any) -> None:
    x, inputs = numpy.random.randn(2, 4, 8, 7), numpy.array([0, 3], numpy.int32)
    size = out_size(x, geometry)
    columns = kernels.cuda.unfold(
        gpu.xp.asarray(x), gpu.xp.asarray(inputs), KSIZE, geometry, size
    ).get()
    expected = reference.unfold(x[:, inputs], KSIZE, *geometry)
    numpy.testing.assert_array_equal(columns, [expected, expected**2])


@pytest.mark.parametrize("geometry", GEOMETRIES)
def test_fold(gpu: Any, geometry: Any) -> None:
    x = numpy.random.randn(2, 4, 8, 7)
    size, channels = out_size(x, geometry), [1, 2, 3]
    products = numpy.random.randn(2, 3, *KSIZE, 2, *size)
    send = gpu.xp.asarray
    g_x = gpu.xp.empty_like(send(x))
    kernels.cuda.fold(
        send(x), send(products), send(places_of(channels, 4)), KSIZE, geometry, size, g_x
    )
    (sy, sx), (ph, pw), (dy, dx) = geometry
    by_x, by_square = (
        col2im_cpu(part.transpose(3, 0, 1, 2, 4, 5), sy, sx, ph, pw, 8, 7, dy, dx)
        for part in products
    )
    expected = numpy.zeros_like(x)
    expected[:, channels] = by_x + 2 * x[:, channels] * by_square
    numpy.testing.assert_allclose(g_x.get(), expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("given", [False, True])
def test_sample_pixels_is_what_the_cpu_does(gpu: Any, given: bool) -> None:
    images, filters, size, alive, first = 3, 6, (2, 3), [0, 2, 5], 4
    pixels = size[0] * size[1]
    products = numpy.random.rand(2, len(alive), images * pixels)
    products[1, 0, 0] = 0
    b, noise = numpy.random.randn(filters), numpy.random.randn(images, filters, *size)
    send, places = gpu.xp.asarray, places_of(alive, filters)
    y = gpu.xp.empty((images, filters, *size))
    slopes = kernels.cuda.sample_pixels(
        send(products),
        send(places),
        send(b),
        0.3,
        send(noise) if given else None,
        first,
        (5, 6),
        y,
    )
    expected, expected_slopes = numpy.empty((2, images, filters, pixels))
    kernels.convolution.sample(
        *(part.reshape(-1, pixels) for part in products),
        (images, 1),
        places.astype(numpy.intp),
        b,
        first,
        0.3,
        noise.reshape(images, filters, pixels) if given else numpy.empty((0, 0, 0)),
        5,
        6,
        expected,
        expected_slopes,
    )
    tolerance = 1e-13 if given else 2e-6
    numpy.testing.assert_allclose(
        y.get().reshape(expected.shape), expected, rtol=tolerance, atol=tolerance
    )
    found = slopes.get().reshape(len(alive), images, pixels).transpose(1, 0, 2)
    expected_slopes = expected_slopes[:, alive]
    big = abs(expected_slopes).max()
    numpy.testing.assert_allclose(found, expected_slopes, rtol=tolerance, atol=tolerance * big)


def test_part_pixel_gradients(gpu: Any) -> None:
    outputs = numpy.array([1, 2], numpy.int32)
    g, slopes = numpy.random.randn(3, 4, 2, 2), numpy.random.randn(2, 12)
    send = gpu.xp.asarray
    parts = kernels.cuda.part_pixel_gradients(send(g), send(slopes), send(outputs)).get()
    chosen = g[:, outputs].transpose(1, 0, 2, 3).reshape(2, 12)
    numpy.testing.assert_array_equal(parts, [chosen, chosen * slopes])
