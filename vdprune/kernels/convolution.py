"""What is done to the outputs of a convolution beside its products, on the CPU.

Layers have images first. Products may have filters first instead: those are given as rows of pixels, row
f * steps[0] + n * steps[1] being of filter f and image n.
"""

from typing import Any

import numpy

from vdprune.kernels.compiled import compiled
from vdprune.kernels.noise import add_noise, draw_noise

# See vdprune/kernels/cpu.py.
_TAKEN_FROM_ELSEWHERE = "550503ab7c217da2"

__all__ = ["combine", "part_gradients", "sample"]

_Pair = tuple[int, int]


@compiled
def sample(
    means: Any,
    variances: Any,
    steps: _Pair,
    places: Any,
    b: Any,
    first: int,
    noise_scale: float,
    given: Any,
    key0: int,
    key1: int,
    y: Any,
    slopes: Any,
) -> None:
    """Draw outputs as `vdprune.kernels.noise.sample` does, a filter being a row and a pixel a column.

    Args:
        means: Their means without biases, rows of pixels.
        variances: Their variances, likewise.
        steps: How the rows are ordered.
        places: Number of each filter among those that rows are of; -1 where a filter has no weights.
        b: Biases, shape (filters,).
        first: Number of the first image.
        noise_scale: What standard normal draws are multiplied by to get the noise.
        given: Standard normal draws to use, shaped like y; empty for new ones.
        key0: First half of the key of the noise, below 2^32.
        key1: Second half.
        y: Result: the outputs, shape (images, filters, pixels).
        slopes: Result: their slopes by the variances, same shape.
    """
    images, filters, pixels = y.shape
    quarter = (filters + 3) // 4
    noise = numpy.empty((4, pixels), y.dtype)
    columns = numpy.empty(pixels, numpy.uint32)
    for n in range(images):
        for k in range(pixels):
            columns[k] = (first + n) * pixels + k
        for i in range(quarter):
            if given.size == 0:
                row, keys = numpy.uint32(i), (numpy.uint32(key0), numpy.uint32(key1))
                draw_noise(columns, row, *keys, noise[0], noise[1], noise[2], noise[3])
            for k in range(4):
                f = i + k * quarter
                if f >= filters:
                    continue
                outputs, slope = y[n, f], slopes[n, f]
                if places[f] < 0:
                    outputs[:] = b[f]
                    slope[:] = 0
                    continue
                place = places[f] * steps[0] + n * steps[1]
                outputs[:] = means[place]
                slope[:] = variances[place]
                normals = noise[k] if given.size == 0 else given[n, f]
                add_noise(normals, noise_scale, outputs, slope)
                outputs += b[f]


@compiled
def part_gradients(
    g: Any, slopes: Any, filters: Any, steps: _Pair, g_means: Any, g_variances: Any, g_b: Any
) -> None:
    """Take apart what comes back through the means of `sample` and through its variances.

    Args:
        g: Gradients of the outputs, shape (images, all filters, pixels).
        slopes: As `sample` left them.
        filters: Numbers of the filters with weights.
        steps: How the rows of the results are ordered.
        g_means: Result: gradients of the means, rows of pixels.
        g_variances: Result: gradients of the variances, likewise.
        g_b: Gradient of the biases, shape (all filters,); what these images add to it is added.
    """
    for n in range(g.shape[0]):
        for f in range(g.shape[1]):
            g_b[f] += g[n, f].sum()
        for i in range(filters.size):
            f, place = filters[i], i * steps[0] + n * steps[1]
            g_means[place, :] = g[n, f]
            _multiply(g[n, f], slopes[n, f], g_variances[place])


@compiled
def _multiply(a: Any, b: Any, out: Any) -> None:
    for k in range(out.size):
        out[k] = a[k] * b[k]


@compiled
def combine(x: Any, through_means: Any, through_variances: Any, g_x: Any) -> None:
    """Put together the gradient of inputs whose squares went into the variances.

    Args:
        x: Inputs, one-dimensional as all that follow.
        through_means: What came back through the means.
        through_variances: What came back through the variances, to the squares.
        g_x: Result.
    """
    two = x.dtype.type(2)
    for k in range(x.size):
        g_x[k] = through_means[k] + two * x[k] * through_variances[k]
