"""Kernels for the tests of the stand-in for CuPy."""

import cupy
import numpy

SCALE = cupy.ElementwiseKernel("T x, T factor", "T y", "y = factor * exp(x)", "scale")
SQUARES = cupy.ReductionKernel("T x", "T y", "x * x", "a + b", "y = a", "0", "squares")
FLIP = """
extern "C" __global__ void flip(const float* __restrict__ x, float* y, int n) {
    __shared__ float fixed[64];
    extern __shared__ double dynamic[];
    const int i = blockIdx.x * blockDim.x + threadIdx.x;
    const int other = blockDim.x - 1 - threadIdx.x;
    fixed[threadIdx.x] = i < n ? x[i] : 0;
    dynamic[threadIdx.x] = i;
    BARRIER
    if (i < n) y[i] = fixed[other] + (float)dynamic[other];
}
"""


def flip(size: int, barrier: str = "__syncthreads();", written: int | None = None) -> numpy.ndarray:
    """Flip the halves of an array, and add the numbers of the elements."""
    x = cupy.arange(2 * size, dtype=numpy.float32)
    y = cupy.empty(2 * size if written is None else written, numpy.float32)
    kernel = cupy.RawKernel(FLIP.replace("BARRIER", barrier), "flip")
    kernel((2,), (size,), (x, y, 2 * size), shared_mem=8 * size)
    return y.get()


def flipped(size: int) -> numpy.ndarray:
    return 2 * numpy.arange(2 * size, dtype=numpy.float32).reshape(2, size)[:, ::-1].ravel()
