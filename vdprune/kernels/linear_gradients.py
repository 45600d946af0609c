"""The way back through a linear layer with noisy weights: see `linear.py`."""

from typing import Any

import numpy
from numpy import uintp

from vdprune.kernels import linear_layout as at
from vdprune.kernels.compiled import compiled, inlined
from vdprune.kernels.constants import PANEL_BYTES, TILE_ROWS
from vdprune.kernels.cpu import weight_gradients
from vdprune.kernels.linear_arrays import (
    INDEX,
    NUMBER,
    columns_at,
    first_columns,
    own_inputs,
    own_outputs,
    rows_of_a_group,
    share,
    varying_inputs,
)
from vdprune.kernels.pointers import array_at
from vdprune.kernels.products import lay_out, multiply

# See vdprune/kernels/cpu.py.
_TAKEN_FROM_ELSEWHERE = "ff1dcf81e0e0fa63"

__all__ = ["gradients_of_inputs", "gradients_of_weights", "prepare_back"]


@inlined
def prepare_back(thread: int, threads: int, layer: Any, x: Any) -> None:
    """Turn gradients of draws into those of moments; lay out inputs, now by their columns."""
    batch, inputs, outputs = x.shape[0], layer[at.INPUTS], layer[at.OUTPUTS]
    width = layer[at.ALL_OUTPUTS]
    g = array_at(layer[at.G_RESULT], (batch, width), x)
    slopes = array_at(layer[at.SLOPES], (outputs, batch), x)
    g_mean = array_at(layer[at.G_MEAN], (outputs, batch), x)
    g_variance = array_at(layer[at.G_VARIANCE], (outputs, batch), x)
    numbers = array_at(layer[at.OUTPUT_NUMBERS], (outputs,), NUMBER)
    first, last, _, _ = own_outputs(thread, threads, layer)
    for j in range(first, last):
        output = uintp(numbers[j])
        for i in range(batch):
            g_mean[j, i] = g[i, output]
        for i in range(batch):
            g_variance[j, i] = g_mean[j, i] * slopes[j, i]
    if layer[at.G_BIASES] != 0:
        g_b = array_at(layer[at.G_BIASES], (width,), x)
        first, last = share(width, 1, thread, threads)
        for j in range(first, last):
            total = x.dtype.type(0)
            for i in range(batch):
                total += g[i, j]
            g_b[j] = total
    _, firsts = varying_inputs(layer)
    columns, squares = columns_at(layer, thread, firsts, batch, x)
    chosen = array_at(layer[at.INPUT_NUMBERS], (inputs,), INDEX)
    lay_out(x, chosen, firsts, 0, firsts.size, columns, squares)


@inlined
def gradients_of_weights(
    thread: int, threads: int, layer: Any, g_divergence: float, batch: int, like: Any
) -> None:
    """Compute the gradients of the weights of the thread's outputs."""
    outputs, inputs = layer[at.OUTPUTS], layer[at.INPUTS]
    W = array_at(layer[at.WEIGHTS], (outputs * inputs,), like)
    alpha = array_at(layer[at.ALPHA], (outputs * inputs,), like)
    slope = array_at(layer[at.SLOPE], (outputs * inputs,), like)
    g_W = array_at(layer[at.G_WEIGHTS], (outputs * inputs,), like)
    g_log_sigma2 = array_at(layer[at.G_LOG_SIGMA2], (outputs * inputs,), like)
    g_mean = array_at(layer[at.G_MEAN], (outputs * batch,), like)
    g_variance = array_at(layer[at.G_VARIANCE], (outputs * batch,), like)
    constants = array_at(layer[at.CONSTANTS], (inputs,), like)
    varying, firsts = varying_inputs(layer)
    columns, squares = columns_at(layer, thread, firsts, batch, like)
    group, steps = rows_of_a_group(inputs, like.itemsize), numpy.arange(batch)
    begin, end, _, _ = own_outputs(thread, threads, layer)
    for first in range(begin, end, group):
        last = min(first + group, end)
        rows, part = slice(first * batch, last * batch), slice(first * inputs, last * inputs)
        to_W, to_log_sigma2, height = g_W[part], g_log_sigma2[part], last - first
        multiply(g_mean[rows], batch, steps, height, columns, firsts, inputs, to_W)
        multiply(g_variance[rows], batch, steps, height, squares, firsts, inputs, to_log_sigma2)
        if varying.size < inputs:
            _fill_gaps(g_mean[rows], g_variance[rows], constants, firsts, to_W, to_log_sigma2)
        for row in range(first, last, TILE_ROWS):
            part = slice(row * inputs, min(row + TILE_ROWS, last) * inputs)
            place = slice(part.start - first * inputs, part.stop - first * inputs)
            weight_gradients(
                W[part],
                alpha[part],
                slope[part],
                layer[at.MASKS_VARIANCE] != 0,
                g_divergence,
                to_W[place],
                to_log_sigma2[place],
            )


