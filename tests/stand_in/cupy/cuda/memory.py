"""Memory, and the lack of it."""

from cupy._errors import OutOfMemoryError
from cupy._memory import MemoryPointer, MemoryPool

__all__ = ["MemoryPointer", "MemoryPool", "OutOfMemoryError"]
