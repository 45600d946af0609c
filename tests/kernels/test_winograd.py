"""Winograd's bases against convolutions as their definition says."""

import numpy
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.kernels import reference
from vdprune.kernels import winograd

# larger tiles have larger numbers on the way, which are rounded
TOLERANCE = {("f4", 2): 1e-4, ("f4", 4): 1e-3, ("f8", 2): 1e-12, ("f8", 4): 1e-11}


@given(
    sizes=st.tuples(*[st.integers(1, 3)] * 2, st.integers(1, 19), st.integers(1, 19)),
    filters=st.integers(1, 17),
    pad=st.tuples(st.integers(0, 3), st.integers(0, 3)),
    is_squared=st.booleans(),
    tile=st.sampled_from([2, 4]),
    dtype=st.sampled_from(["f4", "f8"]),
)
@settings(deadline=None)
def test_it_is_a_convolution(
    sizes: tuple[int, int, int, int],
    filters: int,
    pad: tuple[int, int],
    is_squared: bool,
    tile: int,
    dtype: str,
) -> None:
    images, channels, height, width = sizes
    out_size = [max(1, n + 2 * p - 2) for n, p in zip((height, width), pad, strict=True)]
    height, width = (n - 2 * p + 2 for n, p in zip(out_size, pad, strict=True))
    if min(height, width) < 1:
        return
    random = numpy.random.default_rng(0)
    x = random.standard_normal((images, channels, height, width)).astype(dtype)
    W = random.standard_normal((filters, channels, 3, 3)).astype(dtype)
    tiles = [-(-n // tile) for n in out_size]
    side, filter_basis = tile + 2, winograd.FILTER_BASES[tile].astype(dtype)

    padded = numpy.zeros((images, *(tile * n + 2 for n in tiles), channels), dtype)
    winograd.channels_last(x, *pad, padded)
    basis = numpy.full((side**2, images, *tiles, channels), numpy.nan, dtype)
    winograd.transform_inputs(padded, is_squared, basis)
    weights = (filter_basis @ W.reshape(-1, 9).T).reshape(side**2, filters, -1)
    products = numpy.einsum("bnijc,bfc->bnijf", basis, weights)
    y = numpy.full((images, *(tile * n for n in tiles), filters), numpy.nan, dtype)
    winograd.transform_outputs(numpy.ascontiguousarray(products), y)
    found = numpy.full((images, filters, *out_size), numpy.nan, dtype)
    winograd.channels_first(y, 0, 0, found)

    columns = reference.unfold(x.astype("f8"), (3, 3), (1, 1), pad, (1, 1))
    columns = columns**2 if is_squared else columns
    expected = numpy.einsum("fcij,cijnhw->nfhw", W.astype("f8"), columns)
    tolerance = TOLERANCE[dtype, tile]
    numpy.testing.assert_allclose(found, expected, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("channels", [1, 8, 11])
@pytest.mark.parametrize("place", [(0, 0), (2, 1)])
def test_channels_last_and_first(channels: int, place: tuple[int, int]) -> None:
    top, left = place
    x = numpy.random.randn(2, channels, 5, 4)
    y = numpy.zeros((2, 8, 9, channels))
    winograd.channels_last(x, top, left, y)
    numpy.testing.assert_array_equal(y[:, top : top + 5, left : left + 4], x.transpose(0, 2, 3, 1))
    assert numpy.count_nonzero(y) == x.size
    back = numpy.empty_like(x)
    winograd.channels_first(y, top, left, back)
    numpy.testing.assert_array_equal(back, x)


def test_images_that_reach_beyond_the_last_tile_are_cut() -> None:
    """Rows that no filter fits over: an image of 5 rows and 3x3 filters without padding has none."""
    y = numpy.zeros((1, 4, 4, 1))
    winograd.channels_last(numpy.ones((1, 1, 6, 7)), 1, 0, y)
    expected = numpy.zeros((4, 4))
    expected[1:] = 1
    numpy.testing.assert_array_equal(y[0, :, :, 0], expected)


@pytest.mark.parametrize("sizes", [(1, 1, 1, 1), (2, 3, 4, 5), (1, 2, 1, 16)])
@pytest.mark.parametrize("tile", [2, 4])
def test_transposes(tile: int, sizes: tuple[int, int, int, int]) -> None:
    """<f(x), g> = <x, f_back(g)>."""
    images, down, across, channels = sizes
    random = numpy.random.default_rng(0)
    x = random.standard_normal((images, tile * down + 2, tile * across + 2, channels))
    basis, g_basis = random.standard_normal((2, (tile + 2) ** 2, images, down, across, channels))
    winograd.transform_inputs(x, False, basis)
    g_x = numpy.full_like(x, numpy.nan)
    winograd.transform_inputs_back(g_basis, g_x)
    assert (basis * g_basis).sum() == pytest.approx((x * g_x).sum())

    y = numpy.full((images, tile * down, tile * across, channels), numpy.nan)
    winograd.transform_outputs(basis, y)
    g = random.standard_normal(y.shape)
    back = numpy.full_like(basis, numpy.nan)
    winograd.transform_outputs_back(g, back)
    assert (y * g).sum() == pytest.approx((basis * back).sum())
