"""What threads are told to do by numbers alone, so that none of them waits for Python's lock.

A helper that waits for its next order is awake for a while, and carries it out without going through
Python.
"""

from typing import Any

import numpy

from vdprune.kernels import linear
from vdprune.kernels import order_layout as at
from vdprune.kernels.batches import take_batch
from vdprune.kernels.compiled import compiled, inlined
from vdprune.kernels.cpu import adam_of_all, cross_entropy
from vdprune.kernels.distillation import distil
from vdprune.kernels.linear_layout import ALL_OUTPUTS, FIELDS, G_RESULT, RESULT, SETTINGS
from vdprune.kernels.pointers import array_at
from vdprune.kernels.waiting import count_up, meet, stay_awake

# See vdprune/kernels/cpu.py.
_TAKEN_FROM_ELSEWHERE = "569987cb388a3fe2"

__all__ = ["take_part"]

_INTEGER = numpy.zeros(1, numpy.int64)
_LABEL = numpy.zeros(1, numpy.int32)
_REAL = numpy.zeros(1, numpy.float64)


@inlined
def _carry_out(thread: int, threads: int, order: Any, numbers: Any, like: Any) -> None:
    """Do a thread's part of what is ordered."""
    kind, rows = order[at.KIND], order[at.ROWS]
    beta1, beta2, epsilon, rate = numbers[0], numbers[1], numbers[2], numbers[3]
    if kind == at.ADAM:
        parameters = array_at(order[at.TABLE], (rows, at.PARAMETER_FIELDS), _INTEGER)
        adam_of_all(thread, threads, parameters, like, beta1, beta2, epsilon, rate)
        return
    layers = array_at(order[at.TABLE], (rows, FIELDS), _INTEGER)
    settings = array_at(order[at.SETTINGS], (rows, SETTINGS), _REAL)
    x = array_at(order[at.INPUTS], (order[at.BATCH], order[at.WIDTH]), like)
    meeting = order[at.MEETING : at.MEETING + 1]
    is_several, found_length = kind == at.SEVERAL_STEPS, at.FOUND_BEFORE + order[at.TILES]
    g_divergence, met = numbers[0], 0
    for step in range(order[at.STEPS] if is_several else 1):
        found_at = order[at.FOUND] + step * found_length * _REAL.itemsize
        found = array_at(found_at, (found_length,), _REAL)
        if is_several:
            schedule_at = order[at.SCHEDULE] + step * at.SCHEDULE_FIELDS * _REAL.itemsize
            schedule = array_at(schedule_at, (at.SCHEDULE_FIELDS,), _REAL)
            g_divergence, rate = schedule[at.G_DIVERGENCE], schedule[at.RATE]
            take_batch(thread, threads, order, step, numbers[3], layers, x)
            met += 1
            if not meet(meeting, met * threads):
                return
        if kind != at.BACKWARD:
            divergences = found[at.FOUND_BEFORE :]
            met = linear.forward(thread, threads, meeting, met, layers, settings, x, divergences)
        if kind >= at.OBJECTIVE and met >= 0:
            if thread == 0:
                _compare(order, numbers, layers[rows - 1], like, found)
            met += 1
            if not meet(meeting, met * threads) or found[at.RIGHT] < 0:
                return
        if kind == at.FORWARD or met < 0:
            return
        if is_several and not _is_finite(found, order[at.BATCH], g_divergence, like):
            return
        wants_x = order[at.WANTS_INPUTS] != 0
        met = linear.backward(thread, threads, meeting, met, layers, x, g_divergence, wants_x)
        if is_several:
            met += 1
            if met <= 0 or not meet(meeting, met * threads):
                return
            shape = order[at.PARAMETER_ROWS], at.PARAMETER_FIELDS
            parameters = array_at(order[at.PARAMETERS], shape, _INTEGER)
            adam_of_all(thread, threads, parameters, like, beta1, beta2, epsilon, rate)
            if thread == 0:
                found[at.IS_DONE] = 1


@inlined
def _compare(order: Any, numbers: Any, last: Any, like: Any, found: Any) -> None:
    """Compare the last layer's results with labels, and with a teacher's logits if there is one."""
    batch, classes = order[at.BATCH], last[ALL_OUTPUTS]
    t = array_at(order[at.LABELS], (batch,), _LABEL)
    y = array_at(last[RESULT], (batch, classes), like)
    g = array_at(last[G_RESULT], (batch, classes), like)
    found[at.CROSS_ENTROPY], found[at.RIGHT] = cross_entropy(y, t, g)
    if order[at.TEACHER] != 0:
        teacher = array_at(order[at.TEACHER], (batch, classes), like)
        temperature, share = numbers[at.TEMPERATURE], numbers[at.SHARE]
        found[at.DISTILLATION] = distil(y, teacher, temperature, share, g)
    for i in range(batch):
        for j in range(classes):
            g[i, j] *= like.dtype.type(1.0 / batch)


@compiled
def _is_finite(found: Any, batch: int, g_divergence: float, like: Any) -> bool:
    """Tell whether the objective is a number in the parameters' dtype."""
    total = found[at.CROSS_ENTROPY] + found[at.DISTILLATION]
    total = found[at.FOUND_BEFORE :].sum() * g_divergence + total / batch
    return bool(numpy.isfinite(like.dtype.type(total)))


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
