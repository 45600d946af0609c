"""Functions of whole arrays: sums and the like, changes of shape, selections."""

import math
from typing import Any

import numpy

from cupy import _array, _statistics, _ufunc

# CuPy sums all elements of a contiguous array with CUB: in one kernel where one block can take them
# all (256 threads, 16 elements each), else in two, the second for what the blocks have summed.
ELEMENTS_OF_A_BLOCK = 4096


def count_passes(inputs: int, outputs: int) -> int:
    """Kernels that a reduction takes.

    Args:
        inputs: Number of elements to reduce.
        outputs: Number of elements to reduce them to.
    """
    return 2 if outputs == 1 and inputs > ELEMENTS_OF_A_BLOCK else 1


def copy_values(name: str, array: Any, values: numpy.ndarray) -> Any:
    """Let one kernel make an array of another, wherever that is.

    Args:
        name: Name of the kernel.
        array: The array.
        values: What the new one contains.
    """
    _statistics.launch(name, array.nbytes, values.nbytes)
    return _array.to_device(values)


# ---------------------------------------------------------------- sums and the like


def _reduce(name: str, a: Any, out: Any, **options: Any) -> Any:
    options = {key: value for key, value in options.items() if value is not None}
    if not isinstance(a, _array.ndarray):
        raise TypeError(f"Unsupported type {type(a)}")
    values = _array.operand(a)
    with numpy.errstate(all="ignore"):
        result = numpy.asarray(getattr(numpy, name)(values, **options))
    passes = count_passes(a.size, result.size)
    if passes == 2:
        _statistics.launch(name, a.nbytes, 0)
    return _ufunc.store(name, () if passes == 2 else (a,), result, out, "unsafe")


def sum(
    a: Any, axis: Any = None, dtype: Any = None, out: Any = None, keepdims: bool = False
) -> Any:
    return _reduce("sum", a, out, axis=axis, dtype=dtype, keepdims=keepdims)


def prod(
    a: Any, axis: Any = None, dtype: Any = None, out: Any = None, keepdims: bool = False
) -> Any:
    return _reduce("prod", a, out, axis=axis, dtype=dtype, keepdims=keepdims)


def mean(
    a: Any, axis: Any = None, dtype: Any = None, out: Any = None, keepdims: bool = False
) -> Any:
    return _reduce("mean", a, out, axis=axis, dtype=dtype, keepdims=keepdims)


def var(
    a: Any,
    axis: Any = None,
    dtype: Any = None,
    out: Any = None,
    ddof: int = 0,
    keepdims: bool = False,
) -> Any:
    mean(a, axis, dtype, None, True)  # which CuPy computes first
    return _reduce("var", a, out, axis=axis, dtype=dtype, ddof=ddof, keepdims=keepdims)


def std(
    a: Any,
    axis: Any = None,
    dtype: Any = None,
    out: Any = None,
    ddof: int = 0,
    keepdims: bool = False,
) -> Any:
    variance = var(a, axis, dtype, None, ddof, keepdims)
    return _ufunc.FUNCTIONS["sqrt"](variance, out=out)


def amax(a: Any, axis: Any = None, out: Any = None, keepdims: bool = False) -> Any:
    return _reduce("max", a, out, axis=axis, keepdims=keepdims)


def amin(a: Any, axis: Any = None, out: Any = None, keepdims: bool = False) -> Any:
    return _reduce("min", a, out, axis=axis, keepdims=keepdims)


max, min = amax, amin


def any(a: Any, axis: Any = None, out: Any = None, keepdims: bool = False) -> Any:
    return _reduce("any", a, out, axis=axis, keepdims=keepdims)


def all(a: Any, axis: Any = None, out: Any = None, keepdims: bool = False) -> Any:
    return _reduce("all", a, out, axis=axis, keepdims=keepdims)


def argmax(
    a: Any, axis: Any = None, dtype: Any = None, out: Any = None, keepdims: bool = False
) -> Any:
    return _reduce("argmax", a, out, axis=axis, keepdims=keepdims)


def argmin(
    a: Any, axis: Any = None, dtype: Any = None, out: Any = None, keepdims: bool = False
) -> Any:
    return _reduce("argmin", a, out, axis=axis, keepdims=keepdims)


