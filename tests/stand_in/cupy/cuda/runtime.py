"""The CUDA runtime."""

from typing import Any

from cupy import _device, _settings, _statistics
from cupy._errors import CUDARuntimeError

__all__ = [
    "CUDARuntimeError",
    "deviceSynchronize",
    "driverGetVersion",
    "getDevice",
    "getDeviceCount",
    "getDeviceProperties",
    "is_hip",
    "memGetInfo",
    "runtimeGetVersion",
    "setDevice",
]

is_hip = False


def getDeviceCount() -> int:
    return _device.count_devices()


def getDevice() -> int:
    return _device.current_device()


def setDevice(device: int) -> None:
    _device.use_device(device)


def getDeviceProperties(device: int) -> dict[str, Any]:
    _device.count_devices()
    return {"name": b"stand-in", "warpSize": 32, "major": 8, "minor": 0, "multiProcessorCount": 8}


def deviceSynchronize() -> None:
    _statistics.synchronise()


def memGetInfo() -> tuple[int, int]:
    return _device.Device().mem_info


def runtimeGetVersion() -> int:
    return 12090


def driverGetVersion() -> int:
    return 12090 if _settings.has_driver() else 0
