"""The way forward through a linear layer with noisy weights: see `linear.py`."""

from typing import Any

import numpy
from numpy import uintp

from vdprune.kernels import linear_layout as at
from vdprune.kernels.compiled import compiled, inlined
from vdprune.kernels.constants import PANEL_BYTES, TILE_ROWS
from vdprune.kernels.cpu import weight_moments
from vdprune.kernels.linear_arrays import (
    INDEX,
    NUMBER,
    factors_at,
    first_columns,
    own_outputs,
    rows_of_a_group,
)
from vdprune.kernels.noise import sample_turned
from vdprune.kernels.pointers import array_at
from vdprune.kernels.products import lay_out_turned, multiply

# See vdprune/kernels/cpu.py.
_TAKEN_FROM_ELSEWHERE = "52493f0bbd643df7"

__all__ = ["draw", "prepare"]


@inlined
def prepare(thread: int, threads: int, layer: Any, x: Any) -> tuple[Any, Any]:
    """Lay out inputs as a right factor; give outputs that may have no weights what is left to them."""
    batch, inputs = x.shape[0], layer[at.INPUTS]
    varying, firsts, constants = _find_varying(layer, x)
    if thread == 0:
        counts = array_at(layer[at.COUNTS], (2,), INDEX)
        counts[0], counts[1] = varying.size, firsts.size
        array_at(layer[at.VARYING], (varying.size,), INDEX)[:] = varying
        array_at(layer[at.FIRSTS], (firsts.size,), INDEX)[:] = firsts
        array_at(layer[at.CONSTANTS], (inputs,), x)[:] = constants
    chosen = array_at(layer[at.INPUT_NUMBERS], (inputs,), INDEX)[varying]
    factor, squares = factors_at(layer, thread, batch, varying.size, x)
    lay_out_turned(x, chosen, 0, factor.shape[0], factor, squares)
    if layer[at.OUTPUTS] < layer[at.ALL_OUTPUTS]:
        _fill_with_biases(thread, threads, layer, x)
    return varying, constants


@compiled
def _fill_with_biases(thread: int, threads: int, layer: Any, x: Any) -> None:
    width, zero = layer[at.ALL_OUTPUTS], x.dtype.type(0)
    y = array_at(layer[at.RESULT], (x.shape[0], width), x)
    has_biases, has_relu = layer[at.BIASES] != 0, layer[at.HAS_RELU] != 0
    b = array_at(layer[at.BIASES], (width if has_biases else 0,), x)
    _, _, first, last = own_outputs(thread, threads, layer)
    for i in range(x.shape[0]):
        for j in range(first, last):
            value = b[j] if has_biases else zero
            y[i, j] = zero if has_relu and value < zero else value


