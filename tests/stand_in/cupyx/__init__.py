"""A stand-in for what CuPy has beyond NumPy, as far as Chainer needs it."""

from typing import Any

import numpy
from cupy import _array, _statistics, _ufunc

__all__ = ["rsqrt", "scatter_add"]


class _ReciprocalSquareRoot(_ufunc.ufunc):
    def __init__(self) -> None:
        super().__init__("sqrt")
        self.__name__ = "rsqrt"
        self._function = lambda x, **options: 1 / numpy.sqrt(x, **options)


rsqrt = _ReciprocalSquareRoot()


def scatter_add(a: Any, slices: Any, value: Any) -> None:
    """Add to elements, some of them several times."""
    parts = slices if isinstance(slices, tuple) else (slices,)
    index = tuple(p._values if isinstance(p, _array.ndarray) else p for p in parts)
    _statistics.launch("scatter_add", getattr(value, "nbytes", 0), a.nbytes)
    numpy.add.at(_array.output(a), index, _array.operand(value))
