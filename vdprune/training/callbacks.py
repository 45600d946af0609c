"""What a training run tells and asks while it runs."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Callbacks:
    """What a run tells and asks while it runs.

    Args:
        on_step: Called after each update with the number of steps done: see `MultiStepUpdater`.
        on_epoch: Called after each epoch with its row of the history.
        should_stop: Asked after each update whether to save and stop.
    """

    on_step: Callable[[int], Any] = lambda iteration: None
    on_epoch: Callable[[dict[str, float]], Any] = lambda row: None
    should_stop: Callable[[], bool] = lambda: False
