"""Reading and writing parts of an array."""

from typing import Any

import numpy

from cupy import _array, _statistics, _ufunc


def get(array: Any, index: Any) -> Any:
    """Read ``array[index]``: a view, or a copy where the index is an array.

    Args:
        array: The array.
        index: The index.
    """
    parts = _resolve(index)
    if not any(isinstance(part, numpy.ndarray) for part in parts):
        if Ellipsis not in parts:
            parts += (Ellipsis,)  # else NumPy would make a copy of a single element
        return array._view(array._values[parts])
    values = _array.operand(array)[parts]
    _wait_for_count(parts)
    return _ufunc.store("take", (array, *_arrays(index)), values)


def set(array: Any, index: Any, value: Any) -> None:
    """Write ``array[index] = value``.

    Args:
        array: The array.
        index: The index.
        value: An array on the same GPU, or a number.
    """
    if isinstance(value, numpy.ndarray) and value.ndim:
        raise ValueError("non-scalar numpy.ndarray cannot be used for fill")
    values = _array.operand(array)
    parts = _resolve(index)
    if isinstance(value, numpy.ndarray):
        value = value[()]
    elif isinstance(value, list | tuple):
        from cupy import _creation

        value = _creation.array(value)
    new = _array.operand(value)
    is_scattered = any(isinstance(part, numpy.ndarray) for part in parts)
    is_array = isinstance(value, _array.ndarray)
    name = "scatter_update" if is_scattered else "copy" if is_array else "fill"
    written = values[parts].nbytes
    _statistics.launch(name, value.nbytes if is_array else 0, written)
    with numpy.errstate(all="ignore"):
        values[parts] = new


def _parts(index: Any) -> tuple[Any, ...]:
    return index if isinstance(index, tuple) else (index,)


def _arrays(index: Any) -> tuple[Any, ...]:
    return tuple(part for part in _parts(index) if isinstance(part, _array.ndarray))


def _resolve(index: Any) -> tuple[Any, ...]:
    """Make NumPy's index of CuPy's. Lists and NumPy's arrays are sent to the GPU, as by CuPy."""
    parts = []
    for part in _parts(index):
        if isinstance(part, _array.ndarray):
            parts.append(_array.operand(part))
        elif isinstance(part, list | numpy.ndarray):
            part = numpy.asarray(part)
            _statistics.transfer_to_device(part.nbytes)
            parts.append(part)
        else:
            parts.append(part)
    return tuple(parts)


def _wait_for_count(parts: tuple[Any, ...]) -> None:
    """How much a mask selects must be known before there is memory for it: the host waits."""
    if any(isinstance(part, numpy.ndarray) and part.dtype == bool for part in parts):
        _statistics.synchronise()
