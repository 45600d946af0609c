"""The device that a network runs on."""

import chainer
from chainer.backend import Device
from chainer.backends import cuda

from vdprune.errors import DeviceError

_INSTALL = (
    "install the CuPy made for your CUDA version, as in pip install cupy-cuda12x (or cupy-cuda11x, "
    "cupy-cuda13x), or leave --gpu out to run on the CPU"
)


def get_device(gpu: int | None) -> Device:
    """Find a device.

    Args:
        gpu: Number of the GPU; None for the CPU.

    Returns:
        Chainer's device.

    Raises:
        DeviceError: There is no such GPU, or no CuPy to use it with.
    """
    if gpu is None:
        return chainer.get_device("@numpy")
    if not cuda.available:
        reason = str(cuda._resolution_error or "CuPy is not installed").strip().splitlines()[0]
        raise DeviceError(f"GPU {gpu} can't be used ({reason}): {_INSTALL}")
    try:
        count = cuda.cupy.cuda.runtime.getDeviceCount()
    except cuda.cupy.cuda.runtime.CUDARuntimeError as error:
        raise DeviceError(f"GPU {gpu} can't be used: {error}") from error
    if not 0 <= gpu < count:
        raise DeviceError(
            f"there is no GPU {gpu}: this machine has {count}, counted from 0; give one of them "
            "with --gpu, or leave it out to run on the CPU"
        )
    device = chainer.get_device(f"@cupy:{gpu}")
    device.use()
    return device
