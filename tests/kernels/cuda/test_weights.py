"""The GPU's passes over weights, against the CPU's and plain NumPy."""

from typing import Any

import numpy
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as stn

from tests.kernels import reference
from vdprune import kernels

pytestmark = pytest.mark.gpu

masks = pytest.mark.parametrize("mask_variance", [False, True])
priors = pytest.mark.parametrize("k1", [reference.K1, 0.0], ids=["log-uniform", "ard"])


def make_weights(shape: Any) -> tuple[numpy.ndarray, numpy.ndarray]:
    W = numpy.random.randn(*shape) * 10.0 ** numpy.random.uniform(-6, 1, shape)
    return W, numpy.log(W**2) + numpy.random.uniform(-10, 10, shape)


def on_cpu(
    W: numpy.ndarray, log_sigma2: numpy.ndarray, mask_variance: bool, k1: float = reference.K1
) -> list[Any]:
    results = [numpy.empty(W.size, W.dtype) for _ in range(4)]
    flat = W.reshape(-1), log_sigma2.reshape(-1)
    divergence = kernels.cpu.weight_moments(*flat, 3.0, mask_variance, k1, *results)
    return [*(result.reshape(W.shape) for result in results), divergence]


def on_gpu(
    xp: Any,
    W: numpy.ndarray,
    log_sigma2: numpy.ndarray,
    mask_variance: bool,
    k1: float = reference.K1,
) -> list[Any]:
    moments, *rest = kernels.cuda.weight_moments(
        xp.asarray(W), xp.asarray(log_sigma2), 3.0, mask_variance, k1
    )
    return [array.get() for array in (*moments, *rest)]


@masks
@priors
@pytest.mark.parametrize("shape", [(1, 1), (3, 5), (16, 16), (30, 17), (2, 3, 4, 5), (700, 500)])
def test_moments(gpu: Any, shape: tuple[int, ...], k1: float, mask_variance: bool) -> None:
    """Less than a block, one, several, and more than there are at a time."""
    W, log_sigma2 = make_weights(shape)
    expected = on_cpu(W, log_sigma2, mask_variance, k1)
    found = on_gpu(gpu.xp, W, log_sigma2, mask_variance, k1)
    for mine, theirs in zip(found, expected, strict=True):
        numpy.testing.assert_allclose(mine, theirs, rtol=1e-10, atol=1e-300)


def test_the_divergence_is_the_same_number_each_time(gpu: Any) -> None:
    W, log_sigma2 = (array.astype("f4") for array in make_weights((300, 100)))
    found = {float(on_gpu(gpu.xp, W, log_sigma2, False)[4]) for _ in range(5)}
    assert len(found) == 1


def test_moments_in_float32(gpu: Any) -> None:
    W, log_sigma2 = make_weights((100, 70))
    log_alpha = reference.weight_moments(W, log_sigma2, 3.0, False)[2]
    # float32 may see a log alpha on the other side of the threshold, or clipped
    sure = numpy.min([abs(log_alpha - edge) for edge in (-8, 3, 8)], axis=0) > 1e-5
    expected = on_cpu(W, log_sigma2, False)
    found = on_gpu(gpu.xp, W.astype("f4"), log_sigma2.astype("f4"), False)
    for mine, theirs in zip(found[:4], expected[:4], strict=True):
        assert mine.dtype == numpy.float32
        numpy.testing.assert_allclose(mine[sure], theirs[sure], rtol=1e-5, atol=1e-30)
    assert found[4] == pytest.approx(expected[4], rel=1e-6)


FLOATS = st.floats(width=32) | st.sampled_from([0.0, -0.0, 2.0**-149, -(2.0**-130), 2.0**127])


@given(numbers=stn.arrays("f8", (2, 1, 33), elements=FLOATS), mask_variance=st.booleans())
@settings(deadline=None, max_examples=50)
def test_moments_of_any_number(gpu: Any, numbers: numpy.ndarray, mask_variance: bool) -> None:
    with numpy.errstate(all="ignore"):
        expected = on_cpu(*numbers, mask_variance)
        found = on_gpu(gpu.xp, *numbers, mask_variance)
    finite = numpy.isfinite(numbers).all(axis=0)
    for mine, theirs in zip(found[:4], expected[:4], strict=True):
        numpy.testing.assert_allclose(mine[finite], theirs[finite], rtol=1e-10, atol=1e-300)
    assert numpy.isnan(found[4]) == numpy.isnan(expected[4])
    if finite.all():
        assert found[4] == pytest.approx(expected[4], rel=1e-10)


@masks
def test_gradients(gpu: Any, mask_variance: bool) -> None:
    W, log_sigma2 = make_weights((40, 30))
    _, _, alpha, slope, _ = on_cpu(W, log_sigma2, mask_variance)
    g_mean, g_variance = numpy.random.randn(2, *W.shape)
    send = gpu.xp.asarray
    on_device = send(g_mean), send(g_variance)
    kernels.cuda.weight_gradients(
        send(W), send(alpha), send(slope), mask_variance, send(numpy.array(0.7)), *on_device
    )
    flat = (array.reshape(-1) for array in (W, alpha, slope))
    kernels.cpu.weight_gradients(
        *flat, mask_variance, 0.7, g_mean.reshape(-1), g_variance.reshape(-1)
    )
    for mine, theirs in zip(on_device, (g_mean, g_variance), strict=True):
        numpy.testing.assert_allclose(mine.get(), theirs, rtol=1e-12, atol=1e-300)


@pytest.mark.parametrize("count", [1, 3, 16, 17])
def test_adam(gpu: Any, count: int) -> None:
    """Parameters of several shapes; more than one launch takes."""
    shapes = [(3, 4), (5,), (2, 3, 2, 2)] * 6
    parameters = [
        (numpy.random.randn(*s), numpy.random.randn(*s), numpy.random.randn(*s), numpy.ones(s))
        for s in shapes[:count]
    ]
    on_device = [tuple(map(gpu.xp.asarray, arrays)) for arrays in parameters]
    kernels.cuda.adam(on_device, 0.9, 0.999, 1e-8, 0.01)
    for (data, gradient, m, v), found in zip(parameters, on_device, strict=True):
        expected = reference.adam(data, gradient, m, v, (0.9, 0.999), 0.01)
        for mine, theirs in zip((found[0], *found[2:]), expected, strict=True):
            numpy.testing.assert_allclose(mine.get(), theirs, rtol=1e-12)
        numpy.testing.assert_array_equal(found[1].get(), gradient)
