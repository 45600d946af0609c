"""What threads are told to do by numbers alone, so that none of them waits for Python's lock.

A helper that waits for its next order is awake for a while, and carries it out without going through
Python.
"""

from typing import Any

import numpy

from vdprune.kernels import linear
from vdprune.kernels import order_layout as at
from vdprune.kernels.compiled import compiled, inlined
from vdprune.kernels.cpu import adam_of_all, cross_entropy
from vdprune.kernels.linear_layout import ALL_OUTPUTS, FIELDS, G_RESULT, RESULT, SETTINGS
from vdprune.kernels.pointers import array_at
from vdprune.kernels.waiting import count_up, meet, stay_awake

# See vdprune/kernels/cpu.py.
_TAKEN_FROM_ELSEWHERE = "1ba5f8e6bf5242e4"

__all__ = ["take_part"]

_INTEGER = numpy.zeros(1, numpy.int64)
_LABEL = numpy.zeros(1, numpy.int32)
_REAL = numpy.zeros(1, numpy.float64)


@inlined
def _carry_out(thread: int, threads: int, order: Any, numbers: Any, like: Any) -> None:
    """Do a thread's part of what is ordered."""
    rows = order[at.ROWS]
    if order[at.KIND] == at.ADAM:
        parameters = array_at(order[at.TABLE], (rows, at.PARAMETER_FIELDS), _INTEGER)
        beta1, beta2, epsilon, rate = numbers[0], numbers[1], numbers[2], numbers[3]
        adam_of_all(thread, threads, parameters, like, beta1, beta2, epsilon, rate)
        return
    layers = array_at(order[at.TABLE], (rows, FIELDS), _INTEGER)
    settings = array_at(order[at.SETTINGS], (rows, SETTINGS), _REAL)
    x = array_at(order[at.INPUTS], (order[at.BATCH], order[at.WIDTH]), like)
    meeting = order[at.MEETING : at.MEETING + 1]
    batch, is_objective, met = order[at.BATCH], order[at.KIND] == at.OBJECTIVE, 0
    found = array_at(order[at.FOUND], (2,), _REAL)
    if order[at.KIND] != at.BACKWARD:
        divergences = array_at(order[at.DIVERGENCES], (order[at.TILES],), _REAL)
        met = linear.forward(thread, threads, meeting, layers, settings, x, divergences)
    if is_objective and met >= 0:
        if thread == 0:
            last = layers[rows - 1]
            t, shape = array_at(order[at.LABELS], (batch,), _LABEL), (batch, last[ALL_OUTPUTS])
            y, g = array_at(last[RESULT], shape, like), array_at(last[G_RESULT], shape, like)
            found[0], found[1] = cross_entropy(y, t, g)
            for i in range(batch):
                for j in range(last[ALL_OUTPUTS]):
                    g[i, j] *= like.dtype.type(1.0 / batch)
        met += 1
        if not meet(meeting, met * threads):
            met = -1
    if order[at.KIND] != at.FORWARD and met >= 0 and not (is_objective and found[1] < 0):
        g_divergence, wants_x = numbers[0], order[at.WANTS_INPUTS] != 0
        linear.backward(thread, threads, meeting, met, layers, x, g_divergence, wants_x)


# One function for all roles: for each, all kernels would be compiled anew.
@compiled
def take_part(
    thread: int,
    order: Any,
    numbers: Any,
    like: Any,
    given: Any,
    seen: int,
    done: Any,
    wanted: Any,
    patience: int,
) -> int:
    """Carry out an order, or orders as they come, until one is for Python or none comes for a while.

    Args:
        thread: Number of the thread that does this.
        order: See `vdprune.kernels.order_layout`.
        numbers: See there.
        like: An array of the dtype that it is about.
        given: How many orders a helper was given so far, an array of one int64.
        seen: How many of them it has carried out.
        done: Where that is counted for others to see; those of all helpers for who leads.
        wanted: How many each of those is waited for to have carried out in the end; empty for helpers.
        patience: How long to wait for an order, in rounds of `stay_awake`; less than 0 for one
            that is there.

    Returns:
        How many of those that were given it has carried out now.
    """
    while True:
        if patience >= 0 and not stay_awake(given, seen + 1, patience + 1):
            return seen
        if order[at.KIND] == at.PYTHON:
            return seen
        _carry_out(thread, order[at.THREADS], order, numbers, like)
        if patience < 0:
            break
        count_up(done)
        seen += 1
    for helper in range(wanted.size):
        while not stay_awake(done[helper : helper + 1], wanted[helper], 1):
            pass
    return seen
