"""A linear layer's passes, forward and back, against plain NumPy in float64."""

from typing import Any

import numpy
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.kernels import reference
from vdprune.kernels import linear


def make_layer(shape: tuple[int, int, int], dtype: str) -> dict[str, Any]:
    rows, inputs, outputs = shape
    random = numpy.random.default_rng(0)
    W = random.standard_normal((outputs, inputs))
    arrays = {
        "x": random.standard_normal((rows, inputs)),
        "W": W,
        "log_sigma2": numpy.log(W**2) + random.uniform(-10, 10, W.shape),
        "b": random.standard_normal(outputs),
        "g": random.standard_normal((rows, outputs + 2)),
    }
    return {name: array.astype(dtype) for name, array in arrays.items()}


def run(
    a: dict[str, Any],
    numbers: numpy.ndarray,
    mask_variance: bool,
    wants_x: bool,
    k1: float = reference.K1,
    noise_scale: float = 1.0,
) -> Any:
    """Run both passes for outputs with these numbers among len(numbers) + 2."""
    rows, dtype = len(a["x"]), a["x"].dtype
    moments = tuple(numpy.full_like(a["W"], 77) for _ in range(4))
    y, slopes = (
        numpy.full((rows, len(numbers) + 2), 77, dtype),
        numpy.empty((rows, len(numbers)), dtype),
    )
    divergence = linear.forward(
        a["x"],
        a["x"] ** 2,
        (a["W"], a["log_sigma2"]),
        a["b"],
        3.0,
        mask_variance,
        k1,
        moments,
        numbers,
        noise_scale,
        numpy.empty((0, 0), dtype),
        1,
        2,
        y,
        slopes,
    )
    g_W, g_log_sigma2, g_x = (numpy.full_like(a[name], 77) for name in ("W", "W", "x"))
    linear.backward(
        a["g"],
        a["x"],
        a["x"] ** 2,
        a["W"],
        mask_variance,
        moments,
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
    shape=st.tuples(*[st.integers(1, 9)] * 3),
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
        a, numbers, mask_variance, wants_x, k1, noise_scale
    )

    mean, variance, _, expected_divergence = reference.weight_moments(
        a["W"], a["log_sigma2"], 3.0, mask_variance, k1
    )
    x = a["x"].astype("f8")
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

        flat = [array.reshape(-1) for array in (a["W"], *moments[2:])]
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
def test_parts_of_the_outputs_give_the_noise_that_the_whole_gives(parts: int) -> None:
    a = make_layer((7, 5, 9), "f8")
    whole = run(a, numpy.arange(9, dtype="u4"), False, True)[1]
    for rows in numpy.array_split(numpy.arange(9), parts):
        part = {**a, **{name: a[name][rows] for name in ("W", "log_sigma2", "b")}}
        part["g"] = part["g"][:, : len(rows) + 2]
        moments = tuple(numpy.empty_like(part["W"]) for _ in range(4))
        y = numpy.empty((7, 11))
        linear.forward(
            a["x"],
            a["x"] ** 2,
            (part["W"], part["log_sigma2"]),
            part["b"],
            3.0,
            False,
            reference.K1,
            moments,
            rows.astype("u4"),
            1.0,
            numpy.empty((0, 0)),
            1,
            2,
            y,
            numpy.empty((7, len(rows))),
        )
        numpy.testing.assert_allclose(y[:, rows], whole[:, rows], rtol=1e-6)  # noise is float32


def test_selected_inputs_and_their_squares() -> None:
    x = numpy.random.randn(4, 6)
    selected, squared = numpy.full((2, 4, 3), 77.0)
    linear.select(x, numpy.array([5, 0, 2]), selected, squared)
    numpy.testing.assert_array_equal(selected, x[:, [5, 0, 2]])
    numpy.testing.assert_array_equal(squared, x[:, [5, 0, 2]] ** 2)
