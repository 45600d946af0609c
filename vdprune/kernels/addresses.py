"""Where arrays are."""

import ctypes
from typing import Any


def get_address(array: Any) -> int:
    """Return the address of an array's first number, as `vdprune.kernels.pointers` takes it.

    Args:
        array: A NumPy array, contiguous; the address is good for as long as that lives.

    Returns:
        The address.
    """
    try:  # a third of the time that ``array.ctypes.data`` takes
        return ctypes.addressof(ctypes.c_char.from_buffer(array))
    except (TypeError, ValueError):  # of arrays that can't be written to, or are empty
        return int(array.ctypes.data)
