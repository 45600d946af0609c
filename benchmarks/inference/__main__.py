"""vdprune's runtime against its peers: python -m benchmarks.inference."""

import json as json_format
import statistics
from functools import partial
from pathlib import Path
from typing import Any

import click
import numpy

from benchmarks.inference.contenders import OURS, make_contenders
from benchmarks.inference.networks import NETWORKS
from benchmarks.machine import available_processors, describe_machine, versions_of
from vdprune.runtime.timing import time_in_turns

_PACKAGES = ("vdprune", "onnxruntime", "torch", "scipy", "numpy", "numba")
_TOLERANCE = 1e-3  # of the largest number of a result


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "--networks", type=click.Choice(list(NETWORKS)), multiple=True, default=list(NETWORKS)
)
@click.option("--batches", type=click.IntRange(min=1), multiple=True, default=(1, 16, 1024))
@click.option("--threads", type=click.IntRange(min=1), multiple=True, default=(1, 2))
@click.option("--turns", type=click.IntRange(min=1), default=7, show_default=True)
@click.option(
    "--json",
    type=click.Path(path_type=Path, dir_okay=False, writable=True),
    default=Path("inference.json"),
    show_default=True,
    help="Where the results are written.",
)
def main(
    networks: tuple[str, ...],
    batches: tuple[int, ...],
    threads: tuple[int, ...],
    turns: int,
    json: Path,
) -> None:
    """Time pruned networks in vdprune.runtime and elsewhere, all taking turns on the same inputs."""
    machine = describe_machine()
    if machine["load"] > 0.5 * available_processors():
        click.echo(f"other programs are running: the load is {machine['load']:.1f}", err=True)
    results: dict[str, Any] = {
        "machine": machine,
        "versions": versions_of(_PACKAGES),
        "turns": turns,
        "networks": {},
    }
    for name in networks:
        weights = NETWORKS[name].make()
        sparsity = weights.sparsity()
        click.echo(f"\n{name}, {100 * sparsity.sparsity:.2f} % of the weights cut")
        rows = []
        for count in threads:
            contenders = make_contenders(weights, count)
            for examples in batches:
                rows.append(_measure(contenders, weights.graph.input_shape, examples, count, turns))
                click.echo(_tell(rows[-1]))
        results["networks"][name] = {"nonzero": sparsity.nonzero, "rows": rows}
    json.write_text(json_format.dumps(results, indent=1) + "\n", encoding="utf-8")


def _measure(
    contenders: Any, input_shape: tuple[int, ...], examples: int, threads: int, turns: int
) -> dict[str, Any]:
    """Time all contenders on some examples, after a look at whether they agree."""
    x = numpy.random.default_rng(0).integers(0, 256, (examples, *input_shape)).astype("f4")
    expected = contenders[OURS](x)
    for name, predict in contenders.items():
        difference = abs(numpy.asarray(predict(x)) - expected).max()
        if not difference <= _TOLERANCE * abs(expected).max():
            raise click.ClickException(f"{name} computes something else: {difference:g} apart")
    calls = [partial(predict, x) for predict in contenders.values()]
    times = time_in_turns(calls, turns, 0.02)
    return {
        "threads": threads,
        "examples": examples,
        "milliseconds": {
            name: 1e3 * statistics.median(found)
            for name, found in zip(contenders, times, strict=True)
        },
    }


def _tell(row: dict[str, Any]) -> str:
    """Lay out a row: times, and how many times as long as ours each takes."""
    ours = row["milliseconds"][OURS]
    lines = [f"{row['examples']:,} at a time, {row['threads']} threads"]
    for name, milliseconds in row["milliseconds"].items():
        lines.append(f"    {name:<22} {milliseconds:>10.4f} ms  {milliseconds / ours:>7.2f}")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
