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
priors = pytest.mark.parametrize("k1", [reference.K1, 0.0], ids=["log-uniform", "ard"])


def weight_moments(
    W: numpy.ndarray,
    log_sigma2: numpy.ndarray,
    threshold: float,
    mask_variance: bool,
    k1: float = reference.K1,
) -> tuple[numpy.ndarray, numpy.ndarray, numpy.ndarray, numpy.ndarray, float]:
    results = [numpy.full_like(W, 77) for _ in range(4)]
    divergence = cpu.weight_moments(W, log_sigma2, threshold, mask_variance, k1, *results)
    return (*results, divergence)


def make_weights(size: int, dtype: str) -> tuple[numpy.ndarray, numpy.ndarray]:
    W = numpy.random.randn(size) * 10.0 ** numpy.random.uniform(-6, 1, size)
    log_sigma2 = numpy.log(W**2) + numpy.random.uniform(-10, 10, size)
    return W.astype(dtype), log_sigma2.astype(dtype)


@dtypes
@masks
@priors
@pytest.mark.parametrize("size", [0, 1, 7, 2048, 2049, 20_000])
def test_moments(size: int, k1: float, mask_variance: bool, dtype: str) -> None:
    W, log_sigma2 = make_weights(size, dtype)
    mean, variance, alpha, slope, divergence = weight_moments(W, log_sigma2, 3.0, mask_variance, k1)
    expected = reference.weight_moments(W, log_sigma2, 3.0, mask_variance, k1)
    log_alpha = expected[2]
    # float32 may see a log alpha on the other side of the threshold, or clipped
    sure = numpy.min([abs(log_alpha - edge) for edge in (-8, 3, 8)], axis=0) > 1e-5
    sure |= abs(log_alpha) == 8
    for mine, theirs in (
        (mean, expected[0]),
        (variance, expected[1]),
        (abs(alpha), numpy.exp(log_alpha)),
        (slope, reference.divergence_slope(log_alpha, k1)),
    ):
        assert mine.dtype == dtype
        numpy.testing.assert_allclose(
            mine[sure], theirs[sure], rtol=3 * TOLERANCE[dtype], atol=TOLERANCE[dtype]
        )
    numpy.testing.assert_array_equal((alpha < 0)[sure], (log_alpha > 3)[sure])
    assert divergence == pytest.approx(expected[3], rel=TOLERANCE[dtype])


@priors
def test_the_float32_kernels_are_exact_to_a_few_roundings(k1: float) -> None:
    log_alpha = numpy.linspace(-7.99, 7.99, 100_001)
    W = numpy.ones(log_alpha.size, "f4")
    log_sigma2 = log_alpha.astype("f4")
    _, _, alpha, slope, divergence = weight_moments(W, log_sigma2, 3.0, False, k1)
    expected = reference.weight_moments(W, log_sigma2, 3.0, False, k1)
    numpy.testing.assert_allclose(abs(alpha), numpy.exp(expected[2]), rtol=1e-6)
    numpy.testing.assert_allclose(slope, reference.divergence_slope(expected[2], k1), rtol=2e-6)
    assert divergence == pytest.approx(expected[3], rel=2e-7)


FLOATS = st.floats(width=32) | st.sampled_from([0.0, -0.0, 2.0**-149, -(2.0**-130), 2.0**127])


@given(stn.arrays("f4", (2, 33), elements=FLOATS), st.booleans())
@settings(deadline=None)
def test_moments_of_any_number(numbers: numpy.ndarray, mask_variance: bool) -> None:
    """What is not finite in NumPy is not finite here; the rest agrees."""
    W, log_sigma2 = numbers
    with numpy.errstate(all="ignore"):
        expected = reference.weight_moments(W, log_sigma2, 3.0, mask_variance)
        mean, variance, alpha, slope, divergence = weight_moments(W, log_sigma2, 3.0, mask_variance)
        log_alpha = expected[2]
        in_range = abs(W) < 1e19  # float32 holds the square
        is_nan = numpy.isnan(log_alpha)
        numpy.testing.assert_allclose(
            numpy.log(abs(alpha))[in_range], log_alpha[in_range], atol=2e-5
        )
        assert (numpy.isnan(alpha) >= is_nan).all()
        assert (numpy.isnan(slope) >= is_nan).all()
        kept = in_range & ~(abs(log_alpha - 3) < 1e-4) & ~is_nan
        numpy.testing.assert_array_equal(mean[kept], expected[0][kept].astype("f4"))
        numpy.testing.assert_allclose(
            variance[kept], expected[1][kept].astype("f4"), rtol=1e-4, atol=1e-37
        )
    if is_nan.any():
        assert numpy.isnan(divergence)
    elif in_range.all():
        assert divergence == pytest.approx(expected[3], rel=1e-4)


