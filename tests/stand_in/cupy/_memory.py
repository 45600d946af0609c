"""The GPUs' memory: counted, poisoned and guarded."""

from collections import Counter
from typing import Any

import numpy

from cupy import _settings, _statistics
from cupy._errors import OutOfMemoryError

_GUARD = 1024  # bytes before and after each array; as floating point numbers they are NaN
_GUARD_BYTE = 0xFF
_INTACT = bytes([_GUARD_BYTE]) * _GUARD
_ALIGNMENT = 256

_live_bytes: Counter[int] = Counter()


def get_live_bytes(device: int) -> int:
    """Bytes in use on a GPU.

    Args:
        device: Its number.
    """
    return _live_bytes[device]


class Allocation:
    """Memory of one array and its views. It is free again when the last of them is gone.

    Args:
        size: Bytes.
        device: Number of the GPU.
    """

    def __init__(self, size: int, device: int) -> None:
        self.size = 0  # what __del__ gives back if the next line raises
        limit = _settings.get_memory_limit()
        if limit is not None and _live_bytes[device] + size > limit:
            raise OutOfMemoryError(size, _live_bytes[device])
        self.size, self.device = size, device
        _live_bytes[device] += size
        self._bytes = numpy.empty(size + 2 * _GUARD + _ALIGNMENT, numpy.uint8)
        self._start = _GUARD + -(self._bytes.ctypes.data + _GUARD) % _ALIGNMENT
        for guard in self._guards():
            guard.fill(_GUARD_BYTE)

    def __del__(self) -> None:
        if self.size:
            _live_bytes[self.device] -= self.size

    def _guards(self) -> tuple[numpy.ndarray, numpy.ndarray]:
        end = self._start + self.size
        return self._bytes[self._start - _GUARD : self._start], self._bytes[end : end + _GUARD]

    def find_damage(self) -> str | None:
        """Tell on which side of the memory something was written, ``before`` or ``after`` it."""
        for side, guard in zip(("before", "after"), self._guards(), strict=True):
            if guard.tobytes() != _INTACT:
                guard.fill(_GUARD_BYTE)  # one kernel's fault, not also the next one's
                return side
        return None

    def as_array(self, shape: tuple[int, ...], dtype: numpy.dtype) -> numpy.ndarray:
        """Look at the memory as an array in C order, poisoned.

        Args:
            shape: Its shape.
            dtype: Its type.
        """
        memory = self._bytes[self._start : self._start + self.size]
        array = numpy.ndarray(shape, dtype, buffer=memory.data)
        if dtype.kind in "fc":
            array.fill(numpy.nan)
        elif dtype.kind == "b":
            array.fill(True)
        else:
            memory.fill(0x55)
        return array


class MemoryPointer:
    """Where an array is.

    Args:
        mem: The memory.
        offset: Bytes from its start to the array.
    """

    def __init__(self, mem: Any, offset: int) -> None:
        self.mem = mem
        self.device_id = mem.device
        self.ptr = mem._bytes.ctypes.data + mem._start + offset


class MemoryPool:
    """CuPy's pool of memory. Memory that is free is given back at once here."""

    def used_bytes(self) -> int:
        return _live_bytes[self._current_device()]

    def total_bytes(self) -> int:
        return self.used_bytes()

    def free_bytes(self) -> int:
        return 0

    def free_all_blocks(self, stream: Any = None) -> None:
        _statistics.synchronise()

    @staticmethod
    def _current_device() -> int:
        from cupy._device import current_device

        return current_device()


class PinnedMemoryPool:
    """CuPy's pool of the host's memory."""

    def free_all_blocks(self) -> None:
        pass


_pool = MemoryPool()
_pinned_pool = PinnedMemoryPool()


def get_default_memory_pool() -> MemoryPool:
    """The pool that all arrays are from."""
    return _pool


def get_default_pinned_memory_pool() -> PinnedMemoryPool:
    """The pool for transfers."""
    return _pinned_pool
