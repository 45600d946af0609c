"""GPUs, streams and events."""

import threading
import time
from typing import Any

from cupy import _memory, _settings, _statistics
from cupy._errors import CUDARuntimeError

_NO_DRIVER = (
    "cudaErrorInsufficientDriver: CUDA driver version is insufficient for CUDA runtime version"
)


class _Current(threading.local):
    device = 0


_current = _Current()


def current_device() -> int:
    """Number of the GPU in use."""
    return _current.device


def count_devices() -> int:
    """Number of GPUs; fails where there is no driver."""
    if not _settings.has_driver():
        raise CUDARuntimeError(_NO_DRIVER)
    return _settings.get_device_count()


def use_device(number: int) -> None:
    """Switch to a GPU.

    Args:
        number: Its number.
    """
    if not 0 <= number < count_devices():
        raise CUDARuntimeError("cudaErrorInvalidDevice: invalid device ordinal")
    _current.device = number


class Device:
    """One GPU; as a context manager, the one in use.

    Args:
        device: Its number, or another `Device`; None for the one in use.
    """

    def __init__(self, device: Any = None) -> None:
        self.id = _current.device if device is None else int(device)
        self._before: list[int] = []

    def __int__(self) -> int:
        return self.id

    def use(self) -> None:
        use_device(self.id)

    def synchronize(self) -> None:
        _statistics.synchronise()

    def __enter__(self) -> "Device":
        before = _current.device
        self.use()
        self._before.append(before)
        return self

    def __exit__(self, *error: Any) -> None:
        _current.device = self._before.pop()

    @property
    def compute_capability(self) -> str:
        return "80"

    @property
    def mem_info(self) -> tuple[int, int]:
        total = _settings.get_memory_limit() or 16 << 30
        return total - _memory.get_live_bytes(self.id), total

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Device) and other.id == self.id

    def __lt__(self, other: "Device") -> bool:
        return self.id < other.id

    def __hash__(self) -> int:
        return hash(self.id)

    def __repr__(self) -> str:
        return f"<CUDA Device {self.id}>"


class Stream:
    """A queue of work; here everything is done at once."""

    null: "Stream"

    def __init__(
        self,
        null: bool = False,
        non_blocking: bool = False,
        ptds: bool = False,
        priority: Any = None,
    ) -> None:
        self.ptr = 0

    done = True

    def use(self) -> "Stream":
        return self

    def synchronize(self) -> None:
        _statistics.synchronise()

    def record(self, event: "Event | None" = None) -> "Event":
        event = event or Event()
        event.record(self)
        return event

    def wait_event(self, event: "Event") -> None:
        pass

    def __enter__(self) -> "Stream":
        return self

    def __exit__(self, *error: Any) -> None:
        pass


Stream.null = Stream(null=True)


class Event:
    """A moment in a stream."""

    done = True

    def __init__(
        self, block: bool = False, disable_timing: bool = False, interprocess: bool = False
    ) -> None:
        self._time = 0.0

    def record(self, stream: Stream | None = None) -> None:
        self._time = time.perf_counter()

    def synchronize(self) -> None:
        _statistics.synchronise()


def get_current_stream(device_id: int | None = None) -> Stream:
    """The one stream that there is."""
    return Stream.null


def get_elapsed_time(start_event: Event, end_event: Event) -> float:
    """Milliseconds between two events."""
    return (end_event._time - start_event._time) * 1e3
