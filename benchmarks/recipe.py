"""The whole recipe of LeNet-300-100, as a user runs it."""

import json
import tempfile
import time
from typing import Any

from benchmarks.contenders import Contender
from benchmarks.rounds import run_process

NETWORK = "lenet300"
EPOCHS = 200
_STEPS_PER_EPOCH = 600


def measure_recipe(contender: Contender, threads: int, epochs: int = EPOCHS) -> dict[str, Any]:
    """Time `vdprune train --arch lenet300`, its progress on standard error.

    Args:
        contender: vdprune, with or without variables of the environment.
        threads: Threads to use.
        epochs: How many; the recipe has 200.

    Returns:
        Seconds from start to end of the process, with the evaluations and checkpoints; epochs, steps,
        and error and compression of the network.

    Raises:
        MeasurementError: The command failed.
    """
    arguments = ["train", "--arch", NETWORK, "--epochs", epochs, "--threads", threads, "--json"]
    with tempfile.TemporaryDirectory() as folder:
        start = time.perf_counter()
        printed = run_process(
            ["-m", "vdprune", *map(str, arguments)],
            f"{contender.name}, the whole recipe,",
            cwd=folder,
            env=contender.environment,
        )
        seconds = time.perf_counter() - start
    trained = json.loads(printed)
    return {
        "contender": contender.name,
        "network": NETWORK,
        "epochs": epochs,
        "steps": epochs * _STEPS_PER_EPOCH,
        "seconds": seconds,
        "error": trained["error"],
        "compression": trained["compression"],
    }
