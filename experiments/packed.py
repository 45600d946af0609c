"""Packs trained networks and measures what that costs.

python -m experiments.packed lenet300-strong-0.h5 lenet5-strong-0.h5

writes docs/results/packed.json, all of it anew. Each checkpoint goes through `vdprune export --format
packed` as it stands; it and the packed file are then measured on the test images. RESULTS.md is made of
this file, too, by docs/make_results.py.
"""

import argparse
import json
from pathlib import Path
from typing import Any

from experiments.commands import describe_network, run_command
from experiments.results import ROOT

_CHOICE = "choosing bits by "  # what export says before the images


def measure_packed(checkpoint: Path, folder: Path) -> dict[str, Any]:
    """Pack a network, and measure it before and after, through the command line.

    Args:
        checkpoint: What `vdprune train` or `vdprune prune` wrote.
        folder: Where the packed file goes.

    Returns:
        What network it is, the weights left, the bytes of its arrays in float32 and of the packed file,
        the errors of both on the test images, the images that bits were chosen by, the command, the
        commit and the machine.
    """
    checkpoint = checkpoint.resolve()
    packed = folder / f"{checkpoint.stem}.packed"
    command = ["export", checkpoint.name, "--format", "packed"]
    network = describe_network(checkpoint, command)
    exported, said = run_command([*command, "--out", str(packed.resolve())], checkpoint.parent)
    own, _ = run_command(["eval", str(checkpoint)], folder)
    found, _ = run_command(["eval", packed.name], folder)
    (choice,) = [line for line in said.splitlines() if line.startswith(_CHOICE)]
    return {
        **network,
        "weights": own["weights"],
        "nonzero": own["nonzero"],
        "nonzero_packed": found["nonzero"],
        "dense_bytes": exported["dense_bytes"],
        "bytes": exported["bytes"],
        "examples": found["examples"],
        "error": own["error"],
        "error_packed": found["error"],
        "bits_chosen_by": choice.removeprefix(_CHOICE),
    }


def main() -> None:
    """Read the arguments and pack."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("checkpoints", type=Path, nargs="+", metavar="CHECKPOINT")
    parser.add_argument("--folder", type=Path, default=Path("runs"), help="for the packed files")
    parser.add_argument(
        "--json", type=Path, default=ROOT / "docs" / "results" / "packed.json", help="the results"
    )
    given = parser.parse_args()
    for folder in (given.folder, given.json.parent):
        folder.mkdir(exist_ok=True, parents=True)
    runs = [measure_packed(checkpoint, given.folder) for checkpoint in given.checkpoints]
    given.json.write_text(json.dumps({"runs": runs}, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
