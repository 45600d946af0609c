"""The compiled passes over weights and pre-activations."""

import numpy
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as stn

from tests.kernels import reference
from vdprune.kernels import cpu

TOLERANCE = {"f4": 1e-5, "f8": 1e-12}
dtypes = pytest.mark.parametrize("dtype", ["f4", "f8"])
masks = pytest.mark.parametrize("mask_variance", [False, True])


def weight_moments(
    W: numpy.ndarray, log_sigma2: numpy.ndarray, threshold: float, mask_variance: bool
) -> tuple[numpy.ndarray, numpy.ndarray, numpy.ndarray, float]:
    mean, variance, log_alpha = (numpy.full_like(W, 77) for _ in range(3))
    divergence = cpu.weight_moments(
        W, log_sigma2, threshold, mask_variance, mean, variance, log_alpha
    )
    return mean, variance, log_alpha, divergence


def make_weights(size: int, dtype: str) -> tuple[numpy.ndarray, numpy.ndarray]:
    W = numpy.random.randn(size) * 10.0 ** numpy.random.uniform(-6, 1, size)
    log_sigma2 = numpy.log(W**2) + numpy.random.uniform(-10, 10, size)
    return W.astype(dtype), log_sigma2.astype(dtype)


@dtypes
@masks
@pytest.mark.parametrize("size", [0, 1, 7, 4096, 4097, 20_000])
def test_moments(size: int, mask_variance: bool, dtype: str) -> None:
    W, log_sigma2 = make_weights(size, dtype)
    found = weight_moments(W, log_sigma2, 3.0, mask_variance)
    expected = reference.weight_moments(W, log_sigma2, 3.0, mask_variance)
    sure = abs(expected[2] - 3) > 1e-5  # float32 may see a log alpha on the other side
    for mine, theirs in zip(found[:3], expected[:3], strict=True):
        assert mine.dtype == dtype
        numpy.testing.assert_allclose(
            mine[sure], theirs[sure], rtol=3 * TOLERANCE[dtype], atol=TOLERANCE[dtype]
        )
    assert found[3] == pytest.approx(expected[3], rel=TOLERANCE[dtype])


FLOATS = st.floats(width=32) | st.sampled_from([0.0, -0.0, 2.0**-149, -(2.0**-130), 2.0**127])


@given(stn.arrays("f4", (2, 33), elements=FLOATS), st.booleans())
@settings(deadline=None)
def test_moments_of_any_number(numbers: numpy.ndarray, mask_variance: bool) -> None:
    """What is not finite in NumPy is not finite here; the rest agrees."""
    W, log_sigma2 = numbers
    with numpy.errstate(all="ignore"):
        mean, variance, log_alpha, divergence = reference.weight_moments(
            W, log_sigma2, 3.0, mask_variance
        )
        found = weight_moments(W, log_sigma2, 3.0, mask_variance)
        in_range = abs(W) < 1e19  # float32 holds the square
        sure = in_range & ~(abs(log_alpha - 3) < 1e-4)
        numpy.testing.assert_allclose(found[2][in_range], log_alpha[in_range], atol=2e-5)
        assert (numpy.isnan(found[2]) >= numpy.isnan(log_alpha)).all()
        kept = sure & ~numpy.isnan(log_alpha)
        numpy.testing.assert_array_equal(found[0][kept], mean[kept].astype("f4"))
        numpy.testing.assert_allclose(
            found[1][kept], variance[kept].astype("f4"), rtol=1e-4, atol=1e-37
        )
    if numpy.isnan(log_alpha).any():
        assert numpy.isnan(found[3])
    elif in_range.all():
        assert found[3] == pytest.approx(divergence, rel=1e-4)


@masks
@pytest.mark.parametrize("part", ["mean", "variance", "divergence"])
def test_gradients(part: str, mask_variance: bool) -> None:
    """Against central differences of the reference."""
    W, log_sigma2 = make_weights(400, "f8")
    W += numpy.sign(W) * 0.01
    _, variance, log_alpha, _ = weight_moments(W, log_sigma2, 3.0, mask_variance)
    g_mean, g_variance = numpy.zeros_like(W), numpy.zeros_like(W)
    scale = 0.0
    if part == "divergence":
        scale = 0.7
    else:
        (g_mean if part == "mean" else g_variance)[...] = numpy.random.randn(W.size)
    weighting = {"mean": g_mean.copy(), "variance": g_variance.copy(), "divergence": scale}[part]

    def objective(W: numpy.ndarray, log_sigma2: numpy.ndarray) -> numpy.ndarray:
        results = [
            reference.weight_moments(w, s, 3.0, mask_variance)
            for w, s in zip(W[:, None], log_sigma2[:, None], strict=True)
        ]
        index = ["mean", "variance", "", "divergence"].index(part)
        return weighting * numpy.array([float(numpy.sum(result[index])) for result in results])

    cpu.weight_gradients(W, log_alpha, variance, 3.0, mask_variance, scale, g_mean, g_variance)
    step = 1e-6 * abs(W)
    by_W = (objective(W + step, log_sigma2) - objective(W - step, log_sigma2)) / (2 * step)
    by_s = (objective(W, log_sigma2 + 1e-6) - objective(W, log_sigma2 - 1e-6)) / 2e-6
    smooth = numpy.min([abs(log_alpha - edge) for edge in (-8, 3, 8)], axis=0) > 1e-4
    smooth |= abs(log_alpha) == 8
    assert smooth.mean() > 0.9
    numpy.testing.assert_allclose(g_mean[smooth], by_W[smooth], rtol=1e-5, atol=1e-5)
    numpy.testing.assert_allclose(g_variance[smooth], by_s[smooth], rtol=1e-5, atol=1e-7)


