"""Pictures, drawn with matplotlib without a display."""

import importlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from vdprune.errors import ArgumentError
from vdprune.storage import check_writable
from vdprune.sweep import SweepPoint

_SUFFIXES = (".png", ".svg", ".pdf")
_BLUE, _GREY, _ORANGE = "#1a6fb0", "#9aa0a6", "#c2571a"


def check_picture(path: Path) -> None:
    """Make sure that a picture can be drawn and written, before the work that it is to show.

    Args:
        path: Its file.

    Raises:
        ArgumentError: The name says no format, or matplotlib is not installed.
        FileWriteError: The file can't be written.
    """
    if path.suffix.lower() not in _SUFFIXES:
        raise ArgumentError(
            f"{path} ends in {path.suffix or 'nothing'}: a picture ends in {', '.join(_SUFFIXES)}"
        )
    _load_matplotlib()
    check_writable(path)


def draw_sweep(
    path: Path,
    points: Sequence[SweepPoint],
    threshold: float,
    chosen: SweepPoint | None,
    examples: str,
) -> None:
    """Draw error against compression.

    Args:
        path: The file.
        points: What a sweep measured.
        threshold: The network's own threshold, which is marked.
        chosen: A point that is marked, too, or None.
        examples: What the error was measured on, in words.
    """
    figure_module = _load_matplotlib()
    figure = figure_module.Figure(figsize=(7, 4.5), layout="constrained")
    axes = figure.subplots()
    drawn = [point for point in points if point.compression is not None]
    axes.plot(
        [point.compression for point in drawn],
        [point.error for point in drawn],
        color=_BLUE,
        marker="o",
        markersize=3,
    )
    own = next(point for point in points if point.threshold == threshold)
    _mark(axes, own, f"log alpha {threshold:.3g}, the network's own", _GREY)
    if chosen is not None:
        _mark(axes, chosen, f"log alpha {chosen.threshold:.3g}, chosen", _ORANGE)
    axes.set(
        xscale="log",
        yscale="log" if all(point.error > 0 for point in drawn) else "linear",
        xlabel="compression, weights / nonzero weights",
        ylabel="error in percent",
        title=f"on {examples}",
    )
    axes.xaxis.set_major_formatter("{x:g}x")
    axes.yaxis.set_major_formatter("{x:g} %")
    axes.yaxis.set_minor_formatter("")
    axes.grid(which="both", alpha=0.2)
    axes.legend(frameon=False)
    figure.savefig(path, dpi=150)


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


def _load_matplotlib() -> Any:
    try:
        return importlib.import_module("matplotlib.figure")
    except ImportError:
        raise ArgumentError(
            "pictures need matplotlib, which is not installed: pip install '.[plot]' in vdprune's "
            "folder, or pip install matplotlib"
        ) from None
