"""How kernels are compiled."""

from collections.abc import Callable
from typing import Any

from vdprune.garbage import paused_collector

with paused_collector():
    from numba import njit

# What vectorisation needs of "fast" mathematics; numbers that are not finite keep their meaning.
_FAST = {"contract", "reassoc", "nsz", "arcp"}


def compiled(function: Callable[..., Any]) -> Any:
    """Compile a function on its first call and keep the result on disk, where there is a place to.

    Args:
        function: Loops over arrays.

    Returns:
        The compiled function.
    """
    options = {"fastmath": _FAST, "error_model": "numpy", "nogil": True}
    try:
        return njit(cache=True, **options)(function)
    except RuntimeError:  # neither the package's folder nor the user's can be written to
        return njit(**options)(function)


def inlined(function: Callable[..., Any]) -> Any:
    """Let a function that one kernel calls, at one place, be compiled as a part of it.

    Args:
        function: The function.

    Returns:
        It, for that kernel. Compiled by itself it would be compiled twice.
    """
    return njit(inline="always")(function)
