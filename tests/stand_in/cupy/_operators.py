"""The operators of `ndarray`."""

from typing import Any

import numpy

from cupy import _linalg, _ufunc

_BINARY = {
    "add": "add",
    "sub": "subtract",
    "mul": "multiply",
    "truediv": "true_divide",
    "floordiv": "floor_divide",
    "mod": "remainder",
    "pow": "power",
    "and": "bitwise_and",
    "or": "bitwise_or",
    "xor": "bitwise_xor",
    "lshift": "left_shift",
    "rshift": "right_shift",
}
_COMPARISONS = {
    "lt": "less",
    "le": "less_equal",
    "eq": "equal",
    "ne": "not_equal",
    "gt": "greater",
    "ge": "greater_equal",
}
_UNARY = {"neg": "negative", "pos": "positive", "abs": "absolute", "invert": "invert"}


class Operators:
    """Makes the operators call the functions of each element."""

    __array_priority__ = 100

    def __matmul__(self, other: Any) -> Any:
        return NotImplemented if _wants_the_call(other) else _linalg.matmul(self, other)

    def __rmatmul__(self, other: Any) -> Any:
        return _linalg.matmul(other, self)

    def __array_ufunc__(self, ufunc: Any, method: str, *inputs: Any, **kwargs: Any) -> Any:
        """Let NumPy's functions of each element find CuPy's; those refuse NumPy's arrays."""
        import cupy

        function = getattr(cupy, ufunc.__name__, None)
        if method != "__call__" or function is None:
            return NotImplemented
        if ufunc.__name__ in _COMPARISONS.values():
            # NumPy makes arrays of its scalars when it compares them
            inputs = tuple(v.item() if _is_numpy_scalar(v) else v for v in inputs)
        return function(*inputs, **kwargs)

    def __array_function__(self, function: Any, types: Any, args: Any, kwargs: Any) -> Any:
        """Let NumPy's other functions find CuPy's, where the GPU's arrays are all there is."""
        import cupy

        namesake = getattr(cupy, function.__name__, None)
        if namesake is None or not all(issubclass(kind, Operators) for kind in types):
            return NotImplemented
        return namesake(*args, **kwargs)


def _is_numpy_scalar(value: Any) -> bool:
    return isinstance(value, numpy.ndarray) and value.ndim == 0


def _wants_the_call(other: Any) -> bool:
    """Whether an operator should leave the work to the other operand, as to a Chainer variable."""
    if isinstance(other, Operators | numpy.ndarray | numpy.generic):
        return False
    return getattr(other, "__array_priority__", 0) > Operators.__array_priority__


def _add_operator(name: str, function_name: str) -> None:
    def call(*args: Any, **kwargs: Any) -> Any:  # what it calls may not be there yet
        return _ufunc.FUNCTIONS[function_name](*args, **kwargs)

    def forward(self: Any, other: Any) -> Any:
        return NotImplemented if _wants_the_call(other) else call(self, other)

    def backward(self: Any, other: Any) -> Any:
        return call(other, self)

    def in_place(self: Any, other: Any) -> Any:
        return NotImplemented if _wants_the_call(other) else call(self, other, out=self)

    setattr(Operators, f"__{name}__", forward)
    if function_name not in _COMPARISONS.values():
        setattr(Operators, f"__r{name}__", backward)
        setattr(Operators, f"__i{name}__", in_place)


def _add_unary_operator(name: str, function_name: str) -> None:
    setattr(Operators, f"__{name}__", lambda self: _ufunc.FUNCTIONS[function_name](self))


for _name, _function_name in (_BINARY | _COMPARISONS).items():
    _add_operator(_name, _function_name)
for _name, _function_name in _UNARY.items():
    _add_unary_operator(_name, _function_name)
