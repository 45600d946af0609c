"""A linear layer's passes, forward and back, against plain NumPy in float64."""

from typing import Any

import numpy
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.kernels import reference
from vdprune.kernels import linear, products


def make_layer(shape: tuple[int, int, int], dtype: str) -> dict[str, Any]:
    rows, inputs, outputs = shape
    random = numpy.random.default_rng(0)
    W = random.standard_normal((outputs, inputs))
    arrays = {
        "x": random.standard_normal((rows, inputs + 2)),
        "W": W,
        "log_sigma2": numpy.log(W**2) + random.uniform(-10, 10, W.shape),
        "b": random.standard_normal(outputs),
        "g": random.standard_normal((rows, outputs + 2)),
    }
    chosen = numpy.sort(random.permutation(inputs + 2)[:inputs])
    return {"inputs": chosen, **{name: array.astype(dtype) for name, array in arrays.items()}}


def draw(a: dict[str, Any], numbers: numpy.ndarray, width: int, **settings: Any) -> Any:
    """Run the pass forward for the outputs with these numbers, of so many.

    Returns:
        KL divergence, outputs, alpha and slope, slopes by the variance.
    """
    given = {"mask_variance": False, "k1": reference.K1, "noise_scale": 1.0, **settings}
    moments = numpy.full_like(a["W"], 77), numpy.full_like(a["W"], 77)
    y = numpy.full((len(a["x"]), width), 77, a["x"].dtype)
    slopes = numpy.empty((len(numbers), len(a["x"])), y.dtype)
    divergence = linear.forward(
        *products.lay_out_turned(a["x"], a["inputs"]),
        a["W"],
        a["log_sigma2"],
        a["b"],
        3.0,
        given["mask_variance"],
        given["k1"],
        *moments,
        numbers,
        given["noise_scale"],
        numpy.empty((0, 0), y.dtype),
        1,
        2,
        y,
        slopes,
    )
    return divergence, y, moments, slopes


def run(a: dict[str, Any], numbers: numpy.ndarray, wants_x: bool, **settings: Any) -> Any:
    """Run both passes for the outputs with these numbers."""
    divergence, y, moments, slopes = draw(a, numbers, a["g"].shape[1], **settings)
    g_W, g_log_sigma2 = numpy.full_like(a["W"], 77), numpy.full_like(a["W"], 77)
    g_x = numpy.full((len(a["x"]), a["W"].shape[1]), 77, y.dtype)
    linear.backward(
        a["g"],
        a["x"],
        a["inputs"],
        a["W"],
        settings["mask_variance"],
        *moments,
        numbers,
        slopes,
        0.3,
        wants_x,
        g_W,
        g_log_sigma2,
        g_x,
    )
    return divergence, y, moments, g_W, g_log_sigma2, g_x


@given(
    shape=st.tuples(st.integers(1, 9), st.integers(1, 40), st.integers(1, 9)),
    mask_variance=st.booleans(),
    wants_x=st.booleans(),
    dtype=st.sampled_from(["f4", "f8"]),
    k1=st.sampled_from([reference.K1, 0.0]),
    noise_scale=st.sampled_from([1.0, 0.3, 0.0]),
)
@settings(deadline=None)
def test_both_passes(
    shape: Any, mask_variance: bool, wants_x: bool, dtype: str, k1: float, noise_scale: float
) -> None:
    a = make_layer(shape, dtype)
    numbers = numpy.random.default_rng(1).permutation(shape[2] + 2)[: shape[2]].astype("u4")
    divergence, y, moments, g_W, g_log_sigma2, g_x = run(
        a, numbers, wants_x, mask_variance=mask_variance, k1=k1, noise_scale=noise_scale
    )

    mean, variance, _, expected_divergence = reference.weight_moments(
        a["W"], a["log_sigma2"], 3.0, mask_variance, k1
    )
    x = a["x"][:, a["inputs"]].astype("f8")
    noise = noise_scale * reference.normals(len(x), numbers.tolist(), (1, 2))
    deviation = numpy.sqrt(x**2 @ variance.T + 1e-8)
    close = {"rtol": 1e-4, "atol": 1e-3}  # noise is float32
    assert divergence == pytest.approx(expected_divergence, rel=close["rtol"])
    numpy.testing.assert_allclose(y[:, numbers], x @ mean.T + a["b"] + deviation * noise, **close)
    untouched = numpy.setdiff1d(numpy.arange(shape[2] + 2), numbers)
    assert (y[:, untouched] == 77).all()

    g = a["g"][:, numbers].astype("f8")
    g_variance = g * noise / (2 * deviation)
    expected_g_mean, expected_g_variance = g.T @ x, g_variance.T @ x**2
    if dtype == "f8":  # the passes over weights have tests of their own
        from vdprune.kernels import cpu

        flat = [array.reshape(-1) for array in (a["W"], *moments)]
        cpu.weight_gradients(
            *flat, mask_variance, 0.3, expected_g_mean.reshape(-1), expected_g_variance.reshape(-1)
        )
        numpy.testing.assert_allclose(g_W, expected_g_mean, **close)
        numpy.testing.assert_allclose(g_log_sigma2, expected_g_variance, **close)
    if wants_x:
        numpy.testing.assert_allclose(g_x, g @ mean + 2 * x * (g_variance @ variance), **close)
    else:
        assert (g_x == 77).all()


@pytest.mark.parametrize("parts", [2, 3])
def test_parts_of_the_outputs_give_what_the_whole_gives(parts: int) -> None:
    a = make_layer((7, 5, 9), "f8")
    whole = draw(a, numpy.arange(9, dtype="u4"), 9)[1]
    for rows in numpy.array_split(numpy.arange(9), parts):
        part = {**a, **{name: a[name][rows] for name in ("W", "log_sigma2", "b")}}
        y = draw(part, rows.astype("u4"), 9)[1]
        numpy.testing.assert_array_equal(y[:, rows], whole[:, rows])


def test_more_outputs_than_are_gone_through_at_a_time() -> None:
    a = make_layer((3, 3000, 20), "f8")
    numbers = numpy.arange(20, dtype="u4")
    divergence, y, _, g_W, g_log_sigma2, g_x = run(a, numbers, True, mask_variance=False)
    found = []
    for j in range(20):
        part = {**a, **{name: a[name][j : j + 1] for name in ("W", "log_sigma2", "b")}}
        one = run(part, numbers[j : j + 1], True, mask_variance=False)
        numpy.testing.assert_allclose(one[3][0], g_W[j], rtol=1e-9)
        numpy.testing.assert_allclose(one[4][0], g_log_sigma2[j], rtol=1e-9)
        numpy.testing.assert_allclose(one[1][:, j], y[:, j], rtol=1e-9)
        found.append(one)
    assert divergence == pytest.approx(sum(one[0] for one in found))
    numpy.testing.assert_allclose(sum(one[5] for one in found), g_x, rtol=1e-6, atol=1e-9)
