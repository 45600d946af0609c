"""GPUs, streams, memory and the CUDA runtime."""

from cupy._device import Device, Event, Stream, current_device, get_current_stream, get_elapsed_time
from cupy._errors import CUDARuntimeError
from cupy._memory import MemoryPointer, MemoryPool, PinnedMemoryPool
from cupy.cuda import compiler, cublas, driver, memory, runtime

__all__ = [
    "Device",
    "Event",
    "MemoryPointer",
    "MemoryPool",
    "PinnedMemoryPool",
    "Stream",
    "compiler",
    "cublas",
    "driver",
    "get_current_stream",
    "get_device_id",
    "get_elapsed_time",
    "is_available",
    "memory",
    "runtime",
]


def get_device_id() -> int:
    """Number of the GPU in use."""
    return current_device()


def is_available() -> bool:
    """Whether there is a GPU."""
    try:
        return runtime.getDeviceCount() > 0
    except CUDARuntimeError:
        return False
