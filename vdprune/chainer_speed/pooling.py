"""``chainer.functions.max_pooling_2d`` on a compiled kernel; Chainer unfolds the images for it."""

from functools import partial
from typing import Any

import numpy
from chainer.utils.conv import get_conv_outsize

from vdprune import kernels
from vdprune.chainer_speed.plain import is_plain
from vdprune.threads import get_team

_WORK = 8  # multiplications that take as long as looking at a pixel


def max_pool(original: Any, function: Any, inputs: tuple[Any, ...]) -> tuple[Any, ...]:
    """Do what ``MaxPoolingND.forward_cpu`` does.

    Args:
        original: That method.
        function: The function.
        inputs: Images, shape (images, channels, height, width).

    Returns:
        The largest pixel of each window.
    """
    if function.ndim != 2 or not is_plain(inputs[0]):
        return original(function, inputs)
    x = numpy.ascontiguousarray(inputs[0])
    images, channels, *size = x.shape
    out_size = [
        get_conv_outsize(n, k, s, p, cover_all=function.cover_all)
        for n, k, s, p in zip(size, function.ksize, function.stride, function.pad, strict=True)
    ]
    if min(out_size) <= 0:
        return original(function, inputs)
    y = numpy.empty((images * channels, *out_size), x.dtype)
    positions = numpy.empty(y.shape, numpy.intp)
    planes = x.reshape(-1, *size)
    geometry = function.ksize, function.stride, function.pad
    team = get_team()
    team.run(
        [
            partial(kernels.pooling.max_pool, planes[part], *geometry, y[part], positions[part])
            for part in team.split(len(planes), x.size * _WORK)
        ],
        use_blas=False,
    )
    shape = images, channels, *out_size
    function._in_shape, function._in_dtype = x.shape, x.dtype
    function.indexes = positions.reshape(shape)
    return (y.reshape(shape),)


def max_pool_gradient(original: Any, function: Any, inputs: tuple[Any, ...]) -> tuple[Any, ...]:
    """Do what ``MaxPoolingNDGrad.forward_cpu`` does.

    Args:
        original: That method.
        function: The function; its ``func`` is what `max_pool` was given.
        inputs: Gradient of the largest pixels.

    Returns:
        The gradient of the images.
    """
    pooling, g = function.func, inputs[0]
    is_ours = isinstance(pooling.indexes, numpy.ndarray) and pooling.indexes.dtype == numpy.intp
    if pooling.ndim != 2 or not is_plain(g) or g.dtype != pooling._in_dtype or not is_ours:
        return original(function, inputs)
    size = pooling._in_shape[2:]
    planes, positions = (
        numpy.ascontiguousarray(a).reshape(-1, *g.shape[2:]) for a in (g, pooling.indexes)
    )
    g_x = numpy.zeros((len(planes), *size), g.dtype)
    geometry = pooling.ksize, pooling.stride, pooling.pad
    team = get_team()
    team.run(
        [
            partial(kernels.pooling.max_unpool, planes[part], positions[part], *geometry, g_x[part])
            for part in team.split(len(planes), g_x.size * _WORK)
        ],
        use_blas=False,
    )
    return (g_x.reshape(pooling._in_shape),)
