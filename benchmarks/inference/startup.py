"""From a new process to its first prediction: python -m benchmarks.inference.startup."""

import json as json_format
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import click

from benchmarks.inference.networks import NETWORKS
from benchmarks.machine import available_processors, describe_machine, versions_of
from vdprune.formats import save_weights

_CODE = """
import sys, time, numpy, vdprune.runtime
network = vdprune.runtime.load(sys.argv[1])
network.predict(numpy.zeros((1, *network.input_shape), numpy.float32))
print(time.time())
"""
_PACKAGES = ("vdprune", "numba", "numpy", "scipy", "h5py")


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "--turns",
    type=click.IntRange(min=1),
    default=11,
    show_default=True,
    help="New processes for each file.",
)
@click.option(
    "--json",
    type=click.Path(path_type=Path, dir_okay=False, writable=True),
    default=Path("startup.json"),
    show_default=True,
    help="Where the results are written.",
)
def main(turns: int, json: Path) -> None:
    """Time new processes that load a weight file and predict the class of one example."""
    machine = describe_machine()
    if machine["load"] > 0.5 * available_processors():
        click.echo(f"other programs are running: the load is {machine['load']:.2f}", err=True)
    results: dict[str, Any] = {
        "machine": machine,
        "versions": {"python": sys.version.split()[0], **versions_of(_PACKAGES)},
        "turns": turns,
        "seconds": time_start_up(turns),
    }
    json.write_text(json_format.dumps(results, indent=1) + "\n", encoding="utf-8")
    click.echo(render(results["seconds"]))
    click.echo(f"the same as JSON: {json}", err=True)


def time_start_up(turns: int) -> dict[str, Any]:
    """Time new processes, Python's own start included, after one that compiles what has to be.

    Args:
        turns: How many for each network; they take turns.

    Returns:
        By network first quartile, median and third quartile in seconds.
    """
    with tempfile.TemporaryDirectory() as folder:
        paths = {}
        for name in ("lenet300", "lenet5"):
            paths[name] = Path(folder, f"{name}.h5")
            save_weights(paths[name], NETWORKS[name].make())
            _time_process(paths[name])
        seconds: dict[str, list[float]] = {name: [] for name in paths}
        for _ in range(turns):
            for name, path in paths.items():
                seconds[name].append(_time_process(path))
    return {name: _quartiles(times) for name, times in seconds.items()}


def render(seconds: dict[str, list[float]]) -> str:
    """Write what `time_start_up` found as a text."""
    texts = []
    for name, quartiles in seconds.items():
        low, middle, high = (f"{value:.2f}" for value in quartiles)
        texts.append(f"{name} {middle} s (quartiles {low} and {high})")
    return ", ".join(texts)


def _time_process(path: Path) -> float:
    command = [sys.executable, "-c", _CODE, str(path)]
    start = time.time()  # a clock that both processes have
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    return float(done.stdout) - start


def _quartiles(times: list[float]) -> list[float]:
    return statistics.quantiles(times, n=4, method="inclusive") if len(times) > 1 else times * 3


if __name__ == "__main__":
    main(prog_name="python -m benchmarks.inference.startup")
