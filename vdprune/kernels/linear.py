"""What linear layers with noisy weights do on the CPU, one after the other, in several threads at once.

From the first layer's inputs to the last one's draws, and back: nothing of Python is needed in between.
Threads have some of the outputs, and of the inputs, each; they meet where one needs what all others
made. Some outputs at a time go through all of a layer, so that what is made of their weights stays in
the processor's cache.
"""

from typing import Any

from vdprune.kernels import linear_layout as at
from vdprune.kernels.compiled import inlined
from vdprune.kernels.linear_arrays import count_tiles
from vdprune.kernels.linear_draws import draw, prepare
from vdprune.kernels.linear_gradients import (
    gradients_of_inputs,
    gradients_of_weights,
    prepare_back,
)
from vdprune.kernels.pointers import array_at
from vdprune.kernels.waiting import meet

# See vdprune/kernels/cpu.py.
_TAKEN_FROM_ELSEWHERE = "46786ca5726c4065"

__all__ = ["backward", "forward"]


@inlined
def forward(
    thread: int,
    threads: int,
    meeting: Any,
    met: int,
    layers: Any,
    settings: Any,
    x: Any,
    divergences: Any,
) -> int:
    """Draw the pre-activations of layers, one after the other.

    Args:
        thread: Number of the thread that does this.
        threads: How many do, each with this.
        meeting: How many have come to meet the others so far; an array of one int64, 0 at first.
        met: How often threads have met there before.
        layers: A row for each layer: see `vdprune.kernels.linear_layout`.
        settings: Another.
        x: Inputs of the first, shape (batch, all inputs).
        divergences: Result: KL divergences of the weights of `TILE_ROWS` outputs, for one layer after
            the other.

    Returns:
        How often threads have met; -1 if they were stopped.
    """
    batch, inputs, tiles = x.shape[0], x, 0
    for number in range(layers.shape[0]):
        layer = layers[number]
        varying, constants = prepare(thread, threads, layer, inputs)
        draw(
            thread,
            threads,
            layer,
            settings[number],
            batch,
            x,
            varying,
            constants,
            divergences[tiles:],
        )
        tiles += count_tiles(layer[at.OUTPUTS])
        met += 1
        if not meet(meeting, met * threads):
            return -1
        inputs = array_at(layer[at.RESULT], (batch, layer[at.ALL_OUTPUTS]), x)
    return met


@inlined
def backward(
    thread: int,
    threads: int,
    meeting: Any,
    met: int,
    layers: Any,
    x: Any,
    g_divergence: float,
    wants_x: bool,
) -> int:
    """Compute the gradients of what `forward` was given; that of the results is with the last layer.

    Args:
        thread: As for `forward`.
        threads: As for `forward`.
        meeting: As for `forward`.
        met: As for `forward`.
        layers: As for `forward`.
        x: As for `forward`.
        g_divergence: Gradient of the KL divergence.
        wants_x: Whether the gradient of x is wanted.

    Returns:
        As `forward` does.
    """
    batch = x.shape[0]
    for number in range(layers.shape[0] - 1, -1, -1):
        layer, inputs = layers[number], x
        if number > 0:
            below = layers[number - 1]
            inputs = array_at(below[at.RESULT], (batch, below[at.ALL_OUTPUTS]), x)
        has_more = number > 0 or wants_x
        prepare_back(thread, threads, layer, inputs)
        if has_more:
            met += 1
            if not meet(meeting, met * threads):
                return -1
            through_relu = number > 0 and layers[number - 1, at.HAS_RELU] != 0
            gradients_of_inputs(thread, threads, layer, inputs, through_relu)
        gradients_of_weights(thread, threads, layer, g_divergence, batch, x)
        if has_more:
            met += 1
            if not meet(meeting, met * threads):
                return -1
    return met
