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
    make_figure,
    set_error_against_compression,
    set_percent,
    set_whole_numbers,
)


def draw_curves(history: History) -> Any:
    """Draw error, losses, KL weight and sparsity over the epochs.

    Args:
        history: The rows of a checkpoint, one at least.

    Returns:
        matplotlib's figure of three panels.
    """
    figure = make_figure(7, 8)
    errors, losses, sparsities = figure.subplots(3, sharex=True)
    epochs = _column(history, "epoch")
    errors.plot(epochs, _column(history, "error"), color=BLUE, label="error in evaluation")
    errors.plot(epochs, _column(history, "train_error"), color=GREY, label="error in training")
    set_percent(errors, _column(history, "error") + _column(history, "train_error"))
    losses.plot(epochs, _column(history, "class"), color=BLUE, label="cross entropy, nats")
    losses.plot(epochs, _column(history, "kl"), color=GREEN, label="KL / N, nats")
    is_positive = min(_column(history, "class") + _column(history, "kl")) > 0
    losses.set(yscale="log" if is_positive else "linear")
    weight = losses.twinx()
    weights = _column(history, "kl_coef")
    weight.plot(epochs, weights, color=ORANGE, linestyle="--")
    weight.set(ylim=(0, 1.05 * max([1, *weights])))
    weight.set_ylabel("KL weight", color=ORANGE)
    layers = [name for name in history[0] if name.startswith("sparsity_of/")]
    for name in layers:
        label = name.removeprefix("sparsity_of/")
        sparsities.plot(epochs, _percent(history, name), linewidth=1, label=label)
    sparsities.plot(epochs, _percent(history, "sparsity"), color="black", label="all layers")
    sparsities.set(xlabel="epoch", ylabel="weights cut", ylim=(0, 101))
    sparsities.yaxis.set_major_formatter("{x:g} %")
    set_whole_numbers(sparsities.xaxis)
    for axes, place in ((errors, "upper right"), (losses, "center right"), (sparsities, "best")):
        axes.grid(alpha=0.2)
        axes.legend(frameon=False, fontsize="small", loc=place)
    return figure


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
    set_error_against_compression(axes, _column(rows, "error"))
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


def _percent(history: History, name: str) -> list[float]:
    return [100 * value for value in _column(history, name)]
