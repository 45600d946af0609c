"""A convolution with few weights as sums of shifted images, one for each weight, without unfolding.

Images lie in rows, one for each channel: all pixels of the first image, line by line, then those of the
next. In such a row a weight's inputs lie one distance, its shift, from its outputs, whatever the pixel;
so a weight is one pass over a whole row. Outputs at the ends of lines, which take in pixels of the next
line or image, are worth nothing; who calls this leaves them out.

Source: Park et al., "Faster CNNs with Direct Sparse Convolutions and Guided Pruning", ICLR 2017,
section 2.1, with images next to each other where theirs are one at a time.
"""

from typing import Any

from numpy import uintp

from vdprune.kernels.compiled import compiled

__all__ = ["correlate", "sum_shifted"]

_BLOCK = 1024  # outputs at a time: they stay in the first cache while weight after weight is added


@compiled
def sum_shifted(
    weights: Any, starts: Any, rows: Any, shifts: Any, sources: Any, targets: Any
) -> None:
    """Compute each target row as the weighted sum of parts of source rows.

    Args:
        weights: Shape (weights,), those of a target next to each other.
        starts: Where those of each target begin, and where the last one's end; shape (targets + 1,).
        rows: Source row of each weight.
        shifts: Where in that row the part begins that is added; with the length of a target it ends
            within the row.
        sources: Shape (sources, any length), contiguous.
        targets: Result, shape (targets, length), contiguous.
    """
    length, step = targets.shape[1], sources.shape[1]
    flat = sources.reshape(-1)
    for target in range(targets.shape[0]):
        for begin in range(0, length, _BLOCK):
            out = targets[target, begin : min(begin + _BLOCK, length)]
            out[:] = 0
            k, last = starts[target], starts[target + 1]
            while k + 4 <= last:
                places = (
                    uintp(rows[k] * step + shifts[k] + begin),
                    uintp(rows[k + 1] * step + shifts[k + 1] + begin),
                    uintp(rows[k + 2] * step + shifts[k + 2] + begin),
                    uintp(rows[k + 3] * step + shifts[k + 3] + begin),
                )
                _add_four(weights[k : k + 4], flat, places, out)
                k += 4
            while k < last:
                _add(weights[k], flat, uintp(rows[k] * step + shifts[k] + begin), out)
                k += 1


@compiled
def _add_four(weights: Any, flat: Any, places: Any, out: Any) -> None:
    """Add to an array four parts of another, each times its weight.

    Args:
        weights: Shape (4,).
        flat: Where the parts are.
        places: Where each begins, uintp.
        out: Result, as long as a part.
    """
    first, second, third, fourth = weights[0], weights[1], weights[2], weights[3]
    a, b, c, d = places
    for i in range(uintp(out.size)):
        out[i] += (first * flat[a + i] + second * flat[b + i]) + (
            third * flat[c + i] + fourth * flat[d + i]
        )


@compiled
def _add(weight: Any, flat: Any, place: Any, out: Any) -> None:
    """Add to an array a part of another times a weight: see `_add_four`."""
    for i in range(uintp(out.size)):
        out[i] += weight * flat[place + i]


@compiled
def correlate(
    gradients: Any, skip: int, starts: Any, rows: Any, shifts: Any, sources: Any, result: Any
) -> None:
    """Compute the gradient of `sum_shifted` by its weights.

    Args:
        gradients: Those of the targets, shape (targets, skip + length), contiguous.
        skip: How much of each row comes before them.
        starts: As for `sum_shifted`.
        rows: As for `sum_shifted`.
        shifts: As for `sum_shifted`.
        sources: As for `sum_shifted`.
        result: Result, shape (weights,).
    """
    length, step = gradients.shape[1], sources.shape[1]
    flat = sources.reshape(-1)
    result[:] = 0
    for target in range(gradients.shape[0]):
        for begin in range(skip, length, _BLOCK):
            g = gradients[target, begin : min(begin + _BLOCK, length)]
            for k in range(starts[target], starts[target + 1]):
                result[k] += _dot(g, flat, uintp(rows[k] * step + shifts[k] + begin - skip))


@compiled
def _dot(g: Any, flat: Any, place: Any) -> Any:
    total = g.dtype.type(0)
    for i in range(uintp(g.size)):
        total += g[i] * flat[place + i]
    return total
