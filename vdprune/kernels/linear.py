"""What linear layers with noisy weights do on the CPU, one after the other, in several threads at once.

From the first layer's inputs to the last one's draws, and back: nothing of Python is needed in between.
Threads have some of the outputs, and of the inputs, each; they meet where one needs what all others
made. Some outputs at a time go through all of a layer, so that what is made of their weights stays in
the processor's cache.
"""

from typing import Any

import numpy
from numpy import uintp

from vdprune.kernels import linear_layout as at
from vdprune.kernels.compiled import compiled, inlined
from vdprune.kernels.constants import PANEL_BYTES
from vdprune.kernels.cpu import weight_gradients, weight_moments
from vdprune.kernels.noise import sample_turned
from vdprune.kernels.pointers import array_at
from vdprune.kernels.products import TILE_ROWS, lay_out, lay_out_turned, multiply
from vdprune.kernels.waiting import meet

# See vdprune/kernels/cpu.py.
_TAKEN_FROM_ELSEWHERE = "8e985e2b3a64c5ae"

__all__ = ["backward", "forward"]

_GROUP_BYTES = 2**17  # of the moments of the outputs that are gone through at a time


_INDEX = numpy.zeros(1, numpy.intp)
_NUMBER = numpy.zeros(1, numpy.uint32)


@inlined
def forward(
    thread: int, threads: int, meeting: Any, layers: Any, settings: Any, x: Any, divergences: Any
) -> int:
    """Draw the pre-activations of layers, one after the other.

    Args:
        thread: Number of the thread that does this.
        threads: How many do, each with this.
        meeting: How many have come to meet the others so far; an array of one int64, 0 at first.
        layers: A row for each layer: see `vdprune.kernels.linear_layout`.
        settings: Another.
        x: Inputs of the first, shape (batch, all inputs).
        divergences: Result: at this thread's place the KL divergence of weights, summed.

    Returns:
        How often threads have met; -1 if they were stopped.
    """
    met, batch, inputs = 0, x.shape[0], x
    divergences[thread] = 0.0
    for number in range(layers.shape[0]):
        layer = layers[number]
        _prepare(thread, threads, layer, inputs)
        met += 1
        if not meet(meeting, met * threads):
            return -1
        divergences[thread] += _draw(thread, threads, layer, settings[number], batch, x)
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
) -> bool:
    """Compute the gradients of what `forward` was given; that of the results is with the last layer.

    Args:
        thread: As for `forward`.
        threads: As for `forward`.
        meeting: As for `forward`.
        met: How often threads have met there before.
        layers: As for `forward`.
        x: As for `forward`.
        g_divergence: Gradient of the KL divergence.
        wants_x: Whether the gradient of x is wanted.

    Returns:
        Whether it was not stopped.
    """
    batch = x.shape[0]
    for number in range(layers.shape[0] - 1, -1, -1):
        layer, inputs = layers[number], x
        if number > 0:
            below = layers[number - 1]
            inputs = array_at(below[at.RESULT], (batch, below[at.ALL_OUTPUTS]), x)
        has_more = number > 0 or wants_x
        _prepare_back(thread, threads, layer, inputs, has_more)
        met += 1
        if not meet(meeting, met * threads):
            return False
        if has_more:
            through_relu = number > 0 and layers[number - 1, at.HAS_RELU] != 0
            _gradients_of_inputs(thread, threads, layer, inputs, through_relu)
        _gradients_of_weights(thread, threads, layer, g_divergence, batch, x)
        if has_more:
            met += 1
            if not meet(meeting, met * threads):
                return False
    return True


@compiled
def _share(length: int, unit: int, thread: int, threads: int) -> tuple[int, int]:
    """Return a thread's part of a range, in units but for the last."""
    units = (length + unit - 1) // unit
    first, last = units * thread // threads * unit, units * (thread + 1) // threads * unit
    return first, min(last, length)


