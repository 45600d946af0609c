"""Changes of basis along lines of pixels: see `winograd.py`.

Each function makes some stretches of numbers out of others: those of x begin at ``place`` and ``step``
later each, those of ``out`` at ``start`` and ``out_step`` later each; all are ``count`` long. Its lines
are the rows of a matrix of the source: B^T, B, A^T, A.
"""

from typing import Any

from numpy import uintp

from vdprune.kernels.compiled import compiled

__all__ = ["inputs", "inputs_back", "outputs", "outputs_back"]


@compiled
def inputs(
    tile: Any, x: Any, place: Any, step: Any, out: Any, start: Any, out_step: Any, count: Any
) -> None:
    """Change the pixels of a tile, and of those around it, into the other basis."""
    if tile == 2:
        _inputs_2(x, place, step, out, start, out_step, count)
    else:
        _inputs_4(x, place, step, out, start, out_step, count)


@compiled
def _inputs_2(x: Any, a: Any, step: Any, out: Any, start: Any, out_step: Any, count: Any) -> None:
    b, c, d = a + step, a + uintp(2) * step, a + uintp(3) * step
    for k in range(count):
        out[start + k] = x[a + k] - x[c + k]
    start += out_step
    for k in range(count):
        out[start + k] = x[b + k] + x[c + k]
    start += out_step
    for k in range(count):
        out[start + k] = x[c + k] - x[b + k]
    start += out_step
    for k in range(count):
        out[start + k] = x[b + k] - x[d + k]


@compiled
def _inputs_4(x: Any, a: Any, step: Any, out: Any, start: Any, out_step: Any, count: Any) -> None:
    number = x.dtype.type
    two, four, five = number(2), number(4), number(5)
    b, c, d, e, f = (
        a + step,
        a + uintp(2) * step,
        a + uintp(3) * step,
        a + uintp(4) * step,
        a + uintp(5) * step,
    )
    for k in range(count):
        out[start + k] = four * x[a + k] - five * x[c + k] + x[e + k]
    start += out_step
    for k in range(count):
        out[start + k] = (x[e + k] - four * x[c + k]) + (x[d + k] - four * x[b + k])
    start += out_step
    for k in range(count):
        out[start + k] = (x[e + k] - four * x[c + k]) - (x[d + k] - four * x[b + k])
    start += out_step
    for k in range(count):
        out[start + k] = (x[e + k] - x[c + k]) + two * (x[d + k] - x[b + k])
    start += out_step
    for k in range(count):
        out[start + k] = (x[e + k] - x[c + k]) - two * (x[d + k] - x[b + k])
    start += out_step
    for k in range(count):
        out[start + k] = four * x[b + k] - five * x[d + k] + x[f + k]


@compiled
def inputs_back(
    tile: Any, x: Any, place: Any, step: Any, out: Any, start: Any, out_step: Any, count: Any
) -> None:
    """Add what comes back through `inputs`."""
    if tile == 2:
        _inputs_back_2(x, place, step, out, start, out_step, count)
    else:
        _inputs_back_4(x, place, step, out, start, out_step, count)


@compiled
def _inputs_back_2(
    x: Any, a: Any, step: Any, out: Any, start: Any, out_step: Any, count: Any
) -> None:
    b, c, d = a + step, a + uintp(2) * step, a + uintp(3) * step
    for k in range(count):
        out[start + k] += x[a + k]
    start += out_step
    for k in range(count):
        out[start + k] += x[b + k] - x[c + k] + x[d + k]
    start += out_step
    for k in range(count):
        out[start + k] += x[b + k] - x[a + k] + x[c + k]
    start += out_step
    for k in range(count):
        out[start + k] -= x[d + k]


