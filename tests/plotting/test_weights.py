import numpy
import pytest

from vdprune import plotting


def test_log_alpha() -> None:
    layers = [("l1", numpy.array([[-8.0, 0.05, 3.0], [3.05, 8.0, 8.0]])), ("l2", numpy.ones(4))]
    first, second = plotting.draw_log_alpha(layers, 3.0).axes
    heights = [patch.get_height() for patch in first.patches]
    assert sum(heights) == 6
    assert (heights[0], heights[-1]) == (1, 2)
    assert first.get_title("left") == "l1: 3 of 6 weights left"
    assert second.get_title("left") == "l2: 4 of 4 weights left"
    assert list(first.lines[0].get_xdata()) == [3, 3]
    assert first.get_ylim()[0] < 1 < 2 < first.get_ylim()[1]


def drawn(name: str, kept: numpy.ndarray, *args: object) -> tuple[numpy.ndarray, str, int]:
    figure = plotting.draw_mask(name, kept, *args)
    axes = figure.axes[0]
    return numpy.ma.filled(axes.images[0].get_array(), -1), axes.get_title(), len(figure.axes)


def test_mask_of_a_matrix() -> None:
    kept = numpy.random.rand(3, 5) < 0.5
    image, title, panels = drawn("l2", kept)
    numpy.testing.assert_array_equal(image, kept)
    assert title == f"l2: {kept.sum()} of 15 weights left"
    assert panels == 1  # no scale: a weight is there or not


@pytest.mark.parametrize(("shape", "end"), [((3, 5), 4.5), ((3, 2500), 2501.5)])
def test_rows_and_columns_are_numbered(shape: tuple[int, int], end: float) -> None:
    """Those of the network, also where a pixel stands for three of them."""
    axes = plotting.draw_mask("l2", numpy.ones(shape, bool)).axes[0]
    assert tuple(axes.images[0].get_extent()) == (-0.5, end, 2.5, -0.5)
    assert (axes.get_xlim(), axes.get_ylim()) == ((-0.5, shape[1] - 0.5), (2.5, -0.5))
    ticks = axes.get_xticks()
    assert len(ticks) > 2 and (ticks == ticks.astype(int)).all()


@pytest.mark.parametrize("shape", [(2, 3), (1, 2, 3), (4, 2, 3)])
def test_mask_of_pixels(shape: tuple[int, ...]) -> None:
    kept = numpy.random.rand(7, int(numpy.prod(shape))) < 0.5
    image, _, panels = drawn("l1", kept, shape)
    numpy.testing.assert_array_equal(image, kept.reshape(-1, 2, 3).sum(axis=0))
    assert panels == 2


def test_mask_of_inputs_that_are_no_images() -> None:
    kept = numpy.ones((2, 6), bool)
    numpy.testing.assert_array_equal(drawn("l1", kept, (6,))[0], kept)


def test_mask_of_filters() -> None:
    kept = numpy.zeros((2, 3, 2, 2), bool)
    kept[1, 2] = [[True, False], [True, True]]
    image, _, _ = drawn("conv", kept)
    assert image.shape == (2 * 3 - 1, 3 * 3 - 1)
    numpy.testing.assert_array_equal(image[3:5, 6:8], kept[1, 2])
    assert (image[2] == -1).all()
    assert (image[:2, :2] == 0).all()


def test_filters_in_columns() -> None:
    kept = numpy.random.rand(7, 2, 2, 2) < 0.5
    image, _, _ = drawn("conv", kept)
    assert image.shape == (4 * 3 - 1, 2 * 7 - 2)
    numpy.testing.assert_array_equal(image[3:5, 3:5], kept[1, 1])
    numpy.testing.assert_array_equal(image[0:2, 10:12], kept[4, 1])
    assert (image[9:, 7:] == -1).all()  # there is no eighth filter


def test_a_part_of_many_filters() -> None:
    axes = plotting.draw_mask("conv", numpy.ones((70, 3, 1, 1), bool)).axes[0]
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("channels", "filters, the first 64 of 70")


def test_many_weights_are_drawn_as_shares() -> None:
    kept = numpy.zeros((3, 2500), bool)
    kept[0, :3] = True
    image, _, panels = drawn("l1", kept)
    assert image.shape == (3, 834)
    assert image[0, 0] == 1
    assert image.sum() == 1
    assert panels == 2


def test_nothing_left() -> None:
    assert not drawn("l1", numpy.zeros((2, 2), bool))[0].any()
