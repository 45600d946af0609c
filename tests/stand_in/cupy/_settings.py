"""What the environment says about the machine to stand in for.

==========================  =====================================================================
``STAND_IN_DEVICES``        how many GPUs there are; 2 if not given
``STAND_IN_DRIVER``         ``none``: there is no CUDA driver
``STAND_IN_MEMORY``         bytes of memory that each GPU has; no limit if not given
``STAND_IN_ORDER``          ``forward``, ``reverse`` or ``shuffle``: order in which threads run
``STAND_IN_VANISH_AFTER``   kernels that can be launched before each one fails, counted from when
                            the variable was given this value
==========================  =====================================================================

All are read each time that they matter, so tests can change them.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager

ORDERS = ("forward", "reverse", "shuffle")

_order: str | None = None


def get_device_count() -> int:
    """Number of GPUs."""
    return int(os.environ.get("STAND_IN_DEVICES", "2"))


def has_driver() -> bool:
    """Whether there is a CUDA driver."""
    return os.environ.get("STAND_IN_DRIVER") != "none"


def get_memory_limit() -> int | None:
    """Bytes that a GPU has; None if it never runs out."""
    limit = os.environ.get("STAND_IN_MEMORY")
    return None if limit is None else int(limit)


def get_launch_limit() -> int | None:
    """Launches after which the GPU vanishes; None if it does not."""
    limit = os.environ.get("STAND_IN_VANISH_AFTER")
    return None if limit is None else int(limit)


def get_order() -> int:
    """Order in which threads run, as the device code numbers it."""
    return ORDERS.index(_order or os.environ.get("STAND_IN_ORDER", "shuffle"))


@contextmanager
def thread_order(order: str) -> Iterator[None]:
    """Run the threads of all kernels in an order, whatever the environment says.

    Args:
        order: ``forward``, ``reverse`` or ``shuffle``.
    """
    global _order
    ORDERS.index(order)
    before, _order = _order, order
    try:
        yield
    finally:
        _order = before