@masks
@priors
@pytest.mark.parametrize("part", ["mean", "variance", "divergence"])
def test_gradients(part: str, k1: float, mask_variance: bool) -> None:
    """Against central differences of the reference."""
    W, log_sigma2 = make_weights(400, "f8")
    W += numpy.sign(W) * 0.01
    _, _, alpha, slope, _ = weight_moments(W, log_sigma2, 3.0, mask_variance, k1)
    log_alpha = numpy.log(abs(alpha))
    g_mean, g_variance = numpy.zeros_like(W), numpy.zeros_like(W)
    scale = 0.0
    if part == "divergence":
        scale = 0.7
    else:
        (g_mean if part == "mean" else g_variance)[...] = numpy.random.randn(W.size)
    weighting = {"mean": g_mean.copy(), "variance": g_variance.copy(), "divergence": scale}[part]

    def objective(W: numpy.ndarray, log_sigma2: numpy.ndarray) -> numpy.ndarray:
        results = [
            reference.weight_moments(w, s, 3.0, mask_variance, k1)
            for w, s in zip(W[:, None], log_sigma2[:, None], strict=True)
        ]
        index = ["mean", "variance", "", "divergence"].index(part)
        return weighting * numpy.array([float(numpy.sum(result[index])) for result in results])

    cpu.weight_gradients(W, alpha, slope, mask_variance, scale, g_mean, g_variance)
    step = 1e-6 * abs(W)
    by_W = (objective(W + step, log_sigma2) - objective(W - step, log_sigma2)) / (2 * step)
    by_s = (objective(W, log_sigma2 + 1e-6) - objective(W, log_sigma2 - 1e-6)) / 2e-6
    smooth = numpy.min([abs(log_alpha - edge) for edge in (-8, 3, 8)], axis=0) > 1e-4
    smooth |= abs(abs(log_alpha) - 8) < 1e-12
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
        _, _, alpha, slope, _ = weight_moments(w, s, 3.0, mask_variance)
        cpu.weight_gradients(w, alpha, slope, mask_variance, 0.3, g_mean, g_variance)
        results.append((numpy.log(abs(alpha)), g_mean, g_variance))
    (log_alpha, *expected), (_, *found) = results
    sure = numpy.min([abs(log_alpha - edge) for edge in (-8, 3, 8)], axis=0) > 1e-4
    for mine, theirs in zip(found, expected, strict=True):
        numpy.testing.assert_allclose(mine[sure], theirs[sure], rtol=1e-3, atol=1e-4)


@given(
    y=stn.arrays(
        "f4",
        st.tuples(st.integers(1, 9), st.integers(1, 12)),
        elements=st.floats(-200, 200, width=32),
    ),
    dtype=st.sampled_from(["f4", "f8"]),
)
@settings(deadline=None)
def test_cross_entropy(y: numpy.ndarray, dtype: str) -> None:
    y = y.astype(dtype)
    t = numpy.random.default_rng(0).integers(0, y.shape[1], len(y)).astype("i4")
    gradient = numpy.full_like(y, 77)
    total, right = cpu.cross_entropy(y, t, gradient)
    with numpy.errstate(all="ignore"):
        expected = reference.cross_entropy(y, t)
    if numpy.isfinite(expected[0]):  # the reference's probabilities may underflow
        assert total == pytest.approx(expected[0], rel=TOLERANCE[dtype], abs=TOLERANCE[dtype])
    assert right == expected[1]
    numpy.testing.assert_allclose(gradient, expected[2], atol=TOLERANCE[dtype])


@pytest.mark.parametrize("label", [-1, 3, 2**31 - 1])
def test_cross_entropy_with_a_label_that_is_no_class(label: int) -> None:
    y = numpy.zeros((2, 3), "f4")
    assert cpu.cross_entropy(y, numpy.array([0, label], "i4"), y.copy()) == (0.0, -1)


@pytest.mark.parametrize("value", [numpy.nan, numpy.inf, -numpy.inf])
def test_cross_entropy_of_what_is_not_finite(value: float) -> None:
    y = numpy.zeros((2, 3), "f4")
    y[1] = value
    assert numpy.isnan(cpu.cross_entropy(y, numpy.zeros(2, "i4"), y.copy())[0])


@dtypes
def test_relu_gradient(dtype: str) -> None:
    y = numpy.array([0, 2, -0.0, numpy.nan, 3, 1e-40, 0, numpy.inf], dtype)
    g = numpy.array([5, 7, 1, 2, numpy.nan, 4, numpy.inf, -1], dtype)
    g_x = numpy.empty_like(g)
    cpu.relu_gradient(y, g, g_x)
    with numpy.errstate(invalid="ignore"):
        numpy.testing.assert_array_equal(g_x, g * (y > 0))


@pytest.mark.parametrize("dtype", ["u1", "i8", "f4", "f8"])
def test_scale(dtype: str) -> None:
    x = numpy.random.randint(0, 256, (5, 7)).astype(dtype)
    mean, y = numpy.random.rand(7).astype("f4"), numpy.full((5, 7), 77, "f4")
    cpu.scale(x, 1 / 256, mean, y)
    numpy.testing.assert_allclose(y, x / 256 - mean, atol=1e-6)


@dtypes
def test_adam(dtype: str) -> None:
    arrays = [numpy.random.randn(500).astype(dtype) for _ in range(4)]
    arrays[3] **= 2
    expected = reference.adam(*(array.astype("f8") for array in arrays), (0.9, 0.999), 0.01)
    cpu.adam(*arrays, 0.9, 0.999, 1e-8, 0.01)
    for mine, theirs in zip((arrays[0], arrays[2], arrays[3]), expected, strict=True):
        numpy.testing.assert_allclose(mine, theirs, rtol=TOLERANCE[dtype], atol=1e-6)
