"""A stand-in for CuPy 14 that runs on the CPU, for tests of the GPU path where there is no GPU.

Its arrays keep apart from NumPy's as CuPy's do, kernels are run from their CUDA text, compiled with
g++, and what CuPy lacks is lacking here. New memory is poison, threads run in no order that could be
relied on. What the machine is like is set by the environment, see `cupy._settings`; what the GPU is
made to do is counted by `cupy._statistics`.

Not there: half precision in kernels, functions of warps (``__shfl_sync`` and the like), textures,
streams that run at the same time, cuDNN, and the rounding of a real GPU's own functions.
"""

# ruff: noqa: F401  all of it is offered

from typing import Any

from numpy import (
    bool_,
    dtype,
    finfo,
    float16,
    float32,
    float64,
    floating,
    iinfo,
    inf,
    int8,
    int16,
    int32,
    int64,
    integer,
    issubdtype,
    nan,
    newaxis,
    number,
    pi,
    promote_types,
    result_type,
    uint8,
    uint16,
    uint32,
    uint64,
)

from cupy import _ufunc, cuda, random
from cupy._array import ndarray
from cupy._creation import (
    arange,
    array,
    asarray,
    ascontiguousarray,
    asnumpy,
    copy,
    copyto,
    empty,
    empty_like,
    eye,
    full,
    full_like,
    get_array_module,
    identity,
    linspace,
    ones,
    ones_like,
    zeros,
    zeros_like,
)
from cupy._elementwise import ElementwiseKernel
from cupy._functions import (
    all,
    amax,
    amin,
    any,
    argmax,
    argmin,
    broadcast_arrays,
    broadcast_to,
    clip,
    concatenate,
    count_nonzero,
    cumsum,
    expand_dims,
    flatnonzero,
    isscalar,
    max,
    mean,
    min,
    moveaxis,
    ndim,
    nonzero,
    prod,
    ravel,
    repeat,
    reshape,
    rollaxis,
    size,
    split,
    squeeze,
    stack,
    std,
    sum,
    swapaxes,
    take,
    transpose,
    var,
    vstack,
    where,
)
from cupy._linalg import dot, einsum, matmul, tensordot
from cupy._memoize import clear_memo, fuse, memoize
from cupy._memory import get_default_memory_pool, get_default_pinned_memory_pool
from cupy._raw import RawKernel
from cupy._reduction import ReductionKernel
from cupy._ufunc import ufunc

__version__ = "14.2.0"

globals().update(_ufunc.FUNCTIONS)
globals().update({alias: _ufunc.FUNCTIONS[name] for alias, name in _ufunc.ALIASES.items()})


def is_available() -> bool:
    """Whether there is a GPU."""
    return cuda.is_available()


def __getattr__(name: str) -> Any:
    raise AttributeError(f"module 'cupy' has no attribute {name!r} (in its stand-in for tests)")


__all__ = [name for name in globals() if not name.startswith("_") and name != "Any"]
