"""What a training step asks of a GPU, counted without one: python -m benchmarks.gpu_counts NETWORK.

To be run with tests/stand_in, which stands in for CuPy and counts, first on the path of modules.
"""

import contextlib
import json
from typing import Any

import click

from benchmarks.networks import NETWORKS

_BEFORE = 2  # steps; in the first one statistics are counted


class _CountedStep:
    """Counts what happens from the end of one step to that of the next."""

    def __init__(self, counting: Any) -> None:
        self._counting = counting
        self._stack = contextlib.ExitStack()
        self.statistics: Any = None

    def __call__(self, iteration: int) -> None:
        if iteration == _BEFORE:
            self.statistics = self._stack.enter_context(self._counting())
        else:
            self._stack.close()


@click.command()
@click.argument("network", type=click.Choice(list(NETWORKS)))
def main(network: str) -> None:
    """Print what a step of a training run asks of a GPU as one line of JSON."""
    from benchmarks import ours

    try:
        from cupy._statistics import counting
    except ImportError:
        raise click.ClickException("tests/stand_in must come first in PYTHONPATH") from None
    step = _CountedStep(counting)
    ours.train(NETWORKS[network], _BEFORE + 1, 1, step, gpu=0)
    counts = step.statistics
    click.echo(
        json.dumps(
            {
                "network": network,
                "launches": counts.total_launches,
                "launches_by_name": dict(counts.launches.most_common()),
                "synchronisations": counts.synchronisations,
                "bytes": counts.bytes_read + counts.bytes_written,
                "bytes_to_device": counts.bytes_to_device,
            }
        )
    )


if __name__ == "__main__":
    main(prog_name="python -m benchmarks.gpu_counts")
