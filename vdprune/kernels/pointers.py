"""Arrays that a table of addresses tells of, so that one kernel serves any number of layers."""

from typing import Any

from numba import carray, types
from numba.extending import intrinsic

from vdprune.kernels.compiled import compiled

__all__ = ["array_at"]


@intrinsic
def _pointer(typing_context: Any, address: Any, like: Any) -> Any:
    """Take a number as the place of numbers of an array's dtype."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.inttoptr(arguments[0], context.get_value_type(signature.return_type))

    return types.CPointer(like.dtype)(address, like), generate


@compiled
def array_at(address: int, shape: Any, like: Any) -> Any:
    """Find an array by its address.

    Args:
        address: The address; who gives it keeps the array alive.
        shape: The array's shape, a tuple; it is contiguous.
        like: An array of its dtype.

    Returns:
        The array.
    """
    return carray(_pointer(address, like), shape)
