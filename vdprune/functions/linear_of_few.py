"""A linear layer of which few weights are left."""

from typing import Any

import chainer.functions as F
import numpy
from chainer import Variable, as_array, config

from vdprune.chainer_speed.graph import is_watched

_FEW = 0.5  # share of a matrix below which its rows and columns with weights are multiplied alone


def linear_of_few(x: Any, W: Any, b: Any = None, n_batch_axes: int = 1) -> Variable:
    """Apply a linear layer, on the CPU and without a graph without what no weight reads or feeds.

    Args:
        x: Inputs, shape (batch..., inputs).
        W: Weights, shape (outputs, inputs).
        b: Biases, shape (outputs,), or None.
        n_batch_axes: How many leading axes of x are batch axes.

    Returns:
        Variable of shape (batch..., outputs): what ``F.linear`` returns, to rounding.
    """
    arrays = [as_array(array) for array in (x, W, b) if array is not None]
    is_plain = (
        not config.enable_backprop
        and n_batch_axes == 1
        and all(type(array) is numpy.ndarray and array.dtype == W.dtype for array in arrays)
        and len(arrays[0]) > 0
        and arrays[0].size == len(arrays[0]) * arrays[1].shape[1]
        and not is_watched()
    )
    if not is_plain:
        return F.linear(x, W, b, n_batch_axes=n_batch_axes)
    is_there = arrays[1] != 0
    outputs, inputs = (numpy.flatnonzero(is_there.any(axis=axis)) for axis in (1, 0))
    if outputs.size * inputs.size > _FEW * is_there.size:
        return F.linear(x, W, b)
    y = numpy.zeros((len(arrays[0]), len(is_there)), arrays[1].dtype)
    few = arrays[0].reshape(len(y), -1)[:, inputs]
    y[:, outputs] = few @ arrays[1][numpy.ix_(outputs, inputs)].T
    if b is not None:
        y += arrays[2]
    return Variable(y, requires_grad=False)
