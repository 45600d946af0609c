"""What the GPU does to inputs and pre-activations, against plain NumPy."""

from typing import Any

import numpy
import pytest

from tests.kernels import reference
from vdprune import kernels

pytestmark = pytest.mark.gpu


def places_of(numbers: list[int], count: int) -> numpy.ndarray:
    places = numpy.full(count, -1, numpy.int32)
    places[numbers] = numpy.arange(len(numbers))
    return places


@pytest.mark.parametrize("dtype", ["u1", "f4"])
def test_scale(gpu: Any, dtype: str) -> None:
    x = numpy.random.randint(0, 255, (7, 2, 3)).astype(dtype)
    mean = numpy.random.randn(2, 3).astype("f4")
    y = kernels.cuda.scale(gpu.xp.asarray(x), 1 / 256, gpu.xp.asarray(mean))
    assert y.dtype == numpy.float32
    numpy.testing.assert_allclose(y.get(), x.astype("f4") / 256 - mean, atol=1e-6)


def test_lay_out(gpu: Any) -> None:
    x, inputs = numpy.random.randn(4, 6), numpy.array([1, 2, 5], numpy.int32)
    rows, columns = kernels.cuda.lay_out(gpu.xp.asarray(x), gpu.xp.asarray(inputs))
    chosen = x[:, inputs]
    numpy.testing.assert_array_equal(rows.get(), [chosen, chosen**2])
    numpy.testing.assert_array_equal(columns.get(), [chosen.T, chosen.T**2])


@pytest.mark.parametrize("has_b", [False, True])
@pytest.mark.parametrize("batch", [1, 4, 7])
@pytest.mark.parametrize("noise_scale", [1.0, 0.3])
def test_sample_given_draws(gpu: Any, noise_scale: float, batch: int, has_b: bool) -> None:
    alive = [0, 2, 3]
    mean, variance = numpy.random.randn(3, batch), numpy.random.rand(3, batch)
    variance[1, 0] = 0
    b, given = numpy.random.randn(5), numpy.random.randn(batch, 5)
    send = gpu.xp.asarray
    products = send(numpy.stack([mean, variance]))
    y = kernels.cuda.sample(
        products,
        send(places_of(alive, 5)),
        send(b) if has_b else None,
        noise_scale,
        send(given),
        (1, 2),
    )
    expected = numpy.tile(b if has_b else 0 * b, (batch, 1))
    drawn = noise_scale * given[:, alive] * (variance.T != 0)
    deviation = numpy.sqrt(variance.T + 1e-8)
    expected[:, alive] += mean.T + deviation * drawn
    numpy.testing.assert_allclose(y.get(), expected, rtol=1e-13)
    numpy.testing.assert_allclose(products[1].get(), (0.5 * drawn / deviation).T, rtol=1e-13)
    numpy.testing.assert_array_equal(products[0].get(), mean)


@pytest.mark.parametrize("batch", [1, 6, 9])
def test_sample_draws_what_the_cpu_draws(gpu: Any, batch: int) -> None:
    alive, key = [1, 4, 6], (3_000_000_000, 77)
    products = gpu.xp.asarray(numpy.stack([numpy.zeros((3, batch)), numpy.ones((3, batch))]))
    places = gpu.xp.asarray(places_of(alive, 8))
    y = kernels.cuda.sample(products, places, None, 0.5, None, key).get()
    expected = numpy.zeros((batch, 8))
    expected[:, alive] = 0.5 * reference.normals(batch, alive, key)
    numpy.testing.assert_allclose(y, expected, rtol=2e-6, atol=2e-6)


@pytest.mark.parametrize("wants_rows", [False, True])
@pytest.mark.parametrize(("batch", "width"), [(1, 1), (9, 5), (20, 70)])
def test_part_gradients(gpu: Any, batch: int, width: int, wants_rows: bool) -> None:
    alive = list(range(0, width, 2))
    g, slopes = numpy.random.randn(batch, width), numpy.random.randn(len(alive), batch)
    send = gpu.xp.asarray
    columns, rows, g_b = kernels.cuda.part_gradients(
        send(g), send(slopes), send(places_of(alive, width)), wants_rows
    )
    chosen = g[:, alive]
    parts = numpy.stack([chosen, chosen * slopes.T])
    numpy.testing.assert_array_equal(columns.get(), parts.transpose(0, 2, 1))
    if wants_rows:
        numpy.testing.assert_array_equal(rows.get(), parts)
    numpy.testing.assert_allclose(g_b.get(), g.sum(axis=0), rtol=1e-12, atol=1e-12)


def test_combine(gpu: Any) -> None:
    x, products = numpy.random.randn(4, 6), numpy.random.randn(2, 4, 3)
    send = gpu.xp.asarray
    g_x = kernels.cuda.combine(send(x), send(products), send(places_of([0, 3, 5], 6)))
    expected = numpy.zeros_like(x)
    expected[:, [0, 3, 5]] = products[0] + 2 * x[:, [0, 3, 5]] * products[1]
    numpy.testing.assert_allclose(g_x.get(), expected, rtol=1e-14)
