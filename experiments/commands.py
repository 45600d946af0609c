"""Runs commands of vdprune's for the experiments."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any


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
