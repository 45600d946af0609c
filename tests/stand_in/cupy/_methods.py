"""The methods of `ndarray` that are functions by the same name."""

from typing import Any

from cupy import _functions, _linalg


class Methods:
    """Makes the methods call the functions."""

    def take(self, indices: Any, axis: Any = None, out: Any = None) -> Any:
        return _functions.take(self, indices, axis, out)

    def sum(
        self, axis: Any = None, dtype: Any = None, out: Any = None, keepdims: bool = False
    ) -> Any:
        return _functions.sum(self, axis, dtype, out, keepdims)

    def prod(
        self, axis: Any = None, dtype: Any = None, out: Any = None, keepdims: bool = False
    ) -> Any:
        return _functions.prod(self, axis, dtype, out, keepdims)

    def mean(
        self, axis: Any = None, dtype: Any = None, out: Any = None, keepdims: bool = False
    ) -> Any:
        return _functions.mean(self, axis, dtype, out, keepdims)

    def var(
        self,
        axis: Any = None,
        dtype: Any = None,
        out: Any = None,
        ddof: int = 0,
        keepdims: bool = False,
    ) -> Any:
        return _functions.var(self, axis, dtype, out, ddof, keepdims)

    def max(self, axis: Any = None, out: Any = None, keepdims: bool = False) -> Any:
        return _functions.max(self, axis, out, keepdims)

    def min(self, axis: Any = None, out: Any = None, keepdims: bool = False) -> Any:
        return _functions.min(self, axis, out, keepdims)

    def any(self, axis: Any = None, out: Any = None, keepdims: bool = False) -> Any:
        return _functions.any(self, axis, out, keepdims)

    def all(self, axis: Any = None, out: Any = None, keepdims: bool = False) -> Any:
        return _functions.all(self, axis, out, keepdims)

    def argmax(self, axis: Any = None, out: Any = None) -> Any:
        return _functions.argmax(self, axis, out=out)

    def argmin(self, axis: Any = None, out: Any = None) -> Any:
        return _functions.argmin(self, axis, out=out)

    def clip(self, min: Any = None, max: Any = None, out: Any = None) -> Any:
        return _functions.clip(self, min, max, out)

    def nonzero(self) -> Any:
        return _functions.nonzero(self)

    def dot(self, b: Any, out: Any = None) -> Any:
        return _linalg.dot(self, b, out)
