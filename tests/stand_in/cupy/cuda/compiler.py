"""What the compiler of kernels raises."""

from cupy._errors import CompileException

__all__ = ["CompileException"]
