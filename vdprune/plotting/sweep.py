"""Error against compression at many thresholds."""

import textwrap
from collections.abc import Sequence
from typing import Any

from vdprune.plotting.figures import BLUE, GREY, ORANGE, make_figure, set_error_against_compression
from vdprune.sweep import SweepPoint

_LINE = 72  # characters that fit above the axes


def draw_sweep(
    points: Sequence[SweepPoint], threshold: float, chosen: SweepPoint | None, examples: str
) -> Any:
    """Draw error against compression.

    Args:
        points: What a sweep measured.
        threshold: The network's own threshold, which is marked.
        chosen: A point that is marked, too, or None.
        examples: What the error was measured on, in words.

    Returns:
        matplotlib's figure.
    """
    figure = make_figure()
    axes = figure.subplots()
    compressions = [point.compression for point in points if point.compression is not None]
    errors = [point.error for point in points if point.compression is not None]
    axes.plot(compressions, errors, color=BLUE, marker="o", markersize=3)
    own = next(point for point in points if point.threshold == threshold)
    _mark(axes, own, f"log alpha {threshold:.3g}, the network's own", GREY)
    if chosen is not None:
        _mark(axes, chosen, f"log alpha {chosen.threshold:.3g}, chosen", ORANGE)
    set_error_against_compression(axes, compressions, errors)
    title = textwrap.fill(f"on {examples}", _LINE)  # a data set's path can be long
    axes.set_title(title, fontsize="medium", parse_math=False)
    if axes.get_legend_handles_labels()[0]:  # else no weight is left
        figure.legend(frameon=False, loc="outside lower center")
    return figure


def _mark(axes: Any, point: SweepPoint, label: str, color: str) -> None:
    if point.compression is not None:
        axes.plot(
            [point.compression],
            [point.error],
            linestyle="none",
            marker="o",
            markersize=9,
            color=color,
            label=f"{label}: {point.error:.2f} % at {point.compression:.1f}x",
        )
