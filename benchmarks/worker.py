"""One measurement in this process: python -m benchmarks.worker CONTENDER NETWORK."""

import json
import os
from collections.abc import Callable

import click

from benchmarks.clock import StepClock
from benchmarks.contenders import FLOOR, OURS, PEERS, TUNINGS
from benchmarks.machine import describe_blas, peak_megabytes, versions_of
from benchmarks.networks import NETWORKS, Network

Train = Callable[[Network, int, int, Callable[[int], object]], None]


@click.command()
@click.argument("contender", type=click.Choice([OURS, FLOOR, *PEERS]))
@click.argument("network", type=click.Choice(list(NETWORKS)))
@click.option("--steps", type=click.IntRange(min=1), required=True)
@click.option("--warm-up", type=click.IntRange(min=1), required=True)
@click.option("--threads", type=click.IntRange(min=1), required=True)
@click.option(
    "--tuning",
    "tunings",
    type=click.Choice(TUNINGS),
    multiple=True,
    help="For a peer; can be given several times.",
)
def main(
    contender: str,
    network: str,
    steps: int,
    warm_up: int,
    threads: int,
    tunings: tuple[str, ...],
) -> None:
    """Print what each step takes as one line of JSON."""
    described = NETWORKS[network]
    train, settings, blas, packages = _choose(contender, described, tunings)
    clock = StepClock(warm_up)
    train(described, warm_up + steps, threads, clock)
    measurement = {
        "contender": contender,
        "network": network,
        "ms": clock.milliseconds(),
        "peak_mb": peak_megabytes(),
        "settings": settings,
        "blas": blas(),
        "versions": versions_of(packages),
    }
    click.echo(json.dumps(measurement))


def _choose(
    contender: str, network: Network, tunings: tuple[str, ...]
) -> tuple[Train, str, Callable[[], str], tuple[str, ...]]:
    """Return how to train, the settings in words, who tells the BLAS kernel, and the packages."""
    if contender == OURS:
        from benchmarks import ours

        packages = ("vdprune", "chainer", "numpy", "scipy", "numba")
        return ours.train, ours.describe_settings(network), describe_blas, packages
    if contender == FLOOR:
        from benchmarks import floor

        return floor.train, floor.SETTINGS, describe_blas, ("numpy",)
    # Processes that wait for more to compile would start while the first steps are timed.
    os.environ["TORCHINDUCTOR_COMPILE_THREADS"] = "1"
    from benchmarks import peers

    library, mode = contender.split()
    peer = peers.Peer(library, mode == "compiled", tunings)
    return peer.train, peer.describe_settings(), peers.describe_blas, ("torch", library)


if __name__ == "__main__":
    main(prog_name="python -m benchmarks.worker")