# Each thread finds the same.
@compiled
def _find_varying(layer: Any, x: Any) -> tuple[Any, Any, Any]:
    """Find inputs that are not the same for all of a batch: others need no products of matrices."""
    batch, width, inputs = uintp(x.shape[0]), uintp(x.shape[1]), layer[at.INPUTS]
    flat, differs = x.reshape(-1), numpy.zeros(x.shape[1], numpy.int32)
    for i in range(uintp(1), batch):
        for j in range(width):
            differs[j] |= flat[i * width + j] != flat[j]
    numbers = array_at(layer[at.INPUT_NUMBERS], (inputs,), INDEX)
    lanes = PANEL_BYTES // x.itemsize
    varying, constants = numpy.empty(inputs, numpy.intp), numpy.empty(inputs, x.dtype)
    firsts = numpy.empty((inputs + lanes - 1) // lanes, numpy.intp)
    count, panels, end = 0, 0, 0
    for k in range(inputs):
        varies = differs[numbers[k]] != 0
        constants[k] = x.dtype.type(0) if varies or batch == 0 else x[0, numbers[k]]
        if varies:
            varying[count] = k
            count += 1
            if k >= end:
                firsts[panels], end = k, k + lanes
                panels += 1
    return varying[:count], firsts[:panels], constants


@inlined
def draw(
    thread: int,
    threads: int,
    layer: Any,
    settings: Any,
    batch: int,
    like: Any,
    varying: Any,
    constants: Any,
    divergences: Any,
) -> None:
    """Draw a layer's pre-activations, and apply ReLU if it has that: the thread's outputs'."""
    outputs, inputs, width = layer[at.OUTPUTS], layer[at.INPUTS], layer[at.ALL_OUTPUTS]
    W = array_at(layer[at.WEIGHTS], (outputs * inputs,), like)
    log_sigma2 = array_at(layer[at.LOG_SIGMA2], (outputs * inputs,), like)
    alpha = array_at(layer[at.ALPHA], (outputs * inputs,), like)
    slope = array_at(layer[at.SLOPE], (outputs * inputs,), like)
    slopes = array_at(layer[at.SLOPES], (outputs, batch), like)
    factor, squares = factors_at(layer, thread, batch, varying.size, like)
    numbers = array_at(layer[at.OUTPUT_NUMBERS], (outputs,), NUMBER)
    y = array_at(layer[at.RESULT], (batch, width), like)
    given = array_at(layer[at.NOISE], (outputs if layer[at.NOISE] != 0 else 0, batch), like)
    group, firsts = rows_of_a_group(inputs, like.itemsize), first_columns(factor)
    # two arrays: see _log_alpha in vdprune/kernels/cpu.py
    mean, variance = (
        numpy.empty(group * inputs, like.dtype),
        numpy.empty(group * inputs, like.dtype),
    )
    draws = numpy.empty((group, batch), like.dtype)
    zero, has_relu = like.dtype.type(0), layer[at.HAS_RELU] != 0
    has_biases = layer[at.BIASES] != 0
    b = array_at(layer[at.BIASES], (width if has_biases else 0,), like)
    begin, end, _, _ = own_outputs(thread, threads, layer)
    for first in range(begin, end, group):
        last = min(first + group, end)
        # by tiles, so that nothing depends on where a thread's part begins
        for row in range(first, last, TILE_ROWS):
            part = slice(row * inputs, min(row + TILE_ROWS, last) * inputs)
            place = slice(part.start - first * inputs, part.stop - first * inputs)
            divergences[row // TILE_ROWS] = weight_moments(
                W[part],
                log_sigma2[part],
                settings[at.THRESHOLD],
                layer[at.MASKS_VARIANCE] != 0,
                settings[at.K1],
                mean[place],
                variance[place],
                alpha[part],
                slope[part],
            )
        here = slopes[first:last]
        height = last - first
        multiply(mean, inputs, varying, height, factor, firsts, batch, draws.reshape(-1))
        multiply(variance, inputs, varying, height, squares, firsts, batch, here.reshape(-1))
        if varying.size < inputs:
            _add_constants(mean, variance, constants, height, draws, here)
        sample_turned(
            draws,
            here,
            numbers[first:last],
            settings[at.NOISE_SCALE],
            given[first:last],
            layer[at.KEY0],
            layer[at.KEY1],
        )
        for i in range(batch):
            for j in range(last - first):
                output = uintp(numbers[first + j])
                value = draws[j, i] + (b[output] if has_biases else zero)
                y[i, output] = zero if has_relu and value < zero else value


@compiled
def _add_constants(
    mean: Any, variance: Any, constants: Any, rows: int, means: Any, variances: Any
) -> None:
    """Add what inputs contribute that are the same for all of a batch."""
    zero, inputs = means.dtype.type(0), constants.size
    for j in range(rows):
        of_mean, of_variance, place = zero, zero, j * inputs
        for k in range(inputs):
            of_mean += mean[place + k] * constants[k]
            of_variance += variance[place + k] * constants[k] * constants[k]
        for i in range(means.shape[1]):
            means[j, i] += of_mean
        for i in range(means.shape[1]):
            variances[j, i] += of_variance
