"""All ways to turn a convolution into products do the same."""

from typing import Any

import numpy
import pytest

from vdprune.functions.convolution_products import (
    SparseProducts,
    UnfoldedProducts,
    WinogradProducts,
    choose_products,
)
from vdprune.functions.geometry import has_outputs

PLAIN = ((1, 1), (1, 1), (1, 1))


def rows_to_images(rows: Any, steps: tuple[int, int], shape: tuple[int, ...]) -> Any:
    images, filters = shape[:2]
    numbers = numpy.arange(filters) * steps[0] + numpy.arange(images)[:, None] * steps[1]
    return rows[numbers].reshape(shape)


def images_to_rows(g: Any, steps: tuple[int, int]) -> Any:
    images, filters = g.shape[:2]
    numbers = numpy.arange(filters) * steps[0] + numpy.arange(images)[:, None] * steps[1]
    rows = numpy.empty((images * filters, g[0, 0].size), g.dtype)
    rows[numbers.ravel()] = g.reshape(images * filters, -1)
    return rows


def go_through(way: Any, x: Any, W: Any, g: Any) -> list[Any]:
    weights, columns, steps = way.weights(W), way.inputs(x), way.steps(len(x))
    y = rows_to_images(way.outputs(weights, columns, len(x)), steps, g.shape)
    laid_out = way.outputs_back(images_to_rows(g, steps), len(x))
    g_W = way.weights_back(way.weights_gradient(laid_out, columns))
    g_x = way.inputs_gradient(weights, laid_out, x, columns)
    columns = way.inputs(x)
    way.square(columns)
    y_of_squares = rows_to_images(way.outputs(weights, columns, len(x)), steps, g.shape)
    return [y, g_W, g_x, y_of_squares]


