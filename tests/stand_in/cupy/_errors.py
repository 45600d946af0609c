"""CuPy's exceptions."""


class CUDARuntimeError(RuntimeError):
    """The CUDA runtime refused; the message begins with the name of its error."""


class CUDADriverError(RuntimeError):
    """The CUDA driver refused."""


class CompileException(Exception):  # noqa: N818
    """A kernel's text does not compile."""


class OutOfMemoryError(MemoryError):
    """The GPU has not enough memory.

    Args:
        size: Bytes asked for.
        total: Bytes in use.
        limit: Bytes that there may be; 0 if only the GPU itself sets a limit.
    """

    def __init__(self, size: int, total: int, limit: int = 0) -> None:
        text = f"Out of memory allocating {size:,} bytes (allocated so far: {total:,} bytes"
        super().__init__(text + (f", limit set to: {limit:,} bytes)." if limit else ")."))
