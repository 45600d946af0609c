"""Trains a network once for each seed and writes what came of it.

python -m experiments.results lenet300 strong --seeds 0 1 2

writes docs/results/lenet300-strong.json; seeds that are in it already are left as they are, and a run
that was interrupted goes on. What comes after -- goes to `vdprune train`. RESULTS.md is made of these
files by docs/make_results.py.
"""

import argparse
import json
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

from benchmarks.machine import describe_machine

ROOT = Path(__file__).parent.parent


def run_seeds(
    arch: str, recipe: str, seeds: list[int], options: list[str], folder: Path, path: Path
) -> None:
    """Train for each seed that is not done yet, and write the results after each.

    Args:
        arch: The network.
        recipe: The recipe.
        seeds: The seeds.
        options: Further options of `vdprune train`.
        folder: Where checkpoints go.
        path: The file of results.
    """
    results: dict[str, Any] = {"arch": arch, "recipe": recipe, "runs": []}
    if path.exists():
        results = read_results(path)
    done = {run["seed"]: run["command"] for run in results["runs"]}
    for each in (folder, path.parent):
        each.mkdir(exist_ok=True, parents=True)
    for seed in seeds:
        command = make_command(arch, recipe, seed, options)
        if seed in done:
            if done[seed] != shlex.join(command):
                raise SystemExit(f"{path} has seed {seed} by another command: {done[seed]}")
            continue
        results["runs"].append(train(command, seed, folder / f"{arch}-{recipe}-{seed}.h5"))
        results["runs"].sort(key=lambda run: run["seed"])
        path.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")


def read_results(path: Path) -> dict[str, Any]:
    """Read the runs that are done; ends the program where the file does not hold any."""
    try:
        results = json.loads(path.read_text(encoding="utf-8"))
        {(run["seed"], run["command"]) for run in results["runs"]}  # or it is none
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise SystemExit(
            f"{path} can't be read as results ({type(error).__name__}: {error}): remove it, or give "
            "another file with --json"
        ) from error
    return results


def make_command(arch: str, recipe: str, seed: int, options: list[str]) -> list[str]:
    """Return the command that trains once."""
    method = {"paper": [], "magnitude": ["--method", recipe]}.get(recipe, ["--recipe", recipe])
    return ["vdprune", "train", "--arch", arch, *method, "--seed", str(seed), *options]


def train(command: list[str], seed: int, out: Path) -> dict[str, Any]:
    """Train once, through the command line.

    Args:
        command: The command.
        seed: The seed.
        out: Its checkpoint; with one that is there it goes on.

    Returns:
        What it printed with --json, with the command, the commit that it ended at, whether that may not
        be the one it began with, and the machine.
    """
    commit, is_there = find_commit(), out.exists()
    done = subprocess.run(
        [
            *(sys.executable, "-m", *command, "--out", out.name, "--json"),
            "--resume" if is_there else "--overwrite",
        ],
        cwd=out.parent,
        stdout=subprocess.PIPE,
        text=True,
    )
    if done.returncode:  # it has said why
        raise SystemExit(done.returncode)
    return {
        "seed": seed,
        "command": shlex.join(command),
        "commit": commit,
        "resumed": is_there,
        "machine": describe_machine(),
        **json.loads(done.stdout),
    }


def find_commit() -> str:
    """Name the state of the code: the commit, with a + where files differ from it."""

    def git(*arguments: str) -> str:
        return subprocess.run(
            ["git", *arguments], cwd=ROOT, capture_output=True, text=True, check=True
        ).stdout.strip()

    changed = git("status", "--porcelain", "--", "vdprune")
    return git("rev-parse", "--short", "HEAD") + ("+" if changed else "")


def main() -> None:
    """Read the arguments and train."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("arch")
    parser.add_argument("recipe")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--folder", type=Path, default=Path("runs"), help="for the checkpoints")
    parser.add_argument("--json", type=Path, help="the file of results")
    arguments = sys.argv[1:]
    end = arguments.index("--") if "--" in arguments else len(arguments)
    given, options = parser.parse_args(arguments[:end]), arguments[end + 1 :]
    path = given.json or ROOT / "docs" / "results" / f"{given.arch}-{given.recipe}.json"
    run_seeds(given.arch, given.recipe, given.seeds, options, given.folder, path)


if __name__ == "__main__":
    main()
