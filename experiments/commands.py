"""Runs commands of vdprune's for the experiments."""

import json
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

from benchmarks.machine import describe_machine
from experiments.results import find_commit


def run_command(arguments: list[str], folder: Path) -> tuple[dict[str, Any], str]:
    """Run a command with --json in a new process; end the program if it fails, with what it said.

    Args:
        arguments: What comes after `vdprune`.
        folder: Where to run it.

    Returns:
        Its result, and what it said beside it.
    """
    done = subprocess.run(
        [sys.executable, "-m", "vdprune", *arguments, "--json"],
        cwd=folder,
        capture_output=True,
        text=True,
    )
    if done.returncode:
        sys.stderr.write(done.stderr)
        raise SystemExit(done.returncode)
    return json.loads(done.stdout), done.stderr


def describe_network(checkpoint: Path, command: list[str]) -> dict[str, Any]:
    """Say what network a result is of, and how it came about.

    Args:
        checkpoint: What `vdprune train` wrote.
        command: What is to be done with it: what comes after `vdprune`.

    Returns:
        Its arch, recipe and seed, the command, the commit and the machine.
    """
    trained, _ = run_command(["inspect", checkpoint.name], checkpoint.parent)
    return {
        **{name: trained[name] for name in ("arch", "recipe", "seed")},
        "command": shlex.join(["vdprune", *command]),
        "commit": find_commit(),
        "machine": describe_machine(),
    }
