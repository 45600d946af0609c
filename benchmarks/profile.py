"""Where the milliseconds of a training step go: python -m benchmarks.profile."""

import cProfile
import pstats
import statistics
from typing import Any
from unittest import mock

import click
import numpy

from benchmarks import ours
from benchmarks.clock import StepClock
from benchmarks.networks import NETWORKS, Network
from benchmarks.parts import Entry, Function, group_by_part
from benchmarks.passes import time_passes
from vdprune.kernels.loading import load_kernels

_UFUNC = numpy.matmul
_FUNCTIONS_SHOWN = 10
_HEADER = f"{'ms':>8} {'share':>8} {'calls':>8}  "


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--network", type=click.Choice(list(NETWORKS)), default="lenet300", show_default=True)
@click.option("--steps", type=click.IntRange(min=1), help="Steps profiled.")
def main(network: str, steps: int | None) -> None:
    """Show where the milliseconds of one of vdprune's training steps go.

    Everything runs in one thread: the profiler sees one only.
    """
    described = NETWORKS[network]
    steps = steps or max(1, described.steps // 2)  # as many are timed without the profiler before
    plain, entries = profile_training(described, steps)
    click.echo(render(network, steps, plain, entries, time_passes(described)))


def profile_training(network: Network, steps: int) -> tuple[float, list[Entry]]:
    """Train with and without the profiler, in one thread.

    Args:
        network: What to train.
        steps: Steps of each kind, after the warm-up.

    Returns:
        Median of the milliseconds of the steps without it; and what the profiler saw in the others.
    """
    load_kernels(lambda: None)
    clock = StepClock(network.warm_up)
    profiler = cProfile.Profile()
    profiled: list[int] = []
    # steps that two updates may have, so that there is one of each kind
    several = 0 if any(layer.kernel for layer in network.layers) else 200

    def on_step(iteration: int) -> None:
        if not profiled:
            clock(iteration)
        if iteration < network.warm_up + steps or not clock.milliseconds():
            return
        if profiled:
            profiler.disable()
        profiled.append(iteration)
        profiler.enable()

    with mock.patch.object(numpy, "matmul", _matmul):  # a profiler sees functions, not ufuncs
        ours.train(network, network.warm_up + 2 * steps + several, 1, on_step)
    profiler.disable()
    return statistics.median(clock.milliseconds()), _entries(profiler, profiled[-1] - profiled[0])


def render(
    network: str, steps: int, plain: float, entries: list[Entry], passes: dict[str, float]
) -> str:
    """Lay out where the time goes.

    Args:
        network: Name of the network.
        steps: Steps profiled.
        plain: Milliseconds of a step without the profiler.
        entries: What it saw.
        passes: Milliseconds of each pass over the linear layers.

    Returns:
        A table of the parts, one of the functions that take longest, and one of the passes.
    """
    total = sum(entry.ms for entry in entries)
    longest = sorted(entries, key=lambda entry: -entry.ms)[:_FUNCTIONS_SHOWN]
    return "\n".join(
        [
            f"{network}, one thread, {steps} steps: {plain:.2f} ms a step, {total:.2f} under the "
            "profiler",
            "(matrix products inside of a compiled kernel count as the kernel's)",
            "",
            _HEADER + "part of the step",
            *(_line(part, group, total) for part, group in group_by_part(entries).items()),
            "",
            _HEADER + "function, its own time",
            *(_line(str(entry), [entry], total) for entry in longest),
            "",
            f"{'ms':>8}  pass over the linear layers, each timed alone, no inputs left out "
            "(take_part does them all)",
            *(f"{ms:>8.3f}  {name}" for name, ms in passes.items()),
        ]
    )


def _line(name: str, entries: list[Entry], total: float) -> str:
    ms = sum(entry.ms for entry in entries)
    calls = sum(entry.calls for entry in entries)
    return f"{ms:>8.3f} {100 * ms / total:>6.1f} % {calls:>8.1f}  {name}"


def _entries(profiler: cProfile.Profile, steps: int) -> list[Entry]:
    stats: Any = pstats.Stats(profiler)
    entries = []
    for key, (_, calls, own_time, _, callers) in stats.stats.items():
        function = Function(*key)
        if function.is_helper and callers:
            for caller, (calls_by_it, _, time_for_it, _) in callers.items():
                entries.append(
                    Entry(
                        function, Function(*caller), 1000 * time_for_it / steps, calls_by_it / steps
                    )
                )
        else:
            entries.append(Entry(function, None, 1000 * own_time / steps, calls / steps))
    return entries


def _matmul(*args: Any, **kwargs: Any) -> Any:
    return _UFUNC(*args, **kwargs)


if __name__ == "__main__":
    main(prog_name="python -m benchmarks.profile")