def count_nonzero(a: Any, axis: Any = None) -> Any:
    return _reduce("count_nonzero", a, None, axis=axis)


# ---------------------------------------------------------------- changes of shape


def reshape(a: Any, newshape: Any, order: str = "C") -> Any:
    values = a._values.reshape(newshape, order=order)
    if numpy.may_share_memory(values, a._values) or not a.size:
        return a._view(values)
    return copy_values("copy", a, values)


def ravel(a: Any, order: str = "C") -> Any:
    return reshape(a, (-1,), order)


def transpose(a: Any, axes: Any = None) -> Any:
    return a._view(a._values.transpose(axes))


def swapaxes(a: Any, axis1: int, axis2: int) -> Any:
    return a.swapaxes(axis1, axis2)


def rollaxis(a: Any, axis: int, start: int = 0) -> Any:
    return a._view(numpy.rollaxis(a._values, axis, start))


def moveaxis(a: Any, source: Any, destination: Any) -> Any:
    return a._view(numpy.moveaxis(a._values, source, destination))


def expand_dims(a: Any, axis: Any) -> Any:
    return a._view(numpy.expand_dims(a._values, axis))


def squeeze(a: Any, axis: Any = None) -> Any:
    return a.squeeze(axis)


def broadcast_to(array: Any, shape: Any) -> Any:
    return array._view(numpy.broadcast_to(array._values, shape))


def broadcast_arrays(*args: Any) -> list[Any]:
    shape = numpy.broadcast_shapes(*(array.shape for array in args))
    return [broadcast_to(array, shape) for array in args]


def ndim(a: Any) -> int:
    return numpy.ndim(a._values if isinstance(a, _array.ndarray) else a)


def concatenate(tup: Any, axis: Any = 0, out: Any = None) -> Any:
    values = [_array.operand(array) for array in tup]
    return _ufunc.store("concatenate", tup, numpy.concatenate(values, axis), out)


def stack(tup: Any, axis: int = 0, out: Any = None) -> Any:
    return concatenate([expand_dims(array, axis) for array in tup], axis, out)


def vstack(tup: Any) -> Any:
    return concatenate([array.reshape(1, -1) if array.ndim < 2 else array for array in tup], 0)


def split(ary: Any, indices_or_sections: Any, axis: int = 0) -> list[Any]:
    return [ary._view(part) for part in numpy.split(ary._values, indices_or_sections, axis)]


def repeat(a: Any, repeats: Any, axis: Any = None) -> Any:
    return _ufunc.store("copy", (a,), numpy.repeat(_array.operand(a), repeats, axis))


# ---------------------------------------------------------------- selections


def clip(a: Any, a_min: Any, a_max: Any, out: Any = None) -> Any:
    bounds = [None if bound is None else _array.operand(bound) for bound in (a_min, a_max)]
    inputs = (a, a_min, a_max)
    return _ufunc.store("clip", inputs, numpy.clip(_array.operand(a), *bounds), out)


def where(condition: Any, x: Any = None, y: Any = None) -> Any:
    if x is None and y is None:
        return nonzero(condition)
    inputs = (condition, x, y)
    return _ufunc.store("where", inputs, numpy.where(*map(_array.operand, inputs)))


def nonzero(a: Any) -> Any:
    _statistics.synchronise()  # how many there are must be known before there is memory for them
    indices = numpy.nonzero(_array.operand(a))
    return tuple(_ufunc.store("nonzero", (a,), index) for index in indices)


def flatnonzero(a: Any) -> Any:
    return nonzero(a.ravel())[0]


def take(a: Any, indices: Any, axis: Any = None, out: Any = None) -> Any:
    values = numpy.take(_array.operand(a), _array.operand(indices), axis)
    return _ufunc.store("take", (a, indices), values, out)


def cumsum(a: Any, axis: Any = None, dtype: Any = None, out: Any = None) -> Any:
    return _ufunc.store("cumsum", (a,), numpy.cumsum(_array.operand(a), axis, dtype), out, "unsafe")


def isscalar(element: Any) -> bool:
    return numpy.isscalar(element)


def size(a: Any, axis: Any = None) -> int:
    return math.prod(a.shape) if axis is None else a.shape[axis]
