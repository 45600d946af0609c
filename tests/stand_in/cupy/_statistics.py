"""What a real GPU would have been asked to do::

    with cupy._statistics.counting() as statistics:
        ...
    assert statistics.launches["matmul"] == 2

Kernels written as text are counted by their name, operators and functions by NumPy's name for them,
products as ``dot`` (cuBLAS's GEMM) or ``matmul`` (its GEMM of many matrices), filling as ``fill``.
"""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from cupy import _settings
from cupy._errors import CUDARuntimeError


@dataclass
class Statistics:
    """Counts since `counting` was entered."""

    launches: Counter[str] = field(default_factory=Counter)
    synchronisations: int = 0  # times that the host waited for the GPU
    transfers_to_device: int = 0
    bytes_to_device: int = 0
    bytes_read: int = 0  # sizes of what the kernels were given, whether they read it or not
    bytes_written: int = 0

    @property
    def total_launches(self) -> int:
        """Number of kernels launched, the copies and fills among them."""
        return self.launches.total()


_active: list[Statistics] = []


@contextmanager
def counting() -> Iterator[Statistics]:
    """Count what happens until the end of the block; blocks may be nested."""
    statistics = Statistics()
    _active.append(statistics)
    try:
        yield statistics
    finally:
        _active.remove(statistics)


class _VanishingGpu:
    """Counts the launches since ``STAND_IN_VANISH_AFTER`` was set."""

    def __init__(self) -> None:
        self.limit: int | None = None
        self.launches = 0

    def check(self) -> None:
        limit = _settings.get_launch_limit()
        if limit != self.limit:
            self.limit, self.launches = limit, 0
        self.launches += 1
        if limit is not None and self.launches > limit:
            raise CUDARuntimeError("cudaErrorLaunchFailure: unspecified launch failure")


_gpu = _VanishingGpu()


def restart_vanishing() -> None:
    """Count the launches until the GPU vanishes from here on."""
    _gpu.launches = 0


def launch(name: str, reads: int, writes: int, times: int = 1) -> None:
    """Take note of kernels; to be called before their results are stored.

    Args:
        name: What they are counted as.
        reads: Bytes that they are given.
        writes: Bytes that they make.
        times: How many kernels there are.
    """
    for _ in range(times):
        _gpu.check()
    for statistics in _active:
        statistics.launches[name] += times
        statistics.bytes_read += reads
        statistics.bytes_written += writes


def synchronise() -> None:
    """Take note that the host waits for the GPU."""
    for statistics in _active:
        statistics.synchronisations += 1


def transfer_to_device(size: int) -> None:
    """Take note of an array that is sent to the GPU.

    Args:
        size: Its bytes.
    """
    for statistics in _active:
        statistics.transfers_to_device += 1
        statistics.bytes_to_device += size
