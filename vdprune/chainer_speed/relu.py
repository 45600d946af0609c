"""``chainer.functions.relu`` shared among threads, and its gradient in one pass."""

from functools import partial
from typing import Any

import numpy

from vdprune import kernels
from vdprune.chainer_speed.plain import is_plain
from vdprune.threads import get_team

_WORK = 5  # multiplications that take as long as looking at a number


def relu(function: Any, inputs: tuple[Any, ...]) -> tuple[Any, ...] | None:
    """Do what ``ReLU.forward`` does.

    Args:
        function: The function.
        inputs: What is rectified.

    Returns:
        The larger of 0 and each number; None where that is left to Chainer.
    """
    x = inputs[0]
    if len(inputs) > 1 or not is_plain(x) or not x.flags.c_contiguous:
        return None
    y = numpy.empty_like(x)
    function.retain_outputs((0,))
    _share(kernels.cpu.relu, x, y)
    return (y,)


def relu_gradient(function: Any, g_outputs: tuple[Any, ...]) -> tuple[Any, ...]:
    """Do what ``ReLU.backward`` does with a function of its own.

    Args:
        function: The function.
        g_outputs: Gradient of its result.

    Returns:
        The gradient of its input.
    """
    (y,) = function._retained_output_data
    (g,) = g_outputs
    if not all(is_plain(a) and a.flags.c_contiguous and a.dtype == y.dtype for a in (y, g)):
        return (g * (y > 0),)
    g_x = numpy.empty_like(y)
    _share(kernels.cpu.relu_gradient, y, g, g_x)
    return (g_x,)


def _share(do: Any, *arrays: Any) -> None:
    """Let threads have parts of arrays of one size."""
    flat = [array.reshape(-1) for array in arrays]
    team = get_team()
    parts = team.split(flat[0].size, _WORK * flat[0].size)
    if len(parts) == 1:
        do(*flat)
    else:
        tasks = [partial(do, *(array[part] for array in flat)) for part in parts]
        team.run(tasks, use_blas=False)