@compiled
def _factor(address: int, columns: int, length: int, like: Any) -> Any:
    """Find a right factor: see `vdprune.kernels.products.lay_out`."""
    width = PANEL_BYTES // like.itemsize
    return array_at(address, ((columns + width - 1) // width, length, width), like)


# Each thread finds the same and writes it to the same place.
@compiled
def _find_varying(layer: Any, x: Any) -> None:
    """Find inputs that are not the same for all of a batch: others need no products of matrices."""
    batch, width, inputs = uintp(x.shape[0]), uintp(x.shape[1]), layer[at.INPUTS]
    flat, differs = x.reshape(-1), numpy.zeros(x.shape[1], numpy.int32)
    for i in range(uintp(1), batch):
        for j in range(width):
            differs[j] |= flat[i * width + j] != flat[j]
    numbers = array_at(layer[at.INPUT_NUMBERS], (inputs,), _INDEX)
    counts = array_at(layer[at.COUNTS], (2,), _INDEX)
    varying = array_at(layer[at.VARYING], (inputs,), _INDEX)
    constants = array_at(layer[at.CONSTANTS], (inputs,), x)
    lanes = PANEL_BYTES // x.itemsize
    firsts = array_at(layer[at.FIRSTS], ((inputs + lanes - 1) // lanes,), _INDEX)
    count, panels, end = 0, 0, 0
    for k in range(inputs):
        varies = differs[numbers[k]] != 0
        constants[k] = x.dtype.type(0) if varies else x[0, numbers[k]]
        if varies:
            varying[count] = k
            count += 1
            if k >= end:
                firsts[panels], end = k, k + lanes
                panels += 1
    counts[0], counts[1] = count, panels


@compiled
def _varying(layer: Any) -> tuple[Any, Any]:
    """Return what `_find_varying` found: numbers of the inputs, and those where panels begin."""
    counts = array_at(layer[at.COUNTS], (2,), _INDEX)
    return (
        array_at(layer[at.VARYING], (counts[0],), _INDEX),
        array_at(layer[at.FIRSTS], (counts[1],), _INDEX),
    )


@compiled
def _firsts(panels: Any) -> Any:
    """Return the first columns of the panels of a whole factor."""
    return numpy.arange(panels.shape[0]) * panels.shape[2]


@inlined
def _prepare(thread: int, threads: int, layer: Any, x: Any) -> None:
    """Lay out inputs as a right factor; give outputs that may have no weights what is left to them."""
    batch, inputs, width = x.shape[0], layer[at.INPUTS], layer[at.ALL_OUTPUTS]
    _find_varying(layer, x)
    varying, _ = _varying(layer)
    chosen = array_at(layer[at.INPUT_NUMBERS], (inputs,), _INDEX)[varying]
    factor = _factor(layer[at.FACTOR], batch, varying.size, x)
    squares = _factor(layer[at.SQUARES], batch, varying.size, x)
    first, last = _share(factor.shape[0], 1, thread, threads)
    lay_out_turned(x, chosen, first, last, factor, squares)
    if layer[at.OUTPUTS] == width:
        return
    y, zero = array_at(layer[at.RESULT], (batch, width), x), x.dtype.type(0)
    first, last = _share(batch, 1, thread, threads)
    has_biases, has_relu = layer[at.BIASES] != 0, layer[at.HAS_RELU] != 0
    b = array_at(layer[at.BIASES], (width if has_biases else 0,), x)
    for i in range(first, last):
        for j in range(width):
            value = b[j] if has_biases else zero
            y[i, j] = zero if has_relu and value < zero else value


@inlined
def _draw(thread: int, threads: int, layer: Any, settings: Any, batch: int, like: Any) -> float:
    """Draw a layer's pre-activations, and apply ReLU if it has that: the thread's outputs'."""
    outputs, inputs, width = layer[at.OUTPUTS], layer[at.INPUTS], layer[at.ALL_OUTPUTS]
    W = array_at(layer[at.WEIGHTS], (outputs * inputs,), like)
    log_sigma2 = array_at(layer[at.LOG_SIGMA2], (outputs * inputs,), like)
    alpha = array_at(layer[at.ALPHA], (outputs * inputs,), like)
    slope = array_at(layer[at.SLOPE], (outputs * inputs,), like)
    slopes = array_at(layer[at.SLOPES], (outputs, batch), like)
    varying, _ = _varying(layer)
    constants = array_at(layer[at.CONSTANTS], (inputs,), like)
    factor = _factor(layer[at.FACTOR], batch, varying.size, like)
    squares = _factor(layer[at.SQUARES], batch, varying.size, like)
    numbers = array_at(layer[at.OUTPUT_NUMBERS], (outputs,), _NUMBER)
    y = array_at(layer[at.RESULT], (batch, width), like)
    given = array_at(layer[at.NOISE], (outputs if layer[at.NOISE] != 0 else 0, batch), like)
    group, firsts = _rows_of_a_group(inputs, like.itemsize), _firsts(factor)
    # two arrays: see _log_alpha in vdprune/kernels/cpu.py
    mean, variance = (
        numpy.empty(group * inputs, like.dtype),
        numpy.empty(group * inputs, like.dtype),
    )
    draws = numpy.empty((group, batch), like.dtype)
    zero, has_relu = like.dtype.type(0), layer[at.HAS_RELU] != 0
    has_biases = layer[at.BIASES] != 0
    b = array_at(layer[at.BIASES], (width if has_biases else 0,), like)
    divergence = 0.0
    begin, end = _share(outputs, TILE_ROWS, thread, threads)
    for first in range(begin, end, group):
        last = min(first + group, end)
        part, size = slice(first * inputs, last * inputs), (last - first) * inputs
        divergence += weight_moments(
            W[part],
            log_sigma2[part],
            settings[at.THRESHOLD],
            layer[at.MASKS_VARIANCE] != 0,
            settings[at.K1],
            mean[:size],
            variance[:size],
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
    return divergence


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


@compiled
def _rows_of_a_group(inputs: int, itemsize: int) -> int:
    return max(1, _GROUP_BYTES // (2 * inputs * itemsize * TILE_ROWS)) * TILE_ROWS


@inlined
def _prepare_back(thread: int, threads: int, layer: Any, x: Any, has_more: bool) -> None:
    """Turn gradients of draws into those of moments; lay out inputs, now by their columns."""
    batch, inputs, outputs = x.shape[0], layer[at.INPUTS], layer[at.OUTPUTS]
    width = layer[at.ALL_OUTPUTS]
    g = array_at(layer[at.G_RESULT], (batch, width), x)
    slopes = array_at(layer[at.SLOPES], (outputs, batch), x)
    g_mean = array_at(layer[at.G_MEAN], (outputs, batch), x)
    g_variance = array_at(layer[at.G_VARIANCE], (outputs, batch), x)
    numbers = array_at(layer[at.OUTPUT_NUMBERS], (outputs,), _NUMBER)
    first, last = _share(outputs, TILE_ROWS, thread, threads)
    for j in range(first, last):
        output = uintp(numbers[j])
        for i in range(batch):
            g_mean[j, i] = g[i, output]
        for i in range(batch):
            g_variance[j, i] = g_mean[j, i] * slopes[j, i]
    if layer[at.G_BIASES] != 0:
        g_b = array_at(layer[at.G_BIASES], (width,), x)
        first, last = _share(width, 1, thread, threads)
        for j in range(first, last):
            total = x.dtype.type(0)
            for i in range(batch):
                total += g[i, j]
            g_b[j] = total
    _, firsts = _varying(layer)
    columns, squares = _columns(layer, firsts, batch, x)
    first, last = _share(firsts.size, 1, thread, threads)
    chosen = array_at(layer[at.INPUT_NUMBERS], (inputs,), _INDEX)
    lay_out(x, chosen, firsts, first, last, columns, squares)
    if has_more and inputs < x.shape[1]:
        g_x = array_at(layer[at.G_INPUTS], x.shape, x)
        first, last = _share(batch, 1, thread, threads)
        for i in range(first, last):
            for j in range(x.shape[1]):
                g_x[i, j] = x.dtype.type(0)


@compiled
def _columns(layer: Any, firsts: Any, batch: int, like: Any) -> tuple[Any, Any]:
    """Find inputs as right factors whose panels begin at these inputs, and their squares."""
    shape = firsts.size, batch, PANEL_BYTES // like.itemsize
    return (
        array_at(layer[at.COLUMNS], shape, like),
        array_at(layer[at.SQUARED_COLUMNS], shape, like),
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
def _gradients_of_weights(
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
    varying, firsts = _varying(layer)
    columns, squares = _columns(layer, firsts, batch, like)
    group, steps = _rows_of_a_group(inputs, like.itemsize), numpy.arange(batch)
    begin, end = _share(outputs, TILE_ROWS, thread, threads)
    for first in range(begin, end, group):
        last = min(first + group, end)
        rows, part = slice(first * batch, last * batch), slice(first * inputs, last * inputs)
        to_W, to_log_sigma2, height = g_W[part], g_log_sigma2[part], last - first
        multiply(g_mean[rows], batch, steps, height, columns, firsts, inputs, to_W)
        multiply(g_variance[rows], batch, steps, height, squares, firsts, inputs, to_log_sigma2)
        if varying.size < inputs:
            _fill_gaps(g_mean[rows], g_variance[rows], constants, firsts, to_W, to_log_sigma2)
        masks_variance = layer[at.MASKS_VARIANCE] != 0
        weight_gradients(
            W[part], alpha[part], slope[part], masks_variance, g_divergence, to_W, to_log_sigma2
        )


@inlined
def _gradients_of_inputs(thread: int, threads: int, layer: Any, x: Any, through_relu: bool) -> None:
    """Compute the gradients of the thread's inputs, through the ReLU before them if there is one."""
    batch, outputs, inputs = x.shape[0], layer[at.OUTPUTS], layer[at.INPUTS]
    g_mean = array_at(layer[at.G_MEAN], (outputs * batch,), x)
    g_variance = array_at(layer[at.G_VARIANCE], (outputs * batch,), x)
    width = PANEL_BYTES // x.itemsize
    begin, end = _share(inputs, width, thread, threads)
    first, last = begin // width, (end + width - 1) // width
    # the thread's own panels, as if there were no others
    means = numpy.empty((last - first, outputs, width), x.dtype)
    variances = numpy.empty((last - first, outputs, width), x.dtype)
    _lay_out_moments(layer, begin, end, x, means, variances)
    columns = end - begin
    through_mean = numpy.empty(batch * columns, x.dtype)
    through_variance = numpy.empty(batch * columns, x.dtype)
    steps, firsts = numpy.arange(outputs) * batch, _firsts(means)
    multiply(g_mean, 1, steps, batch, means, firsts, columns, through_mean)
    multiply(g_variance, 1, steps, batch, variances, firsts, columns, through_variance)
    numbers = array_at(layer[at.INPUT_NUMBERS], (inputs,), _INDEX)
    g_x = array_at(layer[at.G_INPUTS], x.shape, x)
    zero, two = x.dtype.type(0), x.dtype.type(2)
    for i in range(batch):
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
