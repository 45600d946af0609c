"""Error and loss of a network on some examples."""

from dataclasses import dataclass, field

import numpy

from vdprune.datasets import Split
from vdprune.errors import ArgumentError
from vdprune.runtime import Network

_ROUNDING = 1e-9  # of percentages, much less than one example of any data set


@dataclass(frozen=True)
class Evaluation:
    """How a network did.

    Args:
        examples: Number of examples.
        error: Share of them that it got wrong, in percent.
        loss: Mean cross entropy in nats.
        wrong: Which examples it got wrong, shape (examples,), bool; None where that was not kept.
    """

    examples: int
    error: float
    loss: float
    wrong: numpy.ndarray | None = field(default=None, compare=False, repr=False)


def evaluate_network(network: Network, split: Split) -> Evaluation:
    """Run the network of a weight file on examples.

    Args:
        network: The network.
        split: The examples and their labels.

    Returns:
        Error and loss, and which examples are wrong.

    Raises:
        ArgumentError: The examples have another shape than the network takes, or a label is beyond
            its classes.
    """
    y = network.logits(split.x).astype(numpy.float64)
    check_labels(split, y.shape[1])
    n = len(split.x)
    wrong = y.argmax(axis=1) != split.t
    if network.ends_in_softmax:
        y = numpy.log(numpy.maximum(y, numpy.finfo(numpy.float32).tiny))
    y -= y.max(axis=1, keepdims=True)
    surprise = numpy.log(numpy.exp(y).sum(axis=1)) - y[numpy.arange(n), split.t]
    return Evaluation(n, 100 * float(wrong.mean()), float(surprise.mean()), wrong)


def is_at_most(percent: float, most: float) -> bool:
    """Compare shares of examples, in percent: 7 of 1,000 are 0.7, though 100 * 0.007 is a little more.

    Args:
        percent: The share that was found.
        most: The one that is allowed.

    Returns:
        Whether it is no larger, but for rounding.
    """
    return percent <= most + _ROUNDING


def check_labels(split: Split, classes: int) -> None:
    """Refuse labels that a network can't answer with.

    Args:
        split: The examples and their labels.
        classes: How many classes the network knows.

    Raises:
        ArgumentError: A label is beyond them.
    """
    if split.t.max() >= classes:
        raise ArgumentError(
            f"{split.description} have labels up to {split.t.max()}, the network knows "
            f"classes 0 to {classes - 1}: give it data of the task it was made for"
        )
