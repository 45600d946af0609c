"""Batches, cut out of all examples between two training steps."""

from typing import Any

import numpy

from vdprune.kernels import linear_layout
from vdprune.kernels import order_layout as at
from vdprune.kernels.compiled import compiled
from vdprune.kernels.cpu import scale
from vdprune.kernels.linear_arrays import share
from vdprune.kernels.pointers import array_at

# See vdprune/kernels/cpu.py.
_TAKEN_FROM_ELSEWHERE = "11c100f51ef8c22d"

__all__ = ["take_batch"]

_NUMBER = numpy.zeros(1, numpy.int64)
_LABEL = numpy.zeros(1, numpy.int32)
_PIXEL = numpy.zeros(1, numpy.uint8)


@compiled
def take_batch(
    thread: int, threads: int, order: Any, step: int, factor: float, layers: Any, x: Any
) -> None:
    """Put a step's examples, what is known of them, and its keys where layers find them: a share.

    Args:
        thread: Number of the thread that does this.
        threads: How many do.
        order: See `vdprune.kernels.order_layout`.
        step: Number of the step.
        factor: What examples that are bytes are multiplied by.
        layers: A row for each layer: see `vdprune.kernels.linear_layout`. Its keys are set.
        x: Result: the examples, shape (batch, width).
    """
    batch, width, has_mean = x.shape[0], x.shape[1], order[at.MEAN] != 0
    chosen = array_at(order[at.CHOSEN] + step * batch * _NUMBER.itemsize, (batch,), _NUMBER)
    t = array_at(order[at.LABELS], (batch,), _LABEL)
    places = array_at(order[at.EXAMPLES] + step * batch * _NUMBER.itemsize, (batch,), _NUMBER)
    first, last = share(batch, 1, thread, threads)
    for i in range(first, last):
        t[i] = array_at(order[at.ALL_LABELS] + chosen[i] * _LABEL.itemsize, (1,), _LABEL)[0]
        if has_mean:
            pixels = array_at(places[i], (1, width), _PIXEL)
            mean = array_at(order[at.MEAN], (width,), x)
            scale(pixels, factor, mean, x[i : i + 1])
        else:
            x[i] = array_at(places[i], (width,), x)
    if order[at.TEACHER] != 0:
        classes = layers[layers.shape[0] - 1, linear_layout.ALL_OUTPUTS]
        rows = array_at(order[at.ALL_LOGITS] + step * batch * _NUMBER.itemsize, (batch,), _NUMBER)
        teacher = array_at(order[at.TEACHER], (batch, classes), x)
        for i in range(first, last):
            teacher[i] = array_at(rows[i], (classes,), x)
    if thread == 0:
        count = layers.shape[0]
        keys_at = order[at.KEYS] + step * count * 2 * _NUMBER.itemsize
        keys = array_at(keys_at, (count, 2), _NUMBER)
        layers[:, linear_layout.KEY0] = keys[:, 0]
        layers[:, linear_layout.KEY1] = keys[:, 1]