@masks
def test_gradients_in_float32(mask_variance: bool) -> None:
    W, log_sigma2 = make_weights(5000, "f8")
    given_mean, given_variance = numpy.random.randn(2, 5000)
    results = []
    for dtype in ("f8", "f4"):
        w, s, g_mean, g_variance = (
            array.astype(dtype) for array in (W, log_sigma2, given_mean, given_variance)
        )
        _, variance, log_alpha, _ = weight_moments(w, s, 3.0, mask_variance)
        cpu.weight_gradients(w, log_alpha, variance, 3.0, mask_variance, 0.3, g_mean, g_variance)
        results.append((log_alpha, g_mean, g_variance))
    (log_alpha, *expected), (_, *found) = results
    sure = numpy.min([abs(log_alpha - edge) for edge in (-8, 3, 8)], axis=0) > 1e-4
    for mine, theirs in zip(found, expected, strict=True):
        numpy.testing.assert_allclose(mine[sure], theirs[sure], rtol=1e-3, atol=1e-4)


def test_philox_is_the_published_one() -> None:
    """The first of the known answers that come with Random123 for philox4x32-10."""
    assert reference.philox(0, (0, 0)) == [0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8]


@pytest.mark.parametrize("size", [1, 2, 3, 4, 5, 1001])
@pytest.mark.parametrize("key", [(0, 0), (1, 2), (2**32 - 1, 2**31)])
def test_noise_is_philox_through_box_and_muller(size: int, key: tuple[int, int]) -> None:
    noise, slope = numpy.zeros(size, "f4"), numpy.full(size, 4, "f4")
    cpu.sample(noise, slope, *key)
    expected = reference.normals(size, key)
    numpy.testing.assert_allclose(noise / 2, expected, rtol=1e-5, atol=1e-6)
    numpy.testing.assert_allclose(slope, expected / 4, rtol=1e-5, atol=1e-6)


@dtypes
def test_samples(dtype: str) -> None:
    mean = numpy.random.randn(999).astype(dtype)
    variance = numpy.random.uniform(0, 3, 999).astype(dtype)
    variance[:5] = 0
    y, slope = mean.copy(), variance.copy()
    cpu.sample(y, slope, 5, 6)
    noise = reference.normals(999, (5, 6))
    deviation = numpy.sqrt(variance + 1e-8)
    numpy.testing.assert_allclose(y, mean + deviation * noise, rtol=1e-5, atol=1e-5)
    numpy.testing.assert_allclose(slope, noise / (2 * deviation), rtol=1e-4, atol=1e-5)


def test_noise_has_the_moments_of_a_normal_and_keys_are_independent() -> None:
    size = 4_000_000
    streams = []
    for key in ((1, 1), (2, 1), (1, 2)):
        noise = numpy.zeros(size, "f4")
        cpu.sample(noise, numpy.ones(size, "f4"), *key)
        streams.append(noise.astype("f8"))
    for noise in streams:
        for power, moment, variance in ((1, 0, 1), (2, 1, 2), (3, 0, 15), (4, 3, 96)):
            assert abs((noise**power).mean() - moment) < 5 * numpy.sqrt(variance / size)
        assert abs(noise).max() > 4.5
        assert abs((noise[1:] * noise[:-1]).mean()) < 5 / numpy.sqrt(size)
    for first, second in ((0, 1), (0, 2), (1, 2)):
        assert abs((streams[first] * streams[second]).mean()) < 5 / numpy.sqrt(size)


@dtypes
def test_not_a_number_stays_one(dtype: str) -> None:
    y, slope = numpy.array([1, numpy.nan, 1, numpy.inf], dtype), numpy.ones(4, dtype)
    slope[2] = numpy.nan
    cpu.sample(y, slope, 1, 2)
    assert numpy.isfinite(y).tolist() == [True, False, False, False]
    assert numpy.isnan(y[[1, 2]]).all()


@dtypes
def test_adam(dtype: str) -> None:
    arrays = [numpy.random.randn(500).astype(dtype) for _ in range(4)]
    arrays[3] **= 2
    expected = reference.adam(*(array.astype("f8") for array in arrays), (0.9, 0.999), 0.01)
    cpu.adam(*arrays, 0.9, 0.999, 1e-8, 0.01)
    for mine, theirs in zip((arrays[0], arrays[2], arrays[3]), expected, strict=True):
        numpy.testing.assert_allclose(mine, theirs, rtol=TOLERANCE[dtype], atol=1e-6)