@compiled
def _fill_gaps(
    g_mean: Any, g_variance: Any, constants: Any, firsts: Any, to_W: Any, to_log_sigma2: Any
) -> None:
    """Compute gradients between panels, for inputs that are the same for all of a batch."""
    inputs, zero = constants.size, constants.dtype.type(0)
    rows, lanes = to_W.size // inputs, PANEL_BYTES // constants.itemsize
    batch = g_mean.size // rows
    for j in range(rows):
        total, total_of_variance = zero, zero
        for i in range(j * batch, (j + 1) * batch):
            total += g_mean[i]
            total_of_variance += g_variance[i]
        place, begin = j * inputs, 0
        for p in range(firsts.size + 1):
            end = firsts[p] if p < firsts.size else inputs
            for k in range(begin, end):
                to_W[place + k] = constants[k] * total
                to_log_sigma2[place + k] = constants[k] * constants[k] * total_of_variance
            begin = end + lanes


@inlined
def gradients_of_inputs(thread: int, threads: int, layer: Any, x: Any, through_relu: bool) -> None:
    """Compute the gradients of the thread's inputs, through the ReLU before them if there is one."""
    batch, outputs, inputs = x.shape[0], layer[at.OUTPUTS], layer[at.INPUTS]
    g_mean = array_at(layer[at.G_MEAN], (outputs * batch,), x)
    g_variance = array_at(layer[at.G_VARIANCE], (outputs * batch,), x)
    width = PANEL_BYTES // x.itemsize
    begin, end, first_of_all, last_of_all = own_inputs(thread, threads, layer, width)
    first, last = begin // width, (end + width - 1) // width
    # the thread's own panels, as if there were no others
    means = numpy.empty((last - first, outputs, width), x.dtype)
    variances = numpy.empty((last - first, outputs, width), x.dtype)
    _lay_out_moments(layer, begin, end, x, means, variances)
    columns = end - begin
    through_mean = numpy.empty(batch * columns, x.dtype)
    through_variance = numpy.empty(batch * columns, x.dtype)
    steps, firsts = numpy.arange(outputs) * batch, first_columns(means)
    multiply(g_mean, 1, steps, batch, means, firsts, columns, through_mean)
    multiply(g_variance, 1, steps, batch, variances, firsts, columns, through_variance)
    numbers = array_at(layer[at.INPUT_NUMBERS], (inputs,), INDEX)
    g_x = array_at(layer[at.G_INPUTS], x.shape, x)
    zero, two = x.dtype.type(0), x.dtype.type(2)
    for i in range(batch):
        if inputs < x.shape[1]:
            for j in range(first_of_all, last_of_all):
                g_x[i, j] = zero
        for j in range(columns):
            place = uintp(numbers[begin + j])
            value, k = x[i, place], i * columns + j
            gradient = through_mean[k] + two * value * through_variance[k]
            g_x[i, place] = gradient if not through_relu or value > zero else zero


@inlined
def _lay_out_moments(
    layer: Any, begin: int, end: int, like: Any, means: Any, variances: Any
) -> None:
    """Compute mean and variance of some inputs' weights once more, as right factors."""
    number = like.dtype.type
    zero, length, width = number(0), uintp(means.shape[1]), uintp(means.shape[2])
    inputs, size = uintp(layer[at.INPUTS]), layer[at.INPUTS] * layer[at.OUTPUTS]
    weights = array_at(layer[at.WEIGHTS], (size,), like)
    alphas = array_at(layer[at.ALPHA], (size,), like)
    mask_variance = layer[at.MASKS_VARIANCE] != 0
    to_means, to_variances = means.reshape(-1), variances.reshape(-1)
    for p in range(uintp(means.shape[0])):
        first = uintp(begin) + p * width
        here = min(width, uintp(end) - first)
        for k in range(length):
            place, source = (p * length + k) * width, k * inputs + first
            for lane in range(here):
                w, value = weights[source + lane], alphas[source + lane]
                is_cut = value < zero
                to_means[place + lane] = zero if is_cut else w
                variance = zero if is_cut and mask_variance else abs(value) * w * w
                to_variances[place + lane] = variance
            for lane in range(here, width):
                to_means[place + lane] = to_variances[place + lane] = zero
