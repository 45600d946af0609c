"""The one place where fused functions are chosen: for the CPU, for a GPU, or none."""

from typing import Any, Literal

import chainer
import numpy
from chainer.backends import cuda

Fused = Literal["cpu", "cuda"]

MOST_ON_GPU = (
    2**30
)  # numbers in an array: kernels for GPUs count with 32 bits, some in pairs of arrays


def choose_fused(*arrays: Any) -> Fused | None:
    """Find out which kernels arrays can go through.

    Args:
        *arrays: Floating point inputs of one function.

    Returns:
        ``"cpu"`` for NumPy arrays, ``"cuda"`` for CuPy arrays, if all have one dtype, float32 or
        float64, and none has more than `MOST_ON_GPU` numbers on a GPU; None for others, which go
        through Chainer's own functions.
    """
    dtype = arrays[0].dtype
    if dtype.char not in "fd" or not dtype.isnative:
        return None
    on_cpu = isinstance(arrays[0], numpy.ndarray)
    kind = numpy.ndarray if on_cpu else cuda.ndarray
    for array in arrays:
        if array.dtype != dtype or not isinstance(array, kind):
            return None
        if not on_cpu and array.size > MOST_ON_GPU:
            return None
    return "cpu" if on_cpu else "cuda"


def has_cudnn() -> bool:
    """Tell whether convolutions on a GPU are cuDNN's, which CuPy 13 may have and CuPy 14 has not."""
    return bool(chainer.should_use_cudnn(">=auto"))
