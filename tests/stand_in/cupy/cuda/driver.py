"""What the CUDA driver raises."""

from cupy._errors import CUDADriverError

__all__ = ["CUDADriverError"]
