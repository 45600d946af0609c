"""vdprune's runtime against its peers: python -m benchmarks.inference."""

import json as json_format
from pathlib import Path
from typing import Any

import click

from benchmarks.inference.contenders import make_contenders, missing_peers
from benchmarks.inference.networks import NETWORKS, PrunedNetwork
from benchmarks.inference.table import render, tell_milliseconds
from benchmarks.machine import available_processors, describe_machine, versions_of
from vdprune.errors import VdpruneError
from vdprune.runtime.bench import Timing, time_contenders

_PACKAGES = ("vdprune", "onnxruntime", "torch", "scipy", "numpy", "numba")


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "--networks",
    type=click.Choice(list(NETWORKS)),
    multiple=True,
    default=list(NETWORKS),
    show_default=True,
    help="What is run; can be given several times.",
)
@click.option(
    "--batches",
    type=click.IntRange(min=1),
    multiple=True,
    default=(1, 16, 1024),
    show_default=True,
    help="Examples at a time; can be given several times.",
)
@click.option(
    "--threads",
    type=click.IntRange(min=1),
    multiple=True,
    default=(1, 2),
    show_default=True,
    help="For everyone but SciPy; can be given several times.",
)
@click.option(
    "--turns",
    type=click.IntRange(min=1),
    default=7,
    show_default=True,
    help="Of each; fewer, but no fewer than three, where they take long.",
)
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
    if missing := missing_peers():
        raise click.ClickException(
            f"{', '.join(missing)} not installed: pip install '.[bench]' brings the peers"
        )
    machine = describe_machine()
    if machine["load"] > 0.5 * available_processors():
        _tell(f"other programs are running: the load is {machine['load']:.2f}")
    try:
        found = {
            name: _measure(network, batches, threads, turns)
            for name, network in NETWORKS.items()
            if name in networks
        }
    except VdpruneError as error:
        raise click.ClickException(str(error)) from None
    results = {"machine": machine, "versions": versions_of(_PACKAGES), "networks": found}
    json.write_text(json_format.dumps(results, indent=1) + "\n", encoding="utf-8")
    click.echo(render(results))
    _tell(f"the same as JSON: {json}")


def _measure(
    network: PrunedNetwork, batches: tuple[int, ...], threads: tuple[int, ...], turns: int
) -> dict[str, Any]:
    weights = network.make()
    sparsity = weights.sparsity()
    rows = []
    for count in threads:
        contenders = make_contenders(weights, count)
        for examples in batches:
            timings = time_contenders(contenders, weights.graph.input_shape, examples, turns)
            rows.append(_describe(count, timings))
            _tell(f"{network.name}, examples: {examples:,}, threads: {count}")
            for name, milliseconds in rows[-1]["milliseconds"].items():
                _tell(f"    {name:<22} {tell_milliseconds(milliseconds):>10} ms")
    return {
        "weights": sparsity.weights,
        "nonzero": sparsity.nonzero,
        "sparsity": sparsity.sparsity,
        "rows": rows,
    }


def _describe(threads: int, timings: list[Timing]) -> dict[str, Any]:
    return {
        "threads": threads,
        "examples": timings[0].examples,
        "turns": timings[0].turns,
        "milliseconds": {timing.contender: timing.milliseconds for timing in timings},
    }


def _tell(text: str) -> None:
    click.echo(text, err=True)


if __name__ == "__main__":
    main(prog_name="python -m benchmarks.inference")