@pytest.mark.parametrize("size", [(1, 1), (4, 6), (5, 3), (7, 8)])
@pytest.mark.parametrize("pad", [(1, 1), (0, 2), (3, 1)])
@pytest.mark.parametrize("channels", [(1, 1), (2, 3), (9, 17)])
def test_both_ways_are_one(
    size: tuple[int, int], pad: tuple[int, int], channels: tuple[int, int]
) -> None:
    out_size = tuple(max(1, n + 2 * p - 2) for n, p in zip(size, pad, strict=True))
    x_size = tuple(max(1, n - 2 * p + 2) for n, p in zip(out_size, pad, strict=True))
    out_size = tuple(n + 2 * p - 2 for n, p in zip(x_size, pad, strict=True))
    x, W = numpy.random.randn(2, channels[0], *x_size), numpy.random.randn(*channels[::-1], 3, 3)
    g = numpy.random.randn(2, channels[1], *out_size)
    ways = (
        UnfoldedProducts(W.shape, ((1, 1), pad, (1, 1)), 1, out_size),
        WinogradProducts(W.shape, pad, out_size),
    )
    for one, other in zip(*(go_through(way, x, W, g) for way in ways), strict=True):
        numpy.testing.assert_allclose(other, one, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("share", [0.0, 0.1, 1.0])
@pytest.mark.parametrize("dilate", [(1, 1), (2, 3)])
@pytest.mark.parametrize("pad", [(0, 0), (3, 1)])
def test_sparse_products_are_those_of_kept_weights(
    share: float, dilate: tuple[int, int], pad: tuple[int, int]
) -> None:
    random = numpy.random.default_rng(0)
    W, x = random.standard_normal((4, 3, 2, 3)), random.standard_normal((2, 3, 5, 8))
    out_size = 5 + 2 * pad[0] - dilate[0], 8 + 2 * pad[1] - 2 * dilate[1]
    g, kept = random.standard_normal((2, 4, *out_size)), random.random(W.shape) < share
    geometry = (1, 1), pad, dilate
    unfolded = UnfoldedProducts(W.shape, geometry, 1, out_size)
    y, g_W, *others = go_through(unfolded, x, W * kept, g)
    found = go_through(SparseProducts(kept, geometry, out_size), x, W, g)
    for one, other in zip([y, g_W * kept, *others], found, strict=True):
        numpy.testing.assert_allclose(other, one, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize(
    ("shape", "stride", "groups", "kept", "expected"),
    [
        # 36 pixels with padding for 16 outputs: 36 * kept is to be at most 0.6 * 16 * weights
        ((15, 16, 3, 3), (1, 1), 1, 576, SparseProducts),
        ((15, 16, 3, 3), (1, 1), 1, 577, UnfoldedProducts),
        ((16, 16, 3, 3), (1, 1), 1, 307, SparseProducts),
        ((16, 16, 3, 3), (1, 1), 1, 308, WinogradProducts),
        ((15, 16, 3, 3), (1, 2), 1, 0, UnfoldedProducts),
        ((15, 16, 3, 3), (1, 1), 3, 0, UnfoldedProducts),
    ],
    ids=str,
)
def test_choice_for_few_weights(
    shape: Any, stride: tuple[int, int], groups: int, kept: int, expected: type
) -> None:
    mask = (numpy.arange(numpy.prod(shape)) < kept).reshape(shape)
    way = choose_products(shape, (stride, (1, 1), (1, 1)), groups, (4, 4), mask)
    assert type(way) is expected


@pytest.mark.parametrize(
    ("shape", "geometry", "groups", "expected"),
    [
        ((16, 16, 3, 3), PLAIN, 1, WinogradProducts),
        ((16, 16, 3, 3), ((1, 1), (0, 2), (1, 1)), 1, WinogradProducts),
        ((16, 15, 3, 3), PLAIN, 1, UnfoldedProducts),
        ((15, 16, 3, 3), PLAIN, 1, UnfoldedProducts),
        ((16, 16, 3, 2), PLAIN, 1, UnfoldedProducts),
        ((16, 16, 3, 3), PLAIN, 2, UnfoldedProducts),
        ((16, 16, 3, 3), ((1, 2), (1, 1), (1, 1)), 1, UnfoldedProducts),
        ((16, 16, 3, 3), ((1, 1), (1, 1), (2, 1)), 1, UnfoldedProducts),
    ],
    ids=str,
)
def test_choice(shape: Any, geometry: Any, groups: int, expected: type) -> None:
    assert type(choose_products(shape, geometry, groups, (4, 4))) is expected


@pytest.mark.parametrize(
    ("stride", "pad", "dilate", "expected"),
    [
        ((1, 1), (0, 0), (1, 1), True),
        ((3, 3), (0, 0), (1, 1), True),
        ((1, 1), (0, 0), (2, 2), True),
        ((1, 1), (0, 0), (3, 2), False),
        ((1, 1), (0, 0), (2, 3), False),
        ((1, 1), (1, 1), (3, 3), True),
        ((-1, 1), (0, 0), (4, 1), False),
        ((1, -1), (0, 0), (1, 4), False),
        ((0, 1), (0, 0), (1, 1), False),
        ((1, 0), (0, 0), (1, 1), False),
        ((1, 1), (-1, 0), (1, 1), False),
        ((1, 1), (0, -1), (1, 1), False),
        ((1, 1), (0, 0), (0, 1), False),
        ((1, 1), (0, 0), (1, -1), False),
    ],
    ids=str,
)
def test_has_outputs(stride: Any, pad: Any, dilate: Any, expected: bool) -> None:
    x, W = numpy.empty((1, 1, 5, 5)), numpy.empty((1, 1, 3, 3))
    assert has_outputs(x, W, (stride, pad, dilate)) is expected


@pytest.mark.parametrize(
    ("out_size", "tile"),
    [((2, 2), 2), ((3, 3), 4), ((4, 4), 4), ((6, 6), 2), ((7, 7), 4), ((2, 30), 2), ((32, 32), 4)],
)
def test_tiles_are_those_that_take_fewer_multiplications(
    out_size: tuple[int, int], tile: int
) -> None:
    assert WinogradProducts((16, 16, 3, 3), (1, 1), out_size).tile == tile


@pytest.mark.parametrize("value", [numpy.nan, numpy.inf, -numpy.inf])
@pytest.mark.parametrize("place", [(0, 0), (3, 4), (5, 5)])
@pytest.mark.parametrize(("size", "tile"), [(6, 2), (8, 4)])
def test_what_is_not_finite_is_not_lost(
    size: int, tile: int, value: float, place: tuple[int, int]
) -> None:
    """It reaches all outputs that a direct convolution takes it to, and no other tile's or image's."""
    x, W = numpy.random.randn(2, 3, size, size), numpy.random.randn(2, 3, 3, 3)
    x[(0, 1, *place)] = value
    found = []
    winograd = WinogradProducts(W.shape, (1, 1), (size, size))
    assert winograd.tile == tile
    for way in (UnfoldedProducts(W.shape, PLAIN, 1, (size, size)), winograd):
        with numpy.errstate(invalid="ignore"):
            rows = way.outputs(way.weights(W), way.inputs(x), 2)
        found.append(~numpy.isfinite(rows_to_images(rows, way.steps(2), (2, 2, size, size))))
    direct, mine = found
    assert direct.any()
    assert not (direct & ~mine).any()
    shape = 2, 2, size // tile, tile, size // tile, tile
    tiles = direct.reshape(shape).any(axis=(3, 5))
    assert not (mine.reshape(shape).any(axis=(3, 5)) & ~tiles).any()


def test_what_is_rounded_stays_near() -> None:
    """In float32, where it matters most: variances of many channels, some weights of which are large."""
    random = numpy.random.default_rng(0)
    x = random.standard_normal((2, 128, 16, 16)).astype("f4")
    W = numpy.exp(random.uniform(-12, 2, (64, 128, 3, 3))).astype("f4")
    results = []
    for dtype in ("f4", "f8"):
        way = WinogradProducts(W.shape, (1, 1), (16, 16))
        columns = way.inputs(x.astype(dtype))
        way.square(columns)
        results.append(way.outputs(way.weights(W.astype(dtype)), columns, 2))
    numpy.testing.assert_allclose(*results, rtol=2e-5)
