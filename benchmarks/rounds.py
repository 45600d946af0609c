"""Measurements in processes of their own, in turns."""

import json
import math
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.contenders import Contender, list_contenders, list_tunings
from benchmarks.networks import Network

_ROOT = Path(__file__).parent.parent


class MeasurementError(Exception):
    """A process that was to measure something failed; the message is what it said."""


def measure_in_turns(
    network: Network, rounds: int, steps: int, threads: int, tell: Callable[[str], object]
) -> list[list[dict[str, Any]]]:
    """Time everyone on a network, one process after another.

    Every second round runs backwards, so that a machine that becomes slower is slower for everyone.

    Args:
        network: The network.
        rounds: How often each has its turn.
        steps: Steps timed in a turn.
        threads: Threads that each may use.
        tell: Called with what is about to happen.

    Returns:
        For each round what the workers printed, vdprune's first.

    Raises:
        MeasurementError: A worker failed.
    """
    contenders = list_contenders()
    tunings = {
        contender: _choose_tunings(contender, network, steps, threads, tell)
        for contender in contenders
    }
    measurements = []
    for number in range(rounds):
        turns = contenders if number % 2 == 0 else contenders[::-1]
        measured = {}
        for contender in turns:
            tell(f"{network.name}, round {number + 1} of {rounds}: {contender.name}")
            measured[contender] = _measure(contender, network, steps, threads, tunings[contender])
        measurements.append([measured[contender] for contender in contenders])
    return measurements


def run_process(command: list[str], what: str, **options: Any) -> str:
    """Run Python in a process of its own.

    Args:
        command: Python's arguments.
        what: What it is to do, for the error.
        **options: Those of `subprocess.run`.

    Returns:
        What it printed.

    Raises:
        MeasurementError: It failed.
    """
    result = subprocess.run(
        [sys.executable, *command], stdout=subprocess.PIPE, text=True, check=False, **options
    )
    if result.returncode:
        raise MeasurementError(
            f"{what} ended with exit code {result.returncode}\n{result.stderr or ''}".rstrip()
        )
    return result.stdout


def _choose_tunings(
    contender: Contender, network: Network, steps: int, threads: int, tell: Callable[[str], object]
) -> list[str]:
    """Try each tuning on top of those that helped, and keep it if it works and helps, too."""
    chosen: list[str] = []
    least = math.inf
    possible = list_tunings(contender, network)
    for tried in [[], *([tuning] for tuning in possible)] if possible else []:
        what = ", ".join([contender.name, *chosen, *tried])
        tell(f"{network.name}, trial: {what}")
        try:
            trial = _measure(contender, network, max(2, steps // 4), threads, chosen + tried)
        except MeasurementError as error:
            if not tried:
                raise
            tell(f"{network.name}: {what} does not work: {str(error).splitlines()[-1]}")
            continue
        if min(trial["ms"]) < least:
            least, chosen = min(trial["ms"]), chosen + tried
    return chosen


def _measure(
    contender: Contender, network: Network, steps: int, threads: int, tunings: list[str]
) -> dict[str, Any]:
    arguments = [contender.worker, network.name, "--steps", steps, "--warm-up", network.warm_up]
    arguments += ["--threads", threads, *(f"--tuning={tuning}" for tuning in tunings)]
    printed = run_process(
        ["-m", "benchmarks.worker", *map(str, arguments)],
        f"{contender.name} on {network.name}",
        cwd=_ROOT,
        env=contender.environment,
        stderr=subprocess.PIPE,
    )
    return {**json.loads(printed.splitlines()[-1]), "contender": contender.name}
