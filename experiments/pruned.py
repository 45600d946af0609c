"""Prunes trained networks to a compression, and measures what is left.

python -m experiments.pruned --compression 280 runs/lenet5-paper-0.h5 runs/lenet5-paper-1.h5

writes docs/results/lenet5-paper-pruned.json, all of it anew; the networks are of one arch and one
recipe. The compression is given, not chosen: no image is looked at before the test images are.
RESULTS.md is made of this file, too, by docs/make_results.py.
"""

import argparse
import json
import math
from pathlib import Path
from typing import Any

from experiments.commands import describe_network, run_command
from experiments.results import ROOT


def measure_pruned(checkpoint: Path, compression: float, folder: Path) -> dict[str, Any]:
    """Prune a network to a compression, and measure it, through the command line.

    Args:
        checkpoint: What `vdprune train` wrote.
        compression: The least compression, |W| / |W != 0|.
        folder: Where the pruned network goes.

    Returns:
        What `vdprune eval` says of the pruned network on the test images, what network it is, its error
        and compression as it was trained, the command, the commit and the machine.
    """
    checkpoint = checkpoint.resolve()
    pruned = folder.resolve() / f"{checkpoint.stem}-pruned.h5"
    sparsity = math.ceil(1e5 * (1 - 1 / compression)) / 1e5
    command = ["prune", checkpoint.name, "--target-sparsity", f"{sparsity:g}"]
    network = describe_network(checkpoint, command)
    own, _ = run_command(["eval", checkpoint.name], checkpoint.parent)
    run_command([*command, "--out", str(pruned)], checkpoint.parent)
    found, _ = run_command(["eval", pruned.name], folder)
    return {
        **network,
        "compression_trained": own["compression"],
        "error_trained": own["error"],
        **{name: value for name, value in found.items() if name not in ("file", "kind")},
    }


def main() -> None:
    """Read the arguments and prune."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("checkpoints", type=Path, nargs="+", metavar="CHECKPOINT")
    parser.add_argument("--compression", type=float, required=True, help="the least; above 1")
    parser.add_argument("--folder", type=Path, default=Path("runs"), help="for the pruned files")
    parser.add_argument("--json", type=Path, help="the file of results")
    given = parser.parse_args()
    if not 1 < given.compression < math.inf:
        parser.error(f"--compression is above 1, not {given.compression:g}")
    given.folder.mkdir(exist_ok=True, parents=True)
    networks = [describe_network(each.resolve(), []) for each in given.checkpoints]
    kinds = {(network["arch"], network["recipe"]) for network in networks}
    if len(kinds) > 1:
        parser.error(f"one arch and one recipe at a time, not {sorted(kinds)}")
    ((arch, recipe),) = kinds
    runs = [measure_pruned(each, given.compression, given.folder) for each in given.checkpoints]
    path = given.json or ROOT / "docs" / "results" / f"{arch}-{recipe}-pruned.json"
    path.parent.mkdir(exist_ok=True, parents=True)
    results = {"arch": arch, "recipe": recipe, "runs": runs}
    path.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
