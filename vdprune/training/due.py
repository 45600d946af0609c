"""How many steps there are until one of a trainer's triggers fires."""

import math
from collections.abc import Iterator
from typing import Any

from chainer.training import Trainer, triggers

_INNER = ("_trigger", "_interval_trigger", "_max_trigger")  # where Chainer's extensions have others


def count_until_due(trainer: Trainer, steps_in_epoch: float) -> float:
    """Count the steps until a trigger fires.

    Args:
        trainer: The trainer, a step of whose updater has just been taken, but not counted yet.
        steps_in_epoch: How many steps an epoch has.

    Returns:
        Steps until the first of Chainer's triggers at intervals or planned points fires; 0 if one will
        after this step, infinity if none will. Triggers that fire after every update do not count.
    """
    updater = trainer.updater
    at = {
        "iteration": (updater.iteration, updater.iteration + 1, 1.0),
        "epoch": (updater.previous_epoch_detail or 0.0, updater.epoch_detail, steps_in_epoch),
    }
    found = math.inf
    for trigger in _find_triggers(trainer):
        before, now, steps = at[trigger.unit]
        due = (_next_point(trigger, before, steps) - now) * steps
        if due < found:
            found = max(0, math.ceil(due - 1e-6))
    return found


def _next_point(trigger: Any, before: float, steps: float) -> float:
    """Return the first point after another at which a trigger fires."""
    if isinstance(trigger, triggers.ManualScheduleTrigger):
        return min((point for point in trigger.points if point > before), default=math.inf)
    if trigger.period * steps <= 1:
        return math.inf
    return float((before // trigger.period + 1) * trigger.period)


def _find_triggers(trainer: Trainer) -> Iterator[Any]:
    entries = trainer._extensions.values()
    places = [trainer.stop_trigger, *(part for e in entries for part in (e.trigger, e.extension))]
    while places:
        place = places.pop()
        if isinstance(place, triggers.IntervalTrigger | triggers.ManualScheduleTrigger):
            yield place
        else:
            places += [getattr(place, name) for name in _INNER if hasattr(place, name)]
