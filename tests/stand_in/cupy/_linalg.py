"""Products of matrices, with the copies that CuPy makes for cuBLAS."""

import math
from typing import Any

import numpy

from cupy import _array, _functions, _ufunc


def _is_dense(array: Any) -> bool:
    return array.flags.c_contiguous or array.flags.f_contiguous


def _multiply_matrices(a: Any, b: Any, shape: tuple[int, ...], out: Any = None) -> Any:
    """Multiply two matrices with one GEMM, which takes them in C or in Fortran's order.

    Args:
        a: Left matrix.
        b: Right matrix.
        shape: Shape to give the product.
        out: Where to store it.
    """
    dtype = numpy.promote_types(a.dtype, b.dtype)
    if a.shape[0] == b.shape[1] == 1 and a.size:  # to CuPy a sum of products
        total = (a.ravel() * b.ravel()).sum().reshape(shape)
        return total if out is None else _ufunc.store("copy", (total,), total._values, out)
    a, b = (matrix.astype(dtype, copy=False) for matrix in (a, b))
    a, b = (matrix if _is_dense(matrix) else matrix.copy() for matrix in (a, b))
    with numpy.errstate(all="ignore"):
        values = numpy.matmul(_array.operand(a), _array.operand(b))
    return _ufunc.store("dot", (a, b), values.reshape(shape), out)


def dot(a: Any, b: Any, out: Any = None) -> Any:
    _array.operand(a), _array.operand(b)
    if (
        not isinstance(a, _array.ndarray)
        or not isinstance(b, _array.ndarray)
        or not a.ndim * b.ndim
    ):
        return _ufunc.FUNCTIONS["multiply"](a, b, out=out)
    if out is not None and numpy.promote_types(a.dtype, b.dtype) != out.dtype:
        raise ValueError("Not supported dtype combination.")
    if out is not None and not out.flags.c_contiguous:
        raise ValueError("Output array must be C-contiguous")
    axis = 0 if b.ndim == 1 else b.ndim - 2
    return _contract(a, b, [a.ndim - 1], [axis], out)


def tensordot(a: Any, b: Any, axes: Any = 2) -> Any:
    _array.operand(a), _array.operand(b)
    if isinstance(axes, int):
        axes = list(range(a.ndim - axes, a.ndim)), list(range(axes))
    a_axes, b_axes = ([part] if isinstance(part, int) else list(part) for part in axes)
    return _contract(a, b, [axis % a.ndim for axis in a_axes], [axis % b.ndim for axis in b_axes])


def _contract(a: Any, b: Any, a_axes: list[int], b_axes: list[int], out: Any = None) -> Any:
    """Sum over pairs of axes: make matrices of the arrays, copying where need be, and multiply."""
    if [a.shape[axis] for axis in a_axes] != [b.shape[axis] for axis in b_axes]:
        raise ValueError("Axis dimension mismatch")
    a_rest = [axis for axis in range(a.ndim) if axis not in a_axes]
    b_rest = [axis for axis in range(b.ndim) if axis not in b_axes]
    length = math.prod(a.shape[axis] for axis in a_axes)
    rows = tuple(a.shape[axis] for axis in a_rest)
    columns = tuple(b.shape[axis] for axis in b_rest)
    left = a.transpose(a_rest + a_axes).reshape(math.prod(rows), length)
    right = b.transpose(b_axes + b_rest).reshape(length, math.prod(columns))
    return _multiply_matrices(left, right, rows + columns, out)


def _copy_unless_contiguous(array: Any) -> Any:
    if array.flags.c_contiguous:
        return array
    return _functions.copy_values("copy", array, numpy.ascontiguousarray(array._values))


def matmul(x1: Any, x2: Any, /, *, out: Any = None) -> Any:
    values = [_array.operand(x1), _array.operand(x2)]
    if not isinstance(x1, _array.ndarray) or not isinstance(x2, _array.ndarray):
        raise TypeError(f"Unsupported type {type(x1)} or {type(x2)}")
    if not x1.ndim or not x2.ndim:
        raise ValueError("matmul: Input operand does not have enough dimensions")
    if x1.ndim <= 2 and x2.ndim <= 2:
        return dot(x1, x2, out)
    operands = [_copy_unless_contiguous(x) for x in (x1, x2)]
    with numpy.errstate(all="ignore"):
        product = numpy.matmul(*values)
    return _ufunc.store("matmul", operands, product, out)


def einsum(*operands: Any) -> Any:
    subscripts, *arrays = operands
    values = numpy.einsum(subscripts, *map(_array.operand, arrays))
    return _ufunc.store("einsum", arrays, numpy.asarray(values))
