"""Examples laid out pixel by pixel."""

import numpy
from hypothesis import given, settings
from hypothesis import strategies as st

from vdprune.kernels.turning import turn


@given(
    examples=st.integers(1, 30),
    features=st.integers(1, 40),
    seed=st.integers(0, 99),
    density=st.sampled_from([0.5, 0.95, 1.0]),
    dtype=st.sampled_from(["f4", "u1"]),
)
@settings(deadline=None)
def test_pixels_lie_together(
    examples: int, features: int, seed: int, density: float, dtype: str
) -> None:
    random = numpy.random.default_rng(seed)
    x = random.integers(0, 256, (examples, features)).astype(dtype)
    pixels = numpy.flatnonzero(random.random(features) < density).astype("i4")
    scales, shifts = random.standard_normal((2, pixels.size)).astype("f4")
    out = numpy.full(pixels.size * examples + 2, 77, "f4")
    turn(x, pixels, scales, shifts, out)
    expected = x[:, pixels].T.astype("f4") * scales[:, None] + shifts[:, None]
    numpy.testing.assert_allclose(out[:-2].reshape(expected.shape), expected, rtol=1e-5, atol=1e-4)
    assert out[-2:].tolist() == [77, 77]
