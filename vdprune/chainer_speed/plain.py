"""Which arrays the kernels can have."""

from typing import Any

import numpy
from chainer.backends import intel64


def is_plain(array: Any) -> bool:
    """Tell whether an array is one of the kernels', and not of Intel's iDeep.

    Args:
        array: The array.

    Returns:
        Whether it is a NumPy array of float32 or float64 and iDeep is not asked for.
    """
    return (
        isinstance(array, numpy.ndarray)
        and array.dtype.char in "fd"
        and array.dtype.isnative
        and not (intel64.is_ideep_available() and intel64.should_use_ideep(">=auto"))
    )
