"""What became of the weights: their noise, and which of them are left."""

import math
from collections.abc import Sequence
from typing import Any

import numpy

from vdprune.kernels.constants import LOG_ALPHA_MAX, LOG_ALPHA_MIN
from vdprune.plotting.figures import BLUE, ORANGE, make_figure

_MOST_PIXELS = 1000  # along a side of a mask; of more weights a pixel shows the share
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
        axes.hist(log_alpha.ravel(), bins=edges, color=BLUE)
        axes.axvline(threshold, color=ORANGE)
        kept = int((log_alpha <= threshold).sum())
        axes.set(
            yscale="log", ylabel="weights", title=f"{name}: {kept:,} of {log_alpha.size:,} kept"
        )
        axes.grid(alpha=0.2)
    panels[-1].set_xlabel(f"log alpha; weights right of {threshold:g} are cut")
    return figure


def draw_mask(name: str, kept: Any, input_shape: tuple[int, ...] | None = None) -> Any:
    """Draw which weights of a layer are left.

    Args:
        name: The layer's name.
        kept: Bool array, shape (outputs, inputs) or (filters, channels, kh, kw).
        input_shape: Shape of an example, for a linear layer whose inputs are the pixels of images.

    Returns:
        matplotlib's figure: of such a layer how many weights read each pixel; of a convolution all its
        filters, a row of them for each filter and a column for each channel; else the matrix.
    """
    counts = f"{name}: {int(kept.sum()):,} of {kept.size:,} kept"
    if kept.ndim == 4:
        return _draw(_tile(kept), counts, "channel", "filter")
    if input_shape is not None and len(input_shape) in (2, 3):
        per_pixel = kept.sum(axis=0).reshape(-1, *input_shape[-2:]).sum(axis=0)
        return _draw(per_pixel, counts, "", "", "weights that read the pixel")
    image = _shrink(kept.astype(float))
    scale = "" if image.shape == kept.shape else "share of weights kept"
    return _draw(image, counts, "input", "output", scale)


def _draw(image: Any, title: str, x: str, y: str, scale: str = "") -> Any:
    figure = make_figure(7, 5)
    axes = figure.subplots()
    shown = axes.imshow(
        image, cmap="Blues", vmin=0, vmax=max(1.0, float(numpy.nanmax(image))), aspect="auto"
    )
    if image.shape[0] == image.shape[1]:
        axes.set_aspect("equal")
    axes.set(title=title, xlabel=x, ylabel=y, xticks=[], yticks=[])
    if scale:
        figure.colorbar(shown, label=scale)
    return figure


def _tile(kept: Any) -> Any:
    """Lay out filters side by side, with a gap between them."""
    filters, channels, kh, kw = (
        min(n, most)
        for n, most in zip(kept.shape, (_MOST_FILTERS,) * 2 + kept.shape[2:], strict=True)
    )
    tiles = numpy.full((filters, kh + 1, channels, kw + 1), numpy.nan)
    tiles[:, :kh, :, :kw] = kept[:filters, :channels].transpose(0, 2, 1, 3)
    return tiles.reshape(filters * (kh + 1), channels * (kw + 1))[:-1, :-1]


def _shrink(image: Any) -> Any:
    """Take means of blocks, so that no side has more pixels than can be seen."""
    steps = [math.ceil(n / _MOST_PIXELS) for n in image.shape]
    if max(steps) == 1:
        return image
    padding = [(0, -n % step) for n, step in zip(image.shape, steps, strict=True)]
    padded = numpy.pad(image, padding, constant_values=numpy.nan)
    rows, columns = (n // step for n, step in zip(padded.shape, steps, strict=True))
    return numpy.nanmean(padded.reshape(rows, steps[0], columns, steps[1]), axis=(1, 3))
