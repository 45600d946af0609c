"""The noise of pre-activations, drawn and applied to their means and variances, on the CPU."""

from typing import Any

import numpy

from vdprune.kernels.compiled import compiled
from vdprune.kernels.constants import EPSILON
from vdprune.kernels.vector_math import four_normals

# See vdprune/kernels/cpu.py.
_TAKEN_FROM_ELSEWHERE = "5969c1ecbad7a52b"

__all__ = ["sample", "sample_turned"]


@compiled
def sample(
    mean: Any, variance: Any, columns: Any, noise_scale: float, given: Any, key0: int, key1: int
) -> None:
    """Draw from normal distributions, in place.

    The draws are a function of the key, of a column's number and of the row: rows i, i + q, i + 2q and
    i + 3q, q being a quarter of all, share a counter.

    Args:
        mean: Means, two-dimensional; become mean + sqrt(variance + 1e-8) * noise, but stay as they are
            where the variance is 0 or less.
        variance: Variances; become noise / (2 * sqrt(variance + 1e-8)), the slope of the above, or 0.
        columns: Number of each column, uint32.
        noise_scale: What standard normal draws are multiplied by to get the noise.
        given: Standard normal draws to use, same shape; empty for new ones.
        key0: First half of the key of the noise, below 2^32.
        key1: Second half.
    """
    rows = mean.shape[0]
    if given.size > 0:
        for row in range(rows):
            add_noise(given[row], noise_scale, mean[row], variance[row])
        return
    quarter = (rows + 3) // 4
    noise = numpy.empty((4, columns.size), mean.dtype)
    first, second = numpy.uint32(key0), numpy.uint32(key1)
    for i in range(quarter):
        draw_noise(columns, numpy.uint32(i), first, second, noise[0], noise[1], noise[2], noise[3])
        for k in range(4):
            row = i + k * quarter
            if row < rows:
                add_noise(noise[k], noise_scale, mean[row], variance[row])


@compiled
def sample_turned(
    mean: Any, variance: Any, columns: Any, noise_scale: float, given: Any, key0: int, key1: int
) -> None:
    """Do what `sample` does, with the same draws, to arrays that lie transposed.

    Args:
        mean: Means, a row for each of the columns, and rows that are left alone.
        variance: Variances, likewise.
        columns: Number of each column, uint32.
        noise_scale: What standard normal draws are multiplied by to get the noise.
        given: Standard normal draws to use, likewise; empty for new ones.
        key0: First half of the key of the noise, below 2^32.
        key1: Second half.
    """
    rows = mean.shape[1]
    quarter = (rows + 3) // 4
    numbers = numpy.arange(quarter).astype(numpy.uint32)
    noise = numpy.empty((4, quarter), mean.dtype)
    flat = noise.reshape(-1)
    first, second = numpy.uint32(key0), numpy.uint32(key1)
    for j in range(columns.size):
        if given.size > 0:
            add_noise(given[j], noise_scale, mean[j], variance[j])
            continue
        _draw_down(columns[j], numbers, first, second, noise[0], noise[1], noise[2], noise[3])
        add_noise(flat[:rows], noise_scale, mean[j], variance[j])


@compiled
def _draw_down(
    column: Any, rows: Any, key0: Any, key1: Any, a: Any, b: Any, c: Any, d: Any
) -> None:
    """Draw standard normal numbers for the rows of a column: see `draw_noise`."""
    number = a.dtype.type
    for i in range(rows.size):
        normals = four_normals(column, rows[i], key0, key1)
        a[i], b[i] = number(normals[0]), number(normals[1])
        c[i], d[i] = number(normals[2]), number(normals[3])


@compiled
def draw_noise(
    columns: Any, row: Any, key0: Any, key1: Any, a: Any, b: Any, c: Any, d: Any
) -> None:
    """Draw standard normal numbers for four rows: see `sample`.

    Args:
        columns: Number of each column, uint32.
        row: Number of the first of the rows, uint32.
        key0: First half of the key, uint32.
        key1: Second half.
        a: Result for the first row.
        b: For the second.
        c: For the third.
        d: For the fourth.
    """
    number = a.dtype.type
    for j in range(columns.size):
        normals = four_normals(columns[j], row, key0, key1)
        a[j], b[j] = number(normals[0]), number(normals[1])
        c[j], d[j] = number(normals[2]), number(normals[3])


@compiled
def add_noise(normals: Any, noise_scale: float, mean: Any, variance: Any) -> None:
    """Turn means and variances of one row into draws and slopes, in place: see `sample`.

    Args:
        normals: Standard normal numbers.
        noise_scale: What they are multiplied by.
        mean: Means.
        variance: Variances.
    """
    number = mean.dtype.type
    zero, half, epsilon, scale = number(0), number(0.5), number(EPSILON), number(noise_scale)
    for j in range(normals.size):
        # what is a little below 0 is a 0 that was rounded, of a convolution in Winograd's basis
        value = zero if variance[j] < zero else variance[j]
        deviation = numpy.sqrt(value + epsilon)
        drawn = zero if value == zero else scale * normals[j]
        mean[j] += deviation * drawn
        variance[j] = half * drawn / deviation
