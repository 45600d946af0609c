"""Error and loss of a network on some examples."""

from dataclasses import dataclass

import chainer
import chainer.functions as F
from chainer import Chain

from vdprune.datasets import Split
from vdprune.errors import ArgumentError


@dataclass(frozen=True)
class Evaluation:
    """How a network did.

    Args:
        examples: Number of examples.
        error: Share of them that it got wrong, in percent.
        loss: Mean cross entropy in nats.
    """

    examples: int
    error: float
    loss: float


def evaluate(model: Chain, split: Split, batch_size: int = 2500) -> Evaluation:
    """Run a network on examples, without noise and with its cut weights at zero.

    Args:
        model: The network; its device is used.
        split: The examples and their labels.
        batch_size: Examples at a time.

    Returns:
        Error and loss.

    Raises:
        ArgumentError: The examples have another shape than the network takes, or a label is beyond
            its classes.
    """
    wrong, loss = 0, 0.0
    testing = chainer.using_config("train", False)
    with testing, chainer.no_backprop_mode(), chainer.using_device(model.device):
        for start in range(0, len(split.x), batch_size):
            x = model.device.send(split.x[start : start + batch_size])
            t = split.t[start : start + batch_size]
            y = model(x)
            if t.max() >= y.shape[1]:
                raise ArgumentError(
                    f"{split.description} have labels up to {split.t.max()}, the network knows "
                    f"classes 0 to {y.shape[1] - 1}: give it data of the task it was made for"
                )
            t = model.device.send(t)
            loss += float(F.softmax_cross_entropy(y, t).array) * len(t)
            wrong += int((y.array.argmax(axis=1) != t).sum())
    n = len(split.x)
    return Evaluation(n, 100 * wrong / n, loss / n)
