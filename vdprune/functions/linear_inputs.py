"""What linear layers are shown in training, beside the examples of a batch."""

from dataclasses import dataclass
from typing import Any

from vdprune.kernels.addresses import get_address


@dataclass(frozen=True)
class Lesson:
    """What a teacher says of a batch.

    Args:
        logits: Its logits, of the layers' dtype, shape (batch, classes), contiguous.
        temperature: See `vdprune.Distillation`.
        weight: See there.
    """

    logits: Any
    temperature: float
    weight: float


@dataclass(frozen=True)
class Batches:
    """Several batches, by the addresses of what is in them.

    Args:
        examples: Of the examples, int64, shape (steps, batch): of the layers' dtype, or bytes.
        numbers: Numbers of their labels, int64, same shape.
        t: All labels, int32, shape (n,), contiguous.
        logits: Addresses of a teacher's logits, of the layers' dtype, int64, same shape; or None.
        keys: Keys of the noise, int64, shape (steps, layers, 2).
        scale: What bytes are multiplied by.
        mean: What is taken away from bytes then, of the layers' dtype, shape (width,), contiguous; None
            if examples are no bytes.
    """

    examples: Any
    numbers: Any
    t: Any
    logits: Any
    keys: Any
    scale: float = 1.0
    mean: Any = None


def address_of_logits(lesson: Lesson | None) -> int:
    """Return where the logits of a lesson are; 0 without one."""
    return 0 if lesson is None else get_address(lesson.logits)


def settings_of(lesson: Lesson | None) -> tuple[float, ...]:
    """Return the numbers of a lesson, as an order has them; none without one."""
    return () if lesson is None else (lesson.temperature, lesson.weight)
