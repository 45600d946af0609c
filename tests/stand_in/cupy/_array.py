"""The GPU's array: a NumPy array that keeps itself apart from NumPy."""

import math
from typing import Any

import numpy

from cupy import _device, _functions, _indexing, _memory, _statistics
from cupy._methods import Methods
from cupy._operators import Operators

_SUPPORTED = "?bhilqBHILQefdFD"  # the letters of NumPy's types


def check_dtype(dtype: numpy.dtype) -> None:
    """Refuse a type that the GPU does not know."""
    if dtype.char not in _SUPPORTED:
        raise ValueError(f"Unsupported dtype {dtype}")


class ndarray(Operators, Methods):  # noqa: N801
    """An array on the GPU in use when it is made, its content poison."""

    _values: numpy.ndarray  # the array as NumPy sees it; its memory is that of `_allocation`
    _allocation: _memory.Allocation
    base: "ndarray | None"
    __hash__ = None  # type: ignore[assignment]

    def __new__(cls, shape: Any, dtype: Any = float, *, order: str = "C") -> "ndarray":
        shape = tuple(shape) if isinstance(shape, tuple | list) else (int(shape),)
        dtype = numpy.dtype(dtype)
        check_dtype(dtype)
        size = math.prod(shape) * dtype.itemsize
        allocation = _memory.Allocation(size, _device.current_device())
        if order not in ("C", "F"):
            raise TypeError(f"order not understood: {order!r}")
        values = allocation.as_array(shape if order == "C" else shape[::-1], dtype)
        return cls._make(values if order == "C" else values.T, allocation, None)

    @classmethod
    def _make(
        cls, values: numpy.ndarray, allocation: _memory.Allocation, base: "ndarray | None"
    ) -> "ndarray":
        array = object.__new__(cls)
        array._values, array._allocation, array.base = values, allocation, base
        return array

    def _view(self, values: numpy.ndarray) -> "ndarray":
        """Make a view.

        Args:
            values: The view that NumPy makes.
        """
        return self._make(values, self._allocation, self if self.base is None else self.base)

    # ------------------------------------------------------------ what it is

    shape = property(lambda self: self._values.shape)
    strides = property(lambda self: self._values.strides)
    dtype = property(lambda self: self._values.dtype)
    ndim = property(lambda self: self._values.ndim)
    size = property(lambda self: self._values.size)
    itemsize = property(lambda self: self._values.itemsize)
    nbytes = property(lambda self: self._values.nbytes)
    flags = property(lambda self: self._values.flags)
    device = property(lambda self: _device.Device(self._allocation.device))
    T = property(lambda self: self._view(self._values.T))

    @shape.setter
    def shape(self, shape: Any) -> None:
        values = self._values.view()
        values.shape = shape
        self._values = values

    @property
    def data(self) -> _memory.MemoryPointer:
        start = _memory.MemoryPointer(self._allocation, 0).ptr
        return _memory.MemoryPointer(self._allocation, self._values.ctypes.data - start)

    def __len__(self) -> int:
        return len(self._values)

    def __iter__(self) -> Any:
        if self.ndim == 0:
            raise TypeError("iteration over a 0-d array")
        return (self[i] for i in range(len(self)))

    # ------------------------------------------------------------ to the host and back

    def __array__(self, dtype: Any = None, copy: Any = None) -> Any:
        raise TypeError(
            "Implicit conversion to a NumPy array is not allowed. "
            "Please use `.get()` to construct a NumPy array explicitly."
        )

    def get(
        self, stream: Any = None, order: str = "C", out: Any = None, blocking: bool = True
    ) -> numpy.ndarray:
        _statistics.synchronise()
        if out is None:
            return numpy.array(self._values, order=order)
        if not isinstance(out, numpy.ndarray):
            raise TypeError("Only numpy.ndarray can be obtained from cupy.ndarray")
        if out.dtype != self.dtype or out.shape != self.shape:
            raise ValueError(f"Shape or dtype mismatch: {out.shape}, {out.dtype}")
        out[...] = self._values
        return out

    def set(self, arr: numpy.ndarray, stream: Any = None) -> None:
        if not isinstance(arr, numpy.ndarray):
            raise TypeError("Only numpy.ndarray can be set to cupy.ndarray")
        if arr.dtype != self.dtype:
            raise TypeError(f"{arr.dtype} array cannot be set to {self.dtype} array")
        if arr.shape != self.shape:
            raise ValueError(f"Shape mismatch. Old shape: {self.shape}, new shape: {arr.shape}")
        _statistics.transfer_to_device(arr.nbytes)
        self._values[...] = arr

    def item(self) -> Any:
        return self.get().item()

    def tolist(self) -> Any:
        return self.get().tolist()

    def tobytes(self, order: str = "C") -> bytes:
        return self.get().tobytes(order)

    def __bool__(self) -> bool:
        return bool(self.get())

    def __int__(self) -> int:
        return int(self.get())

    def __float__(self) -> float:
        return float(self.get())

    def __complex__(self) -> complex:
        return complex(self.get())

    def __repr__(self) -> str:
        return repr(self.get())

    def __str__(self) -> str:
        return str(self.get())

    def __format__(self, form: str) -> str:
        return format(self.get()[()], form)

    def __reduce__(self) -> Any:
        from cupy import _creation

        return _creation.array, (self.get(),)

    # ------------------------------------------------------------ copies and views

    def copy(self, order: str = "C") -> "ndarray":
        return _functions.copy_values("copy", self, self._values.copy(order))

    __copy__ = copy

    def __deepcopy__(self, memo: Any) -> "ndarray":
        with self.device:
            return self.copy()

    def astype(
        self,
        dtype: Any,
        order: str = "K",
        casting: Any = None,
        subok: Any = None,
        copy: bool = True,
    ) -> "ndarray":
        operand(self)
        if not copy and numpy.dtype(dtype) == self.dtype and order in ("K", "A"):
            return self
        with numpy.errstate(all="ignore"):
            values = self._values.astype(dtype, order, casting or "unsafe")
        check_dtype(values.dtype)
        return _functions.copy_values("astype", self, values)

    def fill(self, value: Any) -> None:
        if getattr(value, "shape", ()) != ():
            raise ValueError(f"non-scalar {type(value).__name__} cannot be used for fill")
        values = operand(self)
        _statistics.launch("fill", 0, self.nbytes)
        values[...] = operand(value)

    def view(self, dtype: Any = None) -> "ndarray":
        return self._view(self._values.view() if dtype is None else self._values.view(dtype))

    def reshape(self, *shape: Any, order: str = "C") -> "ndarray":
        return _functions.reshape(self, shape[0] if len(shape) == 1 else shape, order)

    def ravel(self, order: str = "C") -> "ndarray":
        return _functions.ravel(self, order)

    def reduced_view(self, dtype: Any = None) -> "ndarray":
        return self.reshape(-1) if self.ndim > 1 and self.flags.c_contiguous else self

    def flatten(self, order: str = "C") -> "ndarray":
        return _functions.copy_values("copy", self, self._values.flatten(order))

    def transpose(self, *axes: Any) -> "ndarray":
        return self._view(self._values.transpose(*axes))

    def swapaxes(self, axis1: int, axis2: int) -> "ndarray":
        return self._view(self._values.swapaxes(axis1, axis2))

    def squeeze(self, axis: Any = None) -> "ndarray":
        return self._view(self._values.squeeze(axis))

    def __getitem__(self, index: Any) -> "ndarray":
        return _indexing.get(self, index)

    def __setitem__(self, index: Any, value: Any) -> None:
        _indexing.set(self, index, value)


