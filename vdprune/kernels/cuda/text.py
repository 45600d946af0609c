"""Parts of kernels' text that several have, and how kernels of plain CUDA are made for a dtype."""

import functools
from typing import Any

import numpy
from chainer.backends import cuda

THREADS = 256  # of a block, where a kernel says nothing else

_TYPES = {"f": "float", "d": "double"}

# Adds up what each thread of a block has, in an order that is the same each time.
_ADD_UP = """
__device__ double add_up(double value, double* sums) {
    sums[threadIdx.x] = value;
    __syncthreads();
    for (int half = blockDim.x / 2; half > 0; half /= 2) {
        if (threadIdx.x < half) sums[threadIdx.x] += sums[threadIdx.x + half];
        __syncthreads();
    }
    double total = sums[0];
    __syncthreads();
    return total;
}
"""


@functools.cache
def _with_dtype(code: str, letter: str) -> str:
    return f"typedef {_TYPES[letter]} T;\n{_ADD_UP}{code}"


def raw_kernel(code: str, name: str, dtype: Any) -> Any:
    """Make a kernel of CUDA's own language; T in its text is a dtype.

    Args:
        code: The text; it may call ``add_up``, for blocks of a power of two threads.
        name: Name of its function.
        dtype: float32 or float64.

    Returns:
        The kernel; the same one for the same arguments.
    """
    return cuda.raw(_with_dtype(code, numpy.dtype(dtype).char), name)
