import pytest

from vdprune import plotting
from vdprune.sweep import SweepPoint

POINTS = [
    SweepPoint(-3.0, 1000, 0, 90.0, 2.0),
    SweepPoint(-1.0, 1000, 10, 5.0, 0.2),
    SweepPoint(3.0, 1000, 100, 2.0, 0.1),
]


def test_what_is_drawn() -> None:
    points = [*POINTS, SweepPoint(5.0, 1000, 500, 1.0, 0.1)]
    figure = plotting.draw_sweep(points, 3.0, POINTS[1], "9 examples ($x_$)")
    figure.draw_without_rendering()
    (axes,) = figure.axes
    curve, own, chosen = axes.lines
    assert list(curve.get_xdata()) == [100, 10, 2]
    assert list(curve.get_ydata()) == [5, 2, 1]
    assert (list(own.get_xdata()), list(chosen.get_xdata())) == ([10], [100])
    assert axes.get_title() == "on 9 examples ($x_$)"
    assert axes.get_xlabel() == "compression, weights / nonzero weights, log scale"
    assert axes.get_yscale() == "log"
    texts = [text.get_text() for text in figure.legends[0].get_texts()]
    assert texts == [
        "log alpha 3, the network's own: 2.00 % at 10.0x",
        "log alpha -1, chosen: 5.00 % at 100.0x",
    ]


def test_a_long_name_stays_in_the_picture() -> None:
    figure = plotting.draw_sweep(POINTS, 3.0, None, f"examples of {'/a-long-path' * 12}")
    figure.draw_without_rendering()
    box = figure.axes[0].title.get_window_extent()
    assert figure.bbox.x0 < box.x0 < box.x1 < figure.bbox.x1


@pytest.mark.parametrize("points", [POINTS[:1], [SweepPoint(3.0, 1000, 100, 0.0, 0.1)]])
def test_nothing_left_or_no_error_at_all(points: list[SweepPoint]) -> None:
    (axes,) = plotting.draw_sweep(points, points[0].threshold, None, "9 examples").axes
    assert axes.get_yscale() == "linear"
