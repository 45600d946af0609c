"""Measures networks of trials on images that were held out, and on changed copies of them.

python -m experiments.held_out trial-a.h5 trial-b.h5

writes docs/results/held-out.json, all of it anew. By chance alone two networks that are equally good
differ by a tenth of a percent of 10,000 images. Copies of the same images, turned and moved a little,
are no new images, but each is near other mistakes, so that the errors on them differ less by chance.
"""

import argparse
import json
from pathlib import Path
from typing import Any

import numpy
from numpy.random import RandomState

from benchmarks.machine import describe_machine
from experiments.results import ROOT, find_commit
from vdprune import evaluate, load_checkpoint, load_dataset
from vdprune.augmentation import Augmentation
from vdprune.datasets import Split

# As the recipes `strong` change images, but all of them.
CHANGES = Augmentation(rotation=6.0, shift=0.8, scale=0.06, shear=0.06)
_COPIES = 5


def measure_held_out(path: Path) -> dict[str, Any]:
    """Measure a network on the images that were held out of its training, and on changed copies.

    Args:
        path: What `vdprune train --validation N` wrote.

    Returns:
        The network's file, arch, recipe and seed, the epochs that it was trained for, its compression,
        error in percent and loss in nats on the images held out, both on five changed copies of each,
        and both on one changed copy of each image that it was trained on.
    """
    checkpoint = load_checkpoint(path)
    model, recipe = checkpoint.model, checkpoint.recipe
    data = load_dataset(checkpoint.dataset).hold_out(recipe["validation"])
    if data.validation is None:
        raise SystemExit(
            f"{path}: no images were held out of its training (--validation of `train`)"
        )
    own = evaluate(model, data.validation)
    copies = [evaluate(model, change(data.validation, seed)) for seed in range(_COPIES)]
    learned = evaluate(model, change(data.train, _COPIES))
    return {
        "file": path.name,
        "arch": checkpoint.arch,
        "seed": recipe["seed"],
        "epochs": len(checkpoint.history),
        "compression": model.sparsity().compression,
        "error": own.error,
        "loss": own.loss,
        "error_changed": float(numpy.mean([copy.error for copy in copies])),
        "loss_changed": float(numpy.mean([copy.loss for copy in copies])),
        "error_learned_changed": learned.error,
        "loss_learned_changed": learned.loss,
        "recipe": recipe,
    }


def change(split: Split, seed: int) -> Split:
    """Change images.

    Args:
        split: The images, with their labels.
        seed: Of the changes.

    Returns:
        Changed copies with the same labels.
    """
    x = CHANGES.apply(split.x, RandomState(seed))
    return Split(f"changed copies of {split.description}", x, split.t)


def main() -> None:
    """Read the arguments and measure."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("checkpoints", type=Path, nargs="+", metavar="CHECKPOINT")
    parser.add_argument(
        "--json", type=Path, default=ROOT / "docs" / "results" / "held-out.json", help="the results"
    )
    given = parser.parse_args()
    given.json.parent.mkdir(exist_ok=True, parents=True)
    networks = [measure_held_out(path) for path in given.checkpoints]
    results = {"commit": find_commit(), "machine": describe_machine(), "networks": networks}
    given.json.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
