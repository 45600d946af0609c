"""Making arrays, and moving them between the host and the GPU."""

from typing import Any

import numpy

from cupy import _array, _device, _statistics


def empty(shape: Any, dtype: Any = float, order: str = "C") -> Any:
    return _array.ndarray(shape, dtype, order=order)


def zeros(shape: Any, dtype: Any = float, order: str = "C") -> Any:
    return full(shape, 0, dtype, order)


def ones(shape: Any, dtype: Any = float, order: str = "C") -> Any:
    return full(shape, 1, dtype, order)


def full(shape: Any, fill_value: Any, dtype: Any = None, order: str = "C") -> Any:
    array = empty(shape, numpy.result_type(fill_value) if dtype is None else dtype, order)
    array.fill(fill_value)
    return array


def empty_like(
    prototype: Any, dtype: Any = None, order: str = "K", subok: Any = None, shape: Any = None
) -> Any:
    if not isinstance(prototype, _array.ndarray):
        raise TypeError(f"Unsupported type {type(prototype)}")
    dtype = numpy.dtype(prototype.dtype if dtype is None else dtype)
    if shape is not None:
        return empty(shape, dtype, "F" if order == "F" else "C")
    return _array.empty_with_layout(numpy.empty_like(prototype._values, dtype, order))


def zeros_like(
    a: Any, dtype: Any = None, order: str = "K", subok: Any = None, shape: Any = None
) -> Any:
    return full_like(a, 0, dtype, order, subok, shape)


def ones_like(
    a: Any, dtype: Any = None, order: str = "K", subok: Any = None, shape: Any = None
) -> Any:
    return full_like(a, 1, dtype, order, subok, shape)


def full_like(
    a: Any,
    fill_value: Any,
    dtype: Any = None,
    order: str = "K",
    subok: Any = None,
    shape: Any = None,
) -> Any:
    array = empty_like(a, dtype, order, subok, shape)
    array.fill(fill_value)
    return array


def _compute(values: numpy.ndarray) -> Any:
    """Let one kernel make an array out of nothing."""
    _statistics.launch("arange", 0, values.nbytes)
    return _array.to_device(values)


def arange(start: Any, stop: Any = None, step: Any = 1, dtype: Any = None) -> Any:
    bounds = (0, start) if stop is None else (start, stop)
    return _compute(numpy.arange(*bounds, step, dtype=dtype))


def linspace(start: Any, stop: Any, num: int = 50) -> Any:
    return _compute(numpy.linspace(start, stop, num))


def eye(N: int, M: Any = None, k: int = 0, dtype: Any = float) -> Any:
    return _compute(numpy.eye(N, M, k, dtype))


def identity(n: int, dtype: Any = float) -> Any:
    return eye(n, dtype=dtype)


def array(
    obj: Any,
    dtype: Any = None,
    copy: bool = True,
    order: str = "K",
    subok: bool = False,
    ndmin: int = 0,
) -> Any:
    """Make an array on the GPU in use of one there, of one on another GPU, or of the host's."""
    if isinstance(obj, _array.ndarray):
        return _array_of_array(obj, dtype, copy, order, ndmin)
    values = numpy.array(_fetch(obj), dtype, order=order, ndmin=ndmin)
    _array.check_dtype(values.dtype)
    _statistics.transfer_to_device(values.nbytes)
    return _array.to_device(values)


def _array_of_array(array: Any, dtype: Any, copy: bool, order: str, ndmin: int) -> Any:
    is_here = array.device == _device.Device()
    values = numpy.array(array._values, dtype, copy=copy or None, order=order, ndmin=ndmin)
    if is_here and values is array._values:
        return array
    if is_here and numpy.may_share_memory(values, array._values):
        return array._view(values)
    _statistics.launch("copy", array.nbytes, values.nbytes)
    return _array.to_device(values)


def _fetch(value: Any) -> Any:
    """Replace the GPU's arrays in nested lists, which CuPy stacks, by what they contain."""
    if isinstance(value, _array.ndarray):
        return _array.operand(value)
    return [_fetch(part) for part in value] if isinstance(value, list | tuple) else value


def asarray(a: Any, dtype: Any = None, order: Any = None) -> Any:
    return array(a, dtype, False, order or "K")


def ascontiguousarray(a: Any, dtype: Any = None) -> Any:
    if not isinstance(a, _array.ndarray):
        raise TypeError(f"Argument 'a' has incorrect type (expected ndarray, got {type(a)})")
    if a.flags.c_contiguous and dtype in (None, a.dtype):
        return a  # wherever it is
    return array(a, dtype, False, "C")


def asnumpy(
    a: Any, stream: Any = None, order: str = "C", out: Any = None, *, blocking: bool = True
) -> numpy.ndarray:
    if isinstance(a, _array.ndarray):
        return a.get(stream, order, out, blocking)
    return numpy.asarray(a, order=order)


def copy(a: Any, order: str = "K") -> Any:
    return array(a, order=order)


def copyto(dst: Any, src: Any, casting: str = "same_kind", where: Any = None) -> None:
    """Copy into an array, from another GPU, too."""
    if not isinstance(dst, _array.ndarray):
        raise TypeError("dst must be cupy.ndarray")
    values = src._values if isinstance(src, _array.ndarray) else _array.operand(src)
    _statistics.launch("copy", getattr(src, "nbytes", 0), dst.nbytes)
    mask = True if where is None else _array.operand(where)
    numpy.copyto(dst._values, values, casting=casting, where=mask)


def get_array_module(*args: Any) -> Any:
    """CuPy if one of the arguments is its array, else NumPy."""
    import cupy

    return cupy if any(isinstance(value, _array.ndarray) for value in args) else numpy
