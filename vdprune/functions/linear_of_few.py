"""A linear layer of which few weights are left."""

from typing import Any

import chainer.functions as F
import numpy
from chainer import Variable, as_array, config

from vdprune.chainer_speed.graph import is_watched
from vdprune.functions.first_order import FirstOrderFunction

_FEW = 0.5  # share of a matrix below which its rows and columns with weights are multiplied alone


class LinearOfFewFunction(FirstOrderFunction):
    """A product of the rows and columns that have weights.

    Args:
        rows: Their numbers.
        columns: Likewise.
    """

    def __init__(self, rows: Any, columns: Any) -> None:
        super().__init__()
        self.rows, self.columns = rows, columns

    def forward(self, arrays: tuple[Any, ...]) -> tuple[Any, ...]:
        x, W = arrays[:2]
        self.shapes = x.shape, W.shape
        self.x = x.reshape(len(x), -1)[:, self.columns]
        self.W = W[numpy.ix_(self.rows, self.columns)]
        y = numpy.zeros((len(x), len(W)), W.dtype)
        y[:, self.rows] = self.x @ self.W.T
        if len(arrays) == 3:
            y += arrays[2]
        return (y,)

    def backward_arrays(
        self, indexes: tuple[int, ...], grad_outputs: tuple[Any, ...]
    ) -> tuple[Any, ...]:
        g, (x_shape, W_shape) = grad_outputs[0], self.shapes
        few = g[:, self.rows]
        gradients = []
        for index in indexes:
            if index == 0:
                g_x = numpy.zeros((x_shape[0], W_shape[1]), g.dtype)
                g_x[:, self.columns] = few @ self.W
                gradients.append(g_x.reshape(x_shape))
            elif index == 1:
                g_W = numpy.zeros(W_shape, g.dtype)
                g_W[numpy.ix_(self.rows, self.columns)] = few.T @ self.x
                gradients.append(g_W)
            else:
                gradients.append(g.sum(axis=0))
        return tuple(gradients)


def linear_of_few(
    x: Any, W: Any, b: Any = None, n_batch_axes: int = 1, kept: Any = None
) -> Variable:
    """Apply a linear layer, on the CPU without what no weight reads or feeds.

    Args:
        x: Inputs, shape (batch..., inputs).
        W: Weights, shape (outputs, inputs).
        b: Biases, shape (outputs,), or None.
        n_batch_axes: How many leading axes of x are batch axes.
        kept: Which weights count, array of bool, shape of W: the others are 0 and no gradients of
            theirs are wanted. None for all; without a graph those that are not 0 will do.

    Returns:
        Variable of shape (batch..., outputs): what ``F.linear`` returns, to rounding.
    """
    arrays = [as_array(array) for array in (x, W, b) if array is not None]
    is_plain = (
        not (config.enable_backprop and kept is None)
        and n_batch_axes == 1
        and all(type(array) is numpy.ndarray and array.dtype == W.dtype for array in arrays)
        and len(arrays[0]) > 0
        and arrays[0].size == len(arrays[0]) * arrays[1].shape[1]
        and not is_watched()
    )
    if not is_plain:
        return F.linear(x, W, b, n_batch_axes=n_batch_axes)
    is_there = arrays[1] != 0 if kept is None else kept
    rows, columns = (numpy.flatnonzero(is_there.any(axis=axis)) for axis in (1, 0))
    if rows.size * columns.size > _FEW * is_there.size:
        return F.linear(x, W, b)
    return LinearOfFewFunction(rows, columns).apply(
        [array for array in (x, W, b) if array is not None]
    )[0]