def operand(value: Any) -> Any:
    """Let a kernel see an argument.

    Args:
        value: An array on the GPU in use, or a number.

    Returns:
        The array as NumPy sees it, or the number.

    Raises:
        TypeError: It is anything else, above all NumPy's array.
        ValueError: The array is on another GPU.
    """
    if isinstance(value, ndarray):
        home = value._allocation.device
        if home != _device.current_device():
            raise ValueError(
                f"The device where the array resides ({home}) is different from the current device "
                f"({_device.current_device()}). Peer access is unavailable between these devices."
            )
        return value._values
    if isinstance(value, bool | int | float | complex | numpy.generic):
        return value
    raise TypeError(f"Unsupported type {type(value)}")


def output(value: Any) -> numpy.ndarray:
    """Let a kernel see where to store its result.

    Args:
        value: An array on the GPU in use.

    Returns:
        The array as NumPy sees it.
    """
    if not isinstance(value, ndarray):
        raise TypeError("Output arguments type must be cupy.ndarray")
    return operand(value)


def empty_with_layout(values: numpy.ndarray) -> ndarray:
    """Make an array on the GPU in use.

    Args:
        values: What has the shape, the type and the order of axes in memory that it shall have.
    """
    axes = sorted(range(values.ndim), key=lambda axis: -abs(values.strides[axis]))
    array = ndarray(tuple(values.shape[axis] for axis in axes), values.dtype)
    array._values = array._values.transpose(numpy.argsort(axes)) if axes else array._values
    return array


def to_device(values: Any) -> ndarray:
    """Put NumPy's array into new memory of the GPU in use.

    Args:
        values: The array.

    Returns:
        That on the GPU.
    """
    values = numpy.asarray(values)
    array = empty_with_layout(values)
    array._values[...] = values
    return array
