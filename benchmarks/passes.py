"""How long each pass over a linear layer takes by itself; a profiler sees but one kernel of them all."""

import statistics
import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy

from benchmarks.networks import BATCH, Layer, Network
from vdprune import kernels
from vdprune.kernels.constants import K1, PANEL_BYTES

_ROUNDS = 30


def time_passes(network: Network, rounds: int = _ROUNDS) -> dict[str, float]:
    """Time the passes over a network's linear layers, in one thread, in turns.

    Args:
        network: The network.
        rounds: How often each is timed.

    Returns:
        Milliseconds of each pass over all of those layers, medians.
    """
    passes = [list(_passes(layer)) for layer in network.layers if not layer.kernel]
    times: dict[str, list[float]] = {}
    for number in range(rounds + 1):
        totals: dict[str, float] = {}
        for name, do in (entry for layer in passes for entry in layer):
            start = time.perf_counter()
            do()
            totals[name] = totals.get(name, 0.0) + 1000 * (time.perf_counter() - start)
        for name, total in totals.items():
            if number:  # the first round compiles
                times.setdefault(name, []).append(total)
    return {name: statistics.median(found) for name, found in times.items()}


def _passes(layer: Layer) -> Iterator[tuple[str, Callable[[], Any]]]:
    random, outputs, inputs = numpy.random.default_rng(0), layer.outputs, layer.inputs
    cpu, products, size = kernels.cpu, kernels.products, layer.outputs * layer.inputs

    def room(*shape: int) -> Any:
        return random.random(shape, "f4")

    def factor(columns: int, length: int) -> Any:
        width = PANEL_BYTES // 4
        panels = -(-columns // width)
        return (
            room(panels, length, width),
            room(panels, length, width),
            numpy.arange(panels) * width,
        )

    W, log_sigma2, mean, variance, alpha, slope, m, v = (room(size) for _ in range(8))
    x, g, draws, slopes = (
        room(BATCH, inputs),
        room(outputs * BATCH),
        room(outputs, BATCH),
        room(outputs, BATCH),
    )
    forward, back = factor(BATCH, inputs), factor(inputs, BATCH)
    numbers, steps = numpy.arange(inputs), numpy.arange(BATCH)

    def multiply_forward() -> None:
        for weights, panels, out in ((mean, forward[0], draws), (variance, forward[1], slopes)):
            products.multiply(
                weights, inputs, numbers, outputs, panels, forward[2], BATCH, out.reshape(-1)
            )

    def multiply_back() -> None:
        for panels, out in ((back[0], mean), (back[1], variance)):
            products.multiply(g, BATCH, steps, outputs, panels, back[2], inputs, out)

    def lay_out() -> None:
        products.lay_out_turned(x, numbers, 0, len(forward[0]), *forward[:2])
        products.lay_out(x, numbers, back[2], 0, len(back[0]), *back[:2])

    yield "inputs laid out", lay_out
    moments = W, log_sigma2, 3.0, False, K1, mean, variance, alpha, slope
    yield "weights' moments and divergence", lambda: cpu.weight_moments(*moments)
    yield "products forward", multiply_forward
    noise = draws, slopes, numpy.arange(outputs, dtype="u4"), 1.0, draws[:0], 0, 0
    yield "noise", lambda: kernels.noise.sample_turned(*noise)
    yield "products back to weights", multiply_back
    gradients = W, alpha, slope, False, 0.001, mean, variance
    yield "weights' gradients", lambda: cpu.weight_gradients(*gradients)

    def update() -> None:
        for array in (W, log_sigma2):
            cpu.adam(array, mean, m, v, 0.9, 0.999, 1e-8, 1e-9)

    yield "Adam", update
