"""A two-dimensional convolution, as ``chainer.functions.convolution_2d`` computes it."""

from functools import partial
from typing import Any

import chainer
import chainer.functions as F
import numpy
from chainer import Variable, as_variable

from vdprune.functions.choice import choose_fused
from vdprune.functions.convolution_products import choose_products, cut_into_tasks
from vdprune.functions.first_order import FirstOrderFunction
from vdprune.functions.geometry import Geometry, find_out_size, has_outputs, make_geometry
from vdprune.threads import get_team


class Convolution2DFunction(FirstOrderFunction):
    """Images are laid out and multiplied some at a time, and laid out again for the gradients.

    To keep them laid out for the gradients was no faster, and takes kh * kw times their memory.
    """

    def __init__(
        self, geometry: Geometry, groups: int, out_size: tuple[int, int], kept: Any
    ) -> None:
        super().__init__()
        self.geometry, self.groups, self.out_size, self.kept = geometry, groups, out_size, kept

    def forward(self, inputs: tuple[Any, ...]) -> tuple[Any, ...]:
        x, W = inputs[:2]
        self.has_bias = len(inputs) == 3
        b = inputs[2][:, None] if self.has_bias else None
        self.retain_inputs((0, 1))
        kept = self.kept
        if kept is None and not chainer.config.enable_backprop:
            kept = W != 0  # elsewhere gradients are wanted of weights that are 0, too
        self.way = choose_products(W.shape, self.geometry, self.groups, self.out_size, kept)
        self.tasks = cut_into_tasks(len(x), x.itemsize, self.way, products=1)
        self.shape = len(x), len(W), self.way.pixels
        y = numpy.empty(self.shape, x.dtype)
        weights = self.way.weights(W)
        get_team().run([partial(self._multiply, task, x, weights, b, y) for task in self.tasks])
        return (y.reshape(*self.shape[:2], *self.out_size),)

    def _multiply(self, task: list[slice], x: Any, weights: Any, b: Any, y: Any) -> None:
        """Compute some images' outputs."""
        for block in task:
            images = numpy.ascontiguousarray(x[block])
            rows = self.way.outputs(weights, self.way.inputs(images), len(images))
            outputs = self.way.images_first(rows, len(images))
            if b is None:
                y[block] = outputs
            else:
                numpy.add(outputs, b, out=y[block])

    def backward_arrays(
        self, indexes: tuple[int, ...], grad_outputs: tuple[Any, ...]
    ) -> tuple[Any, ...]:
        x, W = (v.array for v in self.get_retained_inputs())
        g_x = numpy.empty(x.shape, x.dtype) if 0 in indexes else None
        g, weights = grad_outputs[0].reshape(self.shape), self.way.weights(W)
        tasks = [partial(self._carry_back, task, x, weights, g, g_x) for task in self.tasks]
        g_W, g_b = (sum(parts) for parts in zip(*get_team().run(tasks), strict=True))
        gradients = g_x, self.way.weights_back(g_W), g_b
        return tuple(gradients[index] for index in indexes)

    def _carry_back(
        self, task: list[slice], x: Any, weights: Any, g: Any, g_x: Any
    ) -> tuple[Any, Any]:
        """Compute some images' gradients; return what they add to those of the weights and biases."""
        g_W, g_b = numpy.zeros_like(weights), numpy.zeros(g.shape[1], g.dtype)
        for block in task:
            images = numpy.ascontiguousarray(x[block])
            if self.has_bias:
                g_b += g[block].sum(axis=(0, 2))
            g_rows = self.way.outputs_back(self.way.images_first_back(g[block]), len(images))
            laid_out = self.way.inputs(images)
            g_W += self.way.weights_gradient(g_rows, laid_out)
            if g_x is not None:
                g_x[block] = self.way.inputs_gradient(weights, g_rows, images, laid_out)
        return g_W, g_b


def convolution_2d(
    x: Any,
    W: Any,
    b: Any = None,
    stride: int | tuple[int, int] = 1,
    pad: int | tuple[int, int] = 0,
    dilate: int | tuple[int, int] = 1,
    groups: int = 1,
    kept: Any = None,
) -> Variable:
    """The same as ``chainer.functions.convolution_2d``, which computes it where there is no fast way.

    Args:
        x: Images, shape (batch, in_channels, height, width); NumPy arrays of float32 or float64 for the
            fast way, whose gradients can't be differentiated again.
        W: Weights, shape (out_channels, in_channels / groups, kh, kw).
        b: Biases, shape (out_channels,).
        stride: Step of the filters in pixels.
        pad: Zeros added around the images in pixels.
        dilate: Distance between neighbouring filter weights in pixels.
        groups: Number of groups of channels.
        kept: Which weights count, array of bool, shape of W: the others are 0 and no gradients of
            theirs are wanted. None for all.

    Returns:
        x * W + b, where * convolves, shape (batch, out_channels, out_height, out_width), dtype of x.
    """
    inputs = [as_variable(v) for v in (x, W, b) if v is not None]
    geometry = make_geometry(stride, pad, dilate)
    if not _is_fused(*(v.array for v in inputs), geometry=geometry, groups=groups):
        return F.convolution_2d(*inputs, stride=stride, pad=pad, dilate=dilate, groups=groups)
    function = Convolution2DFunction(
        geometry, groups, find_out_size(inputs[0], inputs[1], geometry), kept
    )
    # without gradients nothing is kept for them
    wants_gradients = any(v.requires_grad for v in inputs)
    with chainer.using_config(
        "enable_backprop", chainer.config.enable_backprop and wants_gradients
    ):
        return function.apply(inputs)[0]


def _is_fused(x: Any, W: Any, b: Any = None, *, geometry: Geometry, groups: int) -> bool:
    """Whether there is a fast way; what Chainer would refuse goes to Chainer."""
    fits = (
        x.ndim == W.ndim == 4
        and W.size
        and x.shape[1] == W.shape[1] * groups
        and len(W) % groups == 0
        and (b is None or b.shape == W.shape[:1])
        and has_outputs(x, W, geometry)
    )
    return bool(fits) and choose_fused(*(a for a in (x, W, b) if a is not None)) == "cpu"
