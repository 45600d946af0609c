"""Where arrays are."""

from typing import Any


def get_address(array: Any) -> int:
    """Return the address of an array's first number, as `vdprune.kernels.pointers` takes it.

    Args:
        array: A NumPy array; the address is good for as long as that lives.

    Returns:
        The address.
    """
    return int(array.__array_interface__["data"][0])
