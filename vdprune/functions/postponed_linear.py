"""A linear layer with noisy weights whose draws wait for what comes next."""

import math
from collections.abc import Callable
from typing import Any

import chainer.functions as F
import numpy
from chainer import Variable, config

from vdprune.chainer_speed.graph import is_watched
from vdprune.chainer_speed.postponed import Postponed, Promise
from vdprune.functions.linear_plan import LinearLayer
from vdprune.functions.variational_dropout_linear import variational_dropout_linear
from vdprune.functions.variational_layer import new_key

_Keep = Callable[[tuple[Variable, Variable]], Variable]


class PostponedLinear(Promise):
    """The draws of a layer.

    Args:
        x: Inputs: an array or Variable of shape (batch, inputs), or a promise of one.
        batch: How many examples there are.
        layer: The layer.
        parameters: Variables W, log_sigma2 and, with biases, b.
        keep: Called with the draws and the KL divergence when they are computed; returns the draws.
        promises: As for `Promise`.
    """

    def __init__(
        self,
        x: Any,
        batch: int,
        layer: LinearLayer,
        parameters: tuple[Variable, ...],
        keep: _Keep,
        promises: list[Promise],
    ) -> None:
        super().__init__(x if isinstance(x, Promise) else None, promises)
        self.x, self.layer, self.parameters, self._keep = x, layer, parameters, keep
        self.shape = batch, len(layer.W) if layer.alive is None else layer.alive.shape[0]
        self.dtype = layer.W.dtype

    def compute(self) -> Variable:
        """Draw, as if there had been no waiting."""
        x, layer = self.x if self.source is None else self.source.variable(), self.layer
        W, log_sigma2, *b = self.parameters
        return self._keep(
            variational_dropout_linear(
                x,
                W,
                log_sigma2,
                b[0] if b else None,
                threshold=layer.threshold,
                mask_variance=layer.mask_variance,
                alive=layer.alive,
                prior=layer.prior,
                noise_scale=layer.noise_scale,
                key=layer.key,
            )
        )

    def rectified(self) -> Postponed:
        """Return what ReLU makes of them."""
        return PostponedRelu(self).postpone()


class PostponedRelu(Promise):
    """ReLU of a layer's draws.

    Args:
        source: The draws.
    """

    source: PostponedLinear

    def __init__(self, source: PostponedLinear) -> None:
        super().__init__(source, source.promises)
        self.shape, self.dtype = source.shape, source.dtype

    def compute(self) -> Variable:
        """Compute it."""
        return F.relu(self.source.variable())


def postpone_linear(
    x: Any,
    layer: LinearLayer,
    parameters: tuple[Variable, ...],
    keep: _Keep,
    promises: list[Promise],
) -> Postponed | None:
    """Apply a linear layer whose weights are drawn anew for each example, but not yet.

    Args:
        x: Inputs, shape (batch, ...).
        layer: The layer; it gets its key here.
        parameters: As for `PostponedLinear`.
        keep: Likewise.
        promises: Likewise.

    Returns:
        The pre-activations, or None where they can't wait: of inputs that do not fit, on a GPU, in other
        dtypes than float32 and float64, and where somebody watches functions at work.
    """
    if isinstance(x, Postponed):
        source: Any = x.promise
        (batch, width), dtype = source.shape, source.dtype
    else:
        raw = x.raw_array if isinstance(x, Variable) else x
        if type(raw) is not numpy.ndarray or raw.ndim < 2:
            return None
        source, dtype = x if raw.ndim == 2 else _flat(x), raw.dtype
        batch, width = source.shape
    inputs = layer.W.shape[1] if layer.alive is None else layer.alive.shape[1]
    fits = (
        width == inputs
        and batch > 0
        and all(_is_plain(array, dtype) for array in layer.arrays())
        and layer.W.shape == layer.log_sigma2.shape
        and config.enable_backprop
        and not is_watched()
    )
    if not fits:
        return None
    layer.key = new_key()
    return PostponedLinear(source, batch, layer, parameters, keep, promises).postpone()


def _is_plain(array: Any, dtype: Any) -> bool:
    return (
        type(array) is numpy.ndarray
        and array.dtype == dtype
        and dtype.char in "fd"
        and array.flags.carray
    )


def _flat(x: Any) -> Any:
    shape = len(x), math.prod(x.shape[1:])
    return F.reshape(x, shape) if isinstance(x, Variable) else x.reshape(shape)
