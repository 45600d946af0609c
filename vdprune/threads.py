"""How many threads matrix products may use; the compiled kernels use one."""

import os
from contextlib import AbstractContextManager

from vdprune.errors import ArgumentError

# More of them wait for each other at the sizes of the small networks; where another program takes
# a processor, each thread waits for the slowest.
_DEFAULT = 2


def limited_threads(count: int | None = None) -> AbstractContextManager:
    """Limit the threads of the BLAS library that NumPy uses.

    Args:
        count: How many; None for 2, or 1 where there is one processor.

    Returns:
        Context in which the limit holds.

    Raises:
        ArgumentError: There are not that many processors.
    """
    from threadpoolctl import threadpool_limits

    available = _available_processors()
    if count is None:
        count = min(_DEFAULT, available)
    if not 1 <= count <= available:
        raise ArgumentError(
            f"threads is {count}: this machine lets us have 1 to {available}; more would wait for "
            "each other"
        )
    return threadpool_limits(count, "blas")


def _available_processors() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
