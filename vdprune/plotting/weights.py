"""What became of the weights: their noise, and which of them are left."""

import math
from collections.abc import Sequence
from typing import Any

import numpy

from vdprune.kernels.constants import LOG_ALPHA_MAX, LOG_ALPHA_MIN
from vdprune.plotting.figures import BLUE, ORANGE, make_figure, set_counts

_MOST_PIXELS = 1000  # along a side of a mask; of more weights a pixel shows the share
_GAP = "#dadce0"  # between filters
_MOST_FILTERS = 64  # along a side of a picture of filters


def draw_log_alpha(layers: Sequence[tuple[str, Any]], threshold: float) -> Any:
    """Draw how noisy the weights of each layer are.

    Args:
        layers: Name and log alpha of each layer's weights, one layer at least.
        threshold: The log alpha above which weights are cut.

    Returns:
        matplotlib's figure, a panel for each layer.
    """
    figure = make_figure(7, 1.2 + 1.6 * len(layers))
    panels = figure.subplots(len(layers), sharex=True, squeeze=False)[:, 0]
    edges = numpy.linspace(LOG_ALPHA_MIN, LOG_ALPHA_MAX, 81)
    for axes, (name, log_alpha) in zip(panels, layers, strict=True):
        counts, *_ = axes.hist(log_alpha.ravel(), bins=edges, color=BLUE)
        axes.axvline(threshold, color=ORANGE)
        set_counts(axes, counts.max())
        axes.set_title(_count(name, log_alpha <= threshold), fontsize="medium", loc="left")
        axes.grid(alpha=0.2)
    panels[-1].set_xlabel(
        f"log alpha, within {LOG_ALPHA_MIN:g} and {LOG_ALPHA_MAX:g}; weights right of the line at "
        f"{threshold:g} are cut"
    )
    return figure


def draw_mask(name: str, kept: Any, input_shape: tuple[int, ...] | None = None) -> Any:
    """Draw which weights of a layer are left.

    Args:
        name: The layer's name.
        kept: Bool array, shape (outputs, inputs) or (filters, channels, kh, kw).
        input_shape: Shape of an example, for a linear layer whose inputs are the pixels of images.

    Returns:
        matplotlib's figure: of such a layer how many weights read each pixel; of a convolution its
        filters, each a row of its channels; else the matrix.
    """
    counts = _count(name, kept)
    if kept.ndim == 4:
        filters, channels = (_first(count) for count in kept.shape[:2])
        return _draw(_tile(kept), counts, f"channels{channels}", f"filters{filters}")
    if input_shape is not None and len(input_shape) in (2, 3):
        per_pixel = kept.sum(axis=0).reshape(-1, *input_shape[-2:]).sum(axis=0)
        return _draw(per_pixel, counts, "", "", "weights that read the pixel")
    image = _shrink(kept.astype(float))
    is_whole = image.shape == kept.shape
    inputs = "input; dark: a weight that is left" if is_whole else "input"
    figure = _draw(image, counts, inputs, "output", "" if is_whole else "share of weights kept")
    _number(figure.axes[0], kept.shape)
    return figure


def _count(name: str, kept: Any) -> str:
    return f"{name}: {int(kept.sum()):,} of {kept.size:,} weights left"


def _draw(image: Any, title: str, x: str, y: str, scale: str = "") -> Any:
    figure = make_figure(7, 5)
    axes = figure.subplots()
    shown = axes.imshow(
        image, cmap="Blues", vmin=0, vmax=max(1.0, float(numpy.nanmax(image))), aspect="auto"
    )
    if 0.5 <= image.shape[0] / image.shape[1] <= 2:
        axes.set_aspect("equal")
    axes.set_facecolor(_GAP)
    axes.set(title=title, xlabel=x, ylabel=y, xticks=[], yticks=[])
    if scale:
        figure.colorbar(shown, label=scale)
    return figure


def _number(axes: Any, shape: tuple[int, ...]) -> None:
    """Number rows and columns of a matrix, whatever number of them a pixel stands for."""
    from matplotlib.ticker import MaxNLocator

    drawn = axes.images[0].get_size()
    ends = [n * math.ceil(k / _MOST_PIXELS) - 0.5 for n, k in zip(drawn, shape, strict=True)]
    axes.images[0].set_extent((-0.5, ends[1], ends[0], -0.5))
    axes.set(xlim=(-0.5, shape[1] - 0.5), ylim=(shape[0] - 0.5, -0.5))
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_locator(MaxNLocator(integer=True))


def _first(count: int) -> str:
    return "" if count <= _MOST_FILTERS else f", the first {_MOST_FILTERS} of {count}"


def _tile(kept: Any) -> Any:
    """Lay out filters with gaps between them, a row of channels each, in columns that make a square."""
    kept = kept[:_MOST_FILTERS, :_MOST_FILTERS]
    filters, channels, kh, kw = kept.shape
    height, width = kh + 1, channels * (kw + 1) + (channels > 1)  # the gap between columns is wider
    columns = max(1, round(math.sqrt(filters * height / width)))
    rows = math.ceil(filters / columns)
    tiles = numpy.full((columns * rows, height, width), numpy.nan)
    for channel in range(channels):
        left = channel * (kw + 1)
        tiles[:filters, :kh, left : left + kw] = kept[:, channel]
    image = tiles.reshape(columns, rows * height, width).transpose(1, 0, 2)
    return image.reshape(rows * height, columns * width)[:-1, : -1 - (channels > 1)]


def _shrink(image: Any) -> Any:
    """Take means of blocks, so that no side has more pixels than can be seen."""
    steps = [math.ceil(n / _MOST_PIXELS) for n in image.shape]
    if max(steps) == 1:
        return image
    padding = [(0, -n % step) for n, step in zip(image.shape, steps, strict=True)]
    padded = numpy.pad(image, padding, constant_values=numpy.nan)
    rows, columns = (n // step for n, step in zip(padded.shape, steps, strict=True))
    return numpy.nanmean(padded.reshape(rows, steps[0], columns, steps[1]), axis=(1, 3))