@compiled
def _inputs_back_4(
    x: Any, a: Any, step: Any, out: Any, start: Any, out_step: Any, count: Any
) -> None:
    number = x.dtype.type
    two, four, five = number(2), number(4), number(5)
    b, c, d, e, f = (
        a + step,
        a + uintp(2) * step,
        a + uintp(3) * step,
        a + uintp(4) * step,
        a + uintp(5) * step,
    )
    for k in range(count):
        out[start + k] += four * x[a + k]
    start += out_step
    for k in range(count):
        out[start + k] += four * (x[c + k] - x[b + k] + x[f + k]) + two * (x[e + k] - x[d + k])
    start += out_step
    for k in range(count):
        out[start + k] -= five * x[a + k] + four * (x[b + k] + x[c + k]) + x[d + k] + x[e + k]
    start += out_step
    for k in range(count):
        out[start + k] += x[b + k] - x[c + k] + two * (x[d + k] - x[e + k]) - five * x[f + k]
    start += out_step
    for k in range(count):
        out[start + k] += x[a + k] + x[b + k] + x[c + k] + x[d + k] + x[e + k]
    start += out_step
    for k in range(count):
        out[start + k] += x[f + k]


@compiled
def outputs(
    tile: Any, x: Any, place: Any, step: Any, out: Any, start: Any, out_step: Any, count: Any
) -> None:
    """Change products into the outputs of a tile."""
    if tile == 2:
        _outputs_2(x, place, step, out, start, out_step, count)
    else:
        _outputs_4(x, place, step, out, start, out_step, count)


@compiled
def _outputs_2(x: Any, a: Any, step: Any, out: Any, start: Any, out_step: Any, count: Any) -> None:
    b, c, d = a + step, a + uintp(2) * step, a + uintp(3) * step
    for k in range(count):
        out[start + k] = x[a + k] + x[b + k] + x[c + k]
    start += out_step
    for k in range(count):
        out[start + k] = x[b + k] - x[c + k] - x[d + k]


@compiled
def _outputs_4(x: Any, a: Any, step: Any, out: Any, start: Any, out_step: Any, count: Any) -> None:
    number = x.dtype.type
    two, four, eight = number(2), number(4), number(8)
    b, c, d, e, f = (
        a + step,
        a + uintp(2) * step,
        a + uintp(3) * step,
        a + uintp(4) * step,
        a + uintp(5) * step,
    )
    for k in range(count):
        out[start + k] = x[a + k] + x[b + k] + x[c + k] + x[d + k] + x[e + k]
    start += out_step
    for k in range(count):
        out[start + k] = x[b + k] - x[c + k] + two * (x[d + k] - x[e + k])
    start += out_step
    for k in range(count):
        out[start + k] = x[b + k] + x[c + k] + four * (x[d + k] + x[e + k])
    start += out_step
    for k in range(count):
        out[start + k] = x[b + k] - x[c + k] + eight * (x[d + k] - x[e + k]) + x[f + k]


@compiled
def outputs_back(
    tile: Any, x: Any, place: Any, step: Any, out: Any, start: Any, out_step: Any, count: Any
) -> None:
    """Carry gradients back through `outputs`."""
    if tile == 2:
        _outputs_back_2(x, place, step, out, start, out_step, count)
    else:
        _outputs_back_4(x, place, step, out, start, out_step, count)


@compiled
def _outputs_back_2(
    x: Any, a: Any, step: Any, out: Any, start: Any, out_step: Any, count: Any
) -> None:
    b = a + step
    for k in range(count):
        out[start + k] = x[a + k]
    start += out_step
    for k in range(count):
        out[start + k] = x[a + k] + x[b + k]
    start += out_step
    for k in range(count):
        out[start + k] = x[a + k] - x[b + k]
    start += out_step
    for k in range(count):
        out[start + k] = -x[b + k]


@compiled
def _outputs_back_4(
    x: Any, a: Any, step: Any, out: Any, start: Any, out_step: Any, count: Any
) -> None:
    number = x.dtype.type
    two, four = number(2), number(4)
    b, c, d = a + step, a + uintp(2) * step, a + uintp(3) * step
    for k in range(count):
        out[start + k] = x[a + k]
    start += out_step
    for k in range(count):
        out[start + k] = (x[a + k] + x[c + k]) + (x[b + k] + x[d + k])
    start += out_step
    for k in range(count):
        out[start + k] = (x[a + k] + x[c + k]) - (x[b + k] + x[d + k])
    start += out_step
    for k in range(count):
        out[start + k] = (x[a + k] + four * x[c + k]) + two * (x[b + k] + four * x[d + k])
    start += out_step
    for k in range(count):
        out[start + k] = (x[a + k] + four * x[c + k]) - two * (x[b + k] + four * x[d + k])
    start += out_step
    for k in range(count):
        out[start + k] = x[d + k]
