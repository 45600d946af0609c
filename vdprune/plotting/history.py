"""What the epochs of a training run were."""

import math
from collections.abc import Sequence
from typing import Any

from vdprune.checkpoint import History
from vdprune.plotting.figures import (
    BLUE,
    GREEN,
    GREY,
    ORANGE,
    load_colormap,
    make_figure,
    set_error_against_compression,
    set_scale,
    set_whole_numbers,
)

_INCHES_PER_LETTER = 0.075  # of a phase's name
_PANEL_INCHES = 5.8  # about how wide a panel is beside its legend


def draw_curves(history: History, phases: Sequence[tuple[str, int]] = ()) -> Any:
    """Draw error, losses, KL weight and the weights that are left over the epochs.

    Args:
        history: The rows of a checkpoint, one at least.
        phases: Name of each phase of the recipe, and the epoch after which it begins.

    Returns:
        matplotlib's figure: a panel for each of these that there is; a network trained without noise has
        no KL weight, one that is dense has all weights.
    """
    plots = [_plot_errors, _plot_losses]
    if any(_column(history, "kl")):
        plots.append(_plot_kl_weight)
    if any(_column(history, "sparsity")):
        plots.append(_plot_weights_left)
    heights = [1.1 if plot is _plot_kl_weight else 2.2 for plot in plots]
    figure = make_figure(8, 0.8 + sum(heights))
    panels = figure.subplots(len(plots), sharex=True, squeeze=False, height_ratios=heights)[:, 0]
    for axes, plot in zip(panels, plots, strict=True):
        plot(axes, history)
        axes.grid(alpha=0.2)
    last = history[-1]["epoch"]
    _mark_phases(panels, [(name, start) for name, start in phases if start < last], last)
    panels[-1].set(xlabel="epoch", xlim=(0, 1.01 * last))
    set_whole_numbers(panels[-1].xaxis)
    return figure


def _plot_errors(axes: Any, history: History) -> None:
    errors, train_errors = _column(history, "error"), _column(history, "train_error")
    _plot(axes, history, errors, BLUE, "in evaluation")
    _plot(axes, history, train_errors, GREY, "in training")
    set_scale(axes, "y", "error", " %", errors + train_errors)
    _add_legend(axes)


def _plot_losses(axes: Any, history: History) -> None:
    """Draw the loss's parts; the KL divergence only where there is one."""
    losses, divergences = _column(history, "class"), _column(history, "kl")
    _plot(axes, history, losses, BLUE, "cross entropy")
    if any(divergences):
        _plot(axes, history, [value or math.nan for value in divergences], GREEN, "KL / N")
    set_scale(axes, "y", "loss, nats", "", losses + [value for value in divergences if value])
    _add_legend(axes)


def _plot_kl_weight(axes: Any, history: History) -> None:
    """Draw it in steps: it stays the same for an epoch."""
    weights = _column(history, "kl_coef")
    epochs = [history[0]["epoch"] - 1, *_column(history, "epoch")]
    values = [weights[0], *weights]
    axes.plot(epochs, values, color=ORANGE, linewidth=1.5, drawstyle="steps-pre")
    axes.set(ylabel="KL weight", ylim=(0, 1.05 * (max(weights) or 1)))


def _plot_weights_left(axes: Any, history: History) -> None:
    columns = [name for name in history[0] if name.startswith("sparsity_of/")]
    colormap = load_colormap("viridis")
    drawn = []
    for number, column in enumerate(columns):
        left = [100 * (1 - value) for value in _column(history, column)]
        color = colormap(0.85 * number / max(1, len(columns) - 1))
        _plot(axes, history, left, color, column.removeprefix("sparsity_of/"), 1.0)
        drawn += left
    left = [100 * (1 - value) for value in _column(history, "sparsity")]
    _plot(axes, history, left, "black", "all layers", 2.0)
    set_scale(axes, "y", "weights left", " %", drawn + left)
    _add_legend(axes)


def _plot(
    axes: Any, history: History, values: list[float], color: Any, label: str, width: float = 1.5
) -> None:
    marker = "." if len(history) < 10 else ""  # a line through one point is not seen
    axes.plot(
        _column(history, "epoch"), values, color=color, label=label, linewidth=width, marker=marker
    )


def _add_legend(axes: Any) -> None:
    """Say which line is which, beside the panel, where no line is."""
    axes.legend(frameon=False, fontsize="small", loc="upper left", bbox_to_anchor=(1.01, 1.02))


def _mark_phases(panels: Any, phases: Sequence[tuple[str, int]], last: float) -> None:
    """Put a line where a phase begins, and its name above the first panel."""
    ends = [start for _, start in phases[1:]]
    fits = all(
        len(name) * _INCHES_PER_LETTER < (end - start) / last * _PANEL_INCHES
        for (name, start), end in zip(phases, ends, strict=False)
    )
    for name, start in phases:
        for axes in panels:
            axes.axvline(start, color=GREY, linewidth=0.8, zorder=1)
        panels[0].text(
            start,
            1.03,
            name,
            transform=panels[0].get_xaxis_transform(),
            rotation=0 if fits else 30,
            rotation_mode="anchor",
            fontsize="small",
            parse_math=False,
        )


def draw_error_against_compression(history: History) -> Any:
    """Draw which error went with which compression, an epoch a point.

    Args:
        history: The rows of a checkpoint, one at least.

    Returns:
        matplotlib's figure.
    """
    figure = make_figure()
    axes = figure.subplots()
    rows = [row for row in history if math.isfinite(row["compression"])]
    drawn = axes.scatter(
        _column(rows, "compression"),
        _column(rows, "error"),
        c=_column(rows, "epoch"),
        cmap="viridis",
        s=14,
        zorder=2,
    )
    set_error_against_compression(axes, _column(rows, "compression"), _column(rows, "error"))
    set_whole_numbers(figure.colorbar(drawn, label="epoch").ax.yaxis)
    if rows:
        last = rows[-1]
        axes.set_title(
            f"after epoch {last['epoch']:g}: error {last['error']:.2f} %, "
            f"compression {last['compression']:.1f}x"
        )
    return figure


def _column(history: Sequence[dict[str, float]], name: str) -> list[float]:
    return [row[name] for row in history]
