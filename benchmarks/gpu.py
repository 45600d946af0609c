"""vdprune on a GPU: python -m benchmarks.gpu.

Counts what a training step asks of a GPU, which takes none, and times steps where there is one.
"""

import itertools
import json as json_format
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import click

from benchmarks.networks import BATCH, NETWORKS, Network

_ROOT = Path(__file__).resolve().parent.parent
_BANDWIDTHS = (300, 900, 2000)  # GB/s
_CHUNK = 20  # steps between two times that the host waits for the GPU


class CountingError(Exception):
    """A step could not be counted."""


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "--networks",
    type=click.Choice(list(NETWORKS)),
    multiple=True,
    default=["lenet300", "lenet5"],
    show_default=True,
    help="What is trained; conv-stack takes minutes to count; can be given several times.",
)
@click.option("--gpu", type=int, default=0, show_default=True, help="Number of the GPU.")
@click.option(
    "--chunks",
    type=click.IntRange(min=1),
    default=20,
    show_default=True,
    help=f"How often {_CHUNK} steps are timed.",
)
@click.option(
    "--json",
    type=click.Path(path_type=Path, dir_okay=False, writable=True),
    default=Path("benchmarks-gpu.json"),
    show_default=True,
    help="Where the results are written.",
)
def main(networks: tuple[str, ...], gpu: int, chunks: int, json: Path) -> None:
    """Count what training steps ask of a GPU, and time them where there is one."""
    try:
        rows = [count_step(name) for name in networks]
    except CountingError as error:
        raise click.ClickException(str(error)) from None
    trouble = _find_trouble(gpu)
    for row in rows if trouble is None else ():
        row["ms"] = time_steps(NETWORKS[row["network"]], gpu, chunks)
    json.write_text(json_format.dumps({"batch": BATCH, "networks": rows}, indent=1) + "\n", "utf-8")
    click.echo(render(rows))
    click.echo(f"not timed: {trouble}" if trouble else f"timed on GPU {gpu}", err=True)
    click.echo(f"the same as JSON: {json}", err=True)


def count_step(name: str) -> dict[str, Any]:
    """Count what a training step asks of a GPU, in a process of its own.

    Args:
        name: The network.

    Returns:
        What `benchmarks.gpu_counts` prints.

    Raises:
        CountingError: It failed; the message is its last line.
    """
    path = os.pathsep.join([str(_ROOT / "tests" / "stand_in"), str(_ROOT)])
    result = subprocess.run(
        [sys.executable, "-m", "benchmarks.gpu_counts", name],
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
    )
    if result.returncode:
        raise CountingError(f"{name}: {result.stderr.strip().splitlines()[-1]}")
    return json_format.loads(result.stdout)


def time_steps(network: Network, gpu: int, chunks: int) -> list[float]:
    """Time training steps on a GPU.

    Args:
        network: The network.
        gpu: Number of the GPU.
        chunks: How often some steps are timed together; the host waits for the GPU after each.

    Returns:
        Milliseconds of a step, a mean for each chunk.
    """
    from chainer.backends import cuda

    from benchmarks import ours

    marks = []

    def mark(iteration: int) -> None:
        if iteration % _CHUNK == 0:
            cuda.cupy.cuda.Device(gpu).synchronize()
            marks.append(time.perf_counter())

    ours.train(network, (chunks + 1) * _CHUNK, 1, mark, gpu)
    return [1000 * (end - start) / _CHUNK for start, end in itertools.pairwise(marks)]


def render(rows: list[dict[str, Any]]) -> str:
    """Lay out what was found as a table.

    Args:
        rows: What was counted, and the times where there are.

    Returns:
        A table in Markdown.
    """
    heads = ["", "launches", "waits", "MB moved", *(f"ms at {b} GB/s" for b in _BANDWIDTHS)]
    lines = [*heads, "ms measured"], ["---"] + ["--:"] * len(heads)
    cells = [
        [
            row["network"],
            str(row["launches"]),
            str(row["synchronisations"]),
            f"{row['bytes'] / 1e6:.1f}",
            *(f"{row['bytes'] / bandwidth / 1e6:.3f}" for bandwidth in _BANDWIDTHS),
            f"{statistics.median(row['ms']):.3f}" if "ms" in row else "-",
        ]
        for row in rows
    ]
    return "\n".join("| " + " | ".join(line) + " |" for line in (*lines, *cells))


def _find_trouble(gpu: int) -> str | None:
    import vdprune  # noqa: F401  before chainer

    # isort: split
    from vdprune.devices import get_device
    from vdprune.errors import DeviceError

    try:
        get_device(gpu)
    except DeviceError as error:
        return str(error)
    return None


if __name__ == "__main__":
    main(prog_name="python -m benchmarks.gpu")
