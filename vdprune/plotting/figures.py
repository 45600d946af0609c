"""What all pictures share: matplotlib, colours, axes and files."""

import importlib
import io
from pathlib import Path
from typing import Any

from vdprune.errors import ArgumentError
from vdprune.storage import MARK, check_marked, check_writable, write_atomically

SUFFIXES = (".png", ".svg", ".pdf")

BLUE, GREY, ORANGE, GREEN = "#1a6fb0", "#9aa0a6", "#c2571a", "#3a7d44"


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


def set_error_against_compression(axes: Any, errors: list[float]) -> None:
    """Label axes of error against compression, with logarithmic scales where that is possible.

    Args:
        axes: The axes.
        errors: The errors in percent that are drawn.
    """
    axes.set(xscale="log", xlabel="compression, weights / nonzero weights", ylabel="error")
    ticker = importlib.import_module("matplotlib.ticker")
    axes.xaxis.set_major_locator(ticker.LogLocator(subs=(1, 2, 5)))
    axes.xaxis.set_minor_locator(ticker.NullLocator())
    axes.xaxis.set_major_formatter("{x:g}x")
    set_percent(axes, errors)
    axes.grid(which="both", alpha=0.2)


def set_percent(axes: Any, values: list[float]) -> None:
    """Label the vertical axis with percentages, on a logarithmic scale where that is possible.

    Args:
        axes: The axes.
        values: What is drawn, in percent.
    """
    if min(values, default=0) > 0:
        ticker = importlib.import_module("matplotlib.ticker")
        axes.set(yscale="log")
        axes.yaxis.set_major_locator(ticker.LogLocator(subs=(1, 1.5, 2, 3, 5, 7)))
        axes.yaxis.set_minor_locator(ticker.NullLocator())
    axes.yaxis.set_major_formatter("{x:g} %")


def set_whole_numbers(axis: Any) -> None:
    """Put ticks at whole numbers only.

    Args:
        axis: One axis of some axes.
    """
    ticker = importlib.import_module("matplotlib.ticker")
    axis.set_major_locator(ticker.MaxNLocator(integer=True))


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
            "pictures need matplotlib 3.8 or later, which is not installed: pip install matplotlib"
        ) from None
