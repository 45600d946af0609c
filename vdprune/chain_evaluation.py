"""Error and loss of a Chainer network on some examples."""

import contextlib
import math
from collections.abc import Iterator
from functools import partial
from typing import Any

import chainer
import chainer.functions as F
import numpy
from chainer import Chain, LinkHook
from chainer.links import Convolution2D

from vdprune.datasets import Split
from vdprune.evaluation import Evaluation, check_labels
from vdprune.threads import get_team

_MOST_EXAMPLES = 2500
_MOST_NUMBERS = 50_000_000  # that a layer works with at a time: 0.2 GB, in each thread


def evaluate(model: Chain, split: Split, batch_size: int | None = None) -> Evaluation:
    """Run a network on examples, without noise and with its cut weights at zero.

    Args:
        model: The network; its device is used.
        split: The examples and their labels.
        batch_size: Examples at a time; None for as many as do not take too much memory.

    Returns:
        Error and loss.

    Raises:
        ArgumentError: The examples have another shape than the network takes, or a label is beyond
            its classes.
    """
    n, device = len(split.x), model.device
    if batch_size is None:
        with _testing(model):
            batch_size = _choose_batch_size(model, device.send(split.x[:1]))
    starts = range(0, n, batch_size)
    tasks = [partial(_evaluate_part, model, split, slice(i, i + batch_size)) for i in starts]
    # A BLAS library's threads stay awake after a product, in the way of those that train.
    found = get_team().run(tasks) if device.xp is numpy else [task() for task in tasks]
    wrong, loss = (sum(numbers) for numbers in zip(*found, strict=True))
    return Evaluation(n, 100 * wrong / n, loss / n)


def _evaluate_part(model: Chain, split: Split, part: slice) -> tuple[int, float]:
    """Return how many of some examples are wrong, and the sum of their losses."""
    t = model.device.send(split.t[part])
    with _testing(model):
        y = model(model.device.send(split.x[part]))
        check_labels(split, y.shape[1])
        loss = float(F.softmax_cross_entropy(y, t).array) * len(t)
        return int((y.array.argmax(axis=1) != t).sum()), loss


@contextlib.contextmanager
def _testing(model: Chain) -> Iterator[None]:
    """Set up the calling thread for a pass without noise."""
    testing = chainer.using_config("train", False)
    with testing, chainer.no_backprop_mode(), chainer.using_device(model.device):
        yield


def _choose_batch_size(model: Chain, x: Any) -> int:
    """Choose by what the layers make of one example."""
    with _LargestLayer() as hook:
        model(x)
    return max(1, min(_MOST_EXAMPLES, _MOST_NUMBERS // hook.numbers))


class _LargestLayer(LinkHook):
    """Remembers with how many numbers a layer works at most; a convolution unfolds its inputs."""

    def __init__(self) -> None:
        self.numbers = 1

    def forward_postprocess(self, args: Any) -> None:
        numbers = args.out.size
        if isinstance(args.link, Convolution2D):
            channels, ksize = args.args[0].shape[1], args.link.W.shape[2:]
            numbers = math.prod((channels, *ksize, *args.out.shape[2:]))
        self.numbers = max(self.numbers, numbers)
