"""What a teacher says of examples, and which teacher it was."""

import hashlib
from collections.abc import Callable
from functools import partial
from typing import Any

import chainer
import numpy
from chainer import as_array
from chainer.serializers import DictionarySerializer

from vdprune.chain import VariationalDropoutChain
from vdprune.conversion import named_masked_links
from vdprune.errors import ArgumentError
from vdprune.threads import get_team

_BATCH_SIZE = 100  # small, so that what lies between the layers stays in a CPU's cache
_BATCHES = 20  # that threads share, between one report and the next


def evaluate_logits(teacher: VariationalDropoutChain, x: Any) -> Any:
    """Run a teacher on a batch, as in evaluation: without noise, dropout or a graph.

    Args:
        teacher: The network; its device is used.
        x: Raw examples, shape (batch, *input_shape).

    Returns:
        Logits, shape (batch, classes), on the teacher's device.

    Raises:
        ArgumentError: The teacher takes other examples, or gives no logits.
    """
    testing = chainer.using_config("train", False)
    with testing, chainer.no_backprop_mode(), chainer.using_device(teacher.device):
        logits = as_array(teacher(teacher.device.send(x)))
    if logits.ndim != 2 or len(logits) != len(x):
        raise ArgumentError(
            f"the teacher's output for {len(x)} examples has shape {logits.shape}: it must be logits, "
            "(batch, classes)"
        )
    return logits


def compute_logits(
    teacher: VariationalDropoutChain,
    x: numpy.ndarray,
    on_progress: Callable[[int], Any] = lambda examples: None,
) -> numpy.ndarray:
    """Run a teacher on a whole data set.

    Args:
        teacher: The network; its device is used.
        x: Raw examples, shape (n, *input_shape).
        on_progress: Called now and then with the number of examples that were done since.

    Returns:
        Logits, shape (n, classes), a NumPy array.

    Raises:
        ArgumentError: The teacher takes other examples, or its logits are not finite numbers.
    """

    def compute(start: int) -> numpy.ndarray:
        logits = evaluate_logits(teacher, x[start : start + _BATCH_SIZE])
        return chainer.get_device("@numpy").send(logits)

    parts: list[numpy.ndarray] = []
    for first in range(0, len(x), _BATCH_SIZE * _BATCHES):
        last = min(len(x), first + _BATCH_SIZE * _BATCHES)
        tasks = [partial(compute, start) for start in range(first, last, _BATCH_SIZE)]
        # A BLAS library's threads stay awake after a product, in the way of others that compute.
        on_cpu = teacher.xp is numpy
        parts += get_team().run(tasks) if on_cpu else [task() for task in tasks]
        on_progress(last - first)
    found = numpy.concatenate(parts)
    if not numpy.isfinite(found).all():
        raise ArgumentError("the teacher's logits are not all finite: take another teacher")
    return found


def teacher_sha256(teacher: VariationalDropoutChain) -> str:
    """Tell teachers apart.

    Args:
        teacher: The network.

    Returns:
        The SHA-256 of its class, its parameters and its weights as they are used, in hexadecimal.
    """
    serializer = DictionarySerializer()
    serializer.save(teacher)
    arrays = dict(sorted(serializer.target.items()))
    with chainer.using_device(teacher.device):
        for name, link in named_masked_links(teacher):
            arrays[f"masked {name}"] = as_array(link.masked_W())
    digest = hashlib.sha256(type(teacher).__qualname__.encode())
    for name, value in arrays.items():
        array = numpy.ascontiguousarray(chainer.get_device("@numpy").send(value))
        digest.update(repr((name, array.dtype.str, array.shape)).encode())
        digest.update(array.tobytes())
    return digest.hexdigest()
