"""vdprune bench."""

import json as json_format
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from vdprune.cli.options import FILE, config_option, output_options
from vdprune.cli.running import load_runtime
from vdprune.errors import ArgumentError

if TYPE_CHECKING:
    from vdprune.formats import Weights
    from vdprune.runtime.bench import Predict, Timing

_SPARSE, _DENSE, _ONNXRUNTIME = "vdprune", "all dense", "onnxruntime"


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
    help="Threads that share the work of a batch.",
)
@output_options
@config_option
def bench_command(
    file: Path, batch: tuple[int, ...], threads: int, json: bool, quiet: bool
) -> None:
    """Measure how fast a network runs on this machine, sparse and dense.

    FILE is any of ours: checkpoint.h5, pruned.h5, or exported weights (but for ONNX and C). It is run
    by vdprune.runtime, once with the way that is faster for each layer and once with all layers dense,
    and, where the packages onnx and onnxruntime are installed, by onnxruntime, dense. All of them take
    turns on the same random inputs, and have to agree on the results. Behind a time stands how many
    times as long as vdprune's it is.
    """
    from vdprune.cli.loading import load_as_weights
    from vdprune.export.onnx_session import make_onnx_session
    from vdprune.runtime import make_network
    from vdprune.runtime.bench import time_contenders

    weights = load_as_weights(file)
    load_runtime(quiet)
    network = make_network(weights, threads)
    dense = make_network(weights, threads, "dense")
    contenders: dict[str, Predict] = {_SPARSE: network.logits, _DENSE: dense.logits}
    is_told = not quiet and not json
    if is_told:
        click.echo(f"{network.describe()}\n", err=True)
    try:
        contenders[_ONNXRUNTIME] = make_onnx_session(weights, threads)
    except ArgumentError as error:
        if is_told:
            click.echo(f"not compared with onnxruntime: {error}", err=True)
    shape = weights.graph.input_shape
    rows = [time_contenders(contenders, shape, examples) for examples in batch]
    click.echo(json_format.dumps(_describe(file, threads, weights, rows)) if json else _table(rows))


def _describe(
    file: Path, threads: int, weights: "Weights", rows: "list[list[Timing]]"
) -> dict[str, Any]:
    sparsity = weights.sparsity()
    return {
        "file": str(file),
        "threads": threads,
        "weights": sparsity.weights,
        "nonzero": sparsity.nonzero,
        "timings": [
            {"by": t.contender, "examples": t.examples, "milliseconds": t.milliseconds}
            for row in rows
            for t in row
        ],
    }


def _table(rows: "list[list[Timing]]") -> str:
    lines = [["examples", *(timing.contender for timing in rows[0])]]
    lines += [[f"{row[0].examples:,}", *_cells(row)] for row in rows]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return "\n".join(
        "   ".join(cell.rjust(width) for cell, width in zip(line, widths, strict=True))
        for line in lines
    )


def _cells(row: "list[Timing]") -> list[str]:
    ours, *others = (timing.milliseconds for timing in row)
    return [_tell(ours), *(f"{_tell(other)} {other / ours:8.2f}x" for other in others)]


def _tell(milliseconds: float) -> str:
    digits = 4 if milliseconds < 1 else 2 if milliseconds < 100 else 0
    return f"{milliseconds:,.{digits}f} ms"
