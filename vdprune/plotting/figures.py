"""What all pictures share: matplotlib, colours, axes and files."""

import importlib
import io
import math
import sys
from pathlib import Path
from typing import Any

from vdprune.errors import ArgumentError
from vdprune.storage import MARK, check_marked, check_writable, write_atomically

SUFFIXES = (".png", ".svg", ".pdf")

BLUE, GREY, ORANGE, GREEN = "#1a6fb0", "#9aa0a6", "#c2571a", "#3a7d44"

# Ratio of the greatest value to the least from which on a logarithmic scale has ticks enough.
_FAR_APART = 3
_LOG_TICKS = ((30, (1, 1.5, 2, 3, 5, 7)), (1000, (1, 2, 5)), (math.inf, (1,)))  # up to which ratio


def check_picture(path: Path) -> None:
    """Make sure that a picture can be drawn and written, before the work that it is to show.

    Args:
        path: Its file.

    Raises:
        ArgumentError: The name says no format, or matplotlib is not installed.
        FileWriteError: The file can't be written.
    """
    if path.suffix.lower() not in SUFFIXES:
        raise ArgumentError(
            f"{path} ends in {path.suffix or 'nothing'}: a picture ends in {', '.join(SUFFIXES)}"
        )
    load_matplotlib()
    check_writable(path)
    check_marked(path)


def make_figure(width: float = 7.0, height: float = 4.5) -> Any:
    """Make an empty figure.

    Args:
        width: In inches.
        height: In inches.

    Returns:
        matplotlib's figure.
    """
    return load_matplotlib().Figure(figsize=(width, height), layout="constrained")


def save_figure(figure: Any, path: Path) -> None:
    """Write a figure.

    Args:
        figure: The figure.
        path: The file; its suffix says the format.

    Raises:
        FileWriteError: It can't be written; a file that was there is as it was.
    """
    kind = path.suffix.lower().removeprefix(".")
    file = io.BytesIO()
    maker = {"png": "Software", "svg": "Creator", "pdf": "Creator"}[kind]
    figure.savefig(file, format=kind, dpi=150, metadata={maker: MARK})
    write_atomically(path, file.getvalue())


def set_error_against_compression(
    axes: Any, compressions: list[float], errors: list[float]
) -> None:
    """Label axes of error against compression.

    Args:
        axes: The axes.
        compressions: What is drawn.
        errors: The errors in percent that go with them.
    """
    set_scale(axes, "x", "compression, weights / nonzero weights", "x", compressions)
    set_scale(axes, "y", "error", " %", errors)
    axes.grid(alpha=0.2)


def set_scale(axes: Any, which: str, label: str, unit: str, values: list[float]) -> None:
    """Label an axis, with plain numbers as ticks; it is logarithmic where that shows more, and says so.

    Args:
        axes: The axes.
        which: The axis, ``x`` or ``y``.
        label: What it shows.
        unit: What is written after each number.
        values: What is drawn.
    """
    axis = getattr(axes, f"{which}axis")
    least, most = min(values, default=0), max(values, default=0)
    if least > 0 and most >= _FAR_APART * least:
        ticker = importlib.import_module("matplotlib.ticker")
        axes.set(**{f"{which}scale": "log"})
        subs = next(subs for ratio, subs in _LOG_TICKS if most <= ratio * least)
        axis.set_major_locator(ticker.LogLocator(subs=subs))
        axis.set_minor_locator(ticker.NullLocator())
        label += ", log scale"
    axis.set_major_formatter("{x:,g}" + unit)
    axis.set_label_text(label)


def set_counts(axes: Any, most: float) -> None:
    """Label the vertical axis of a histogram, on a logarithmic scale on which one weight is seen.

    Args:
        axes: The axes.
        most: The highest bar.
    """
    ticker = importlib.import_module("matplotlib.ticker")
    axes.set(yscale="log", ylim=(0.7, max(10, 2 * most)), ylabel="weights, log scale")
    axes.yaxis.set_minor_locator(ticker.NullLocator())
    axes.yaxis.set_major_formatter("{x:,.0f}")


def set_whole_numbers(axis: Any) -> None:
    """Put ticks at whole numbers only.

    Args:
        axis: One axis of some axes.
    """
    ticker = importlib.import_module("matplotlib.ticker")
    axis.set_major_locator(ticker.MaxNLocator(integer=True, steps=[1, 2, 5, 10]))


def load_colormap(name: str) -> Any:
    """Find one of matplotlib's colour maps.

    Args:
        name: Its name.

    Returns:
        What makes a colour of a number between 0 and 1.
    """
    return importlib.import_module("matplotlib").colormaps[name]


def load_matplotlib() -> Any:
    """Import matplotlib.

    Returns:
        Its module of figures, which needs no display.

    Raises:
        ArgumentError: It is not installed.
    """
    try:
        return importlib.import_module("matplotlib.figure")
    except ImportError:
        raise ArgumentError(
            "pictures need matplotlib 3.8 or later, which is not installed: "
            f"{sys.executable} -m pip install matplotlib"
        ) from None
