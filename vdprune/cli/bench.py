"""vdprune bench."""

import json as json_format
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from vdprune.cli.options import FILE, config_option, output_options
from vdprune.cli.running import load_runtime

if TYPE_CHECKING:
    from vdprune.formats import Weights
    from vdprune.runtime.bench import Timing

_SPARSE, _DENSE = "vdprune", "all dense"


@click.command("bench")
@click.argument("file", type=FILE)
@click.option(
    "--batch",
    type=click.IntRange(min=1),
    multiple=True,
    default=(1, 16, 1024),
    show_default=True,
    metavar="N",
    help="Examples at a time; can be given more than once.",
)
@click.option(
    "--threads",
    type=click.IntRange(min=1),
    default=1,
    show_default=True,
    metavar="N",
    help="Threads that share the examples of a batch.",
)
@output_options
@config_option
def bench_command(
    file: Path, batch: tuple[int, ...], threads: int, json: bool, quiet: bool
) -> None:
    """Measure how fast a network runs on this machine, sparse and dense.

    FILE is any of ours: checkpoint.h5, pruned.h5, or exported weights. It is run by vdprune.runtime,
    once with the way that is faster for each layer and once with all layers dense, taking turns on the
    same random inputs.
    """
    from vdprune.cli.loading import load_as_weights
    from vdprune.runtime import make_network
    from vdprune.runtime.bench import time_contenders

    weights = load_as_weights(file)
    load_runtime(quiet)
    network = make_network(weights, threads)
    dense = make_network(weights, threads, "dense")
    if not quiet and not json:
        click.echo(f"{network.describe()}\n", err=True)
    timings = time_contenders(
        {_SPARSE: network.logits, _DENSE: dense.logits}, weights.graph.input_shape, batch
    )
    if json:
        click.echo(json_format.dumps(_describe(file, threads, weights, timings)))
    else:
        click.echo(_table(timings))


def _describe(
    file: Path, threads: int, weights: "Weights", timings: "list[Timing]"
) -> dict[str, Any]:
    sparsity = weights.sparsity()
    return {
        "file": str(file),
        "threads": threads,
        "weights": sparsity.weights,
        "nonzero": sparsity.nonzero,
        "timings": [
            {"by": t.contender, "examples": t.examples, "milliseconds": t.milliseconds}
            for t in timings
        ],
    }


def _table(timings: "list[Timing]") -> str:
    names = list(dict.fromkeys(timing.contender for timing in timings))
    found = {(timing.contender, timing.examples): timing.milliseconds for timing in timings}
    lines = [f"{'examples':>8}" + "".join(f"  {name:>16}" for name in names)]
    for examples in dict.fromkeys(timing.examples for timing in timings):
        cells = [f"{found[name, examples]:.4g} ms" for name in names]
        lines.append(f"{examples:>8,}" + "".join(f"  {cell:>16}" for cell in cells))
    return "\n".join(lines)
