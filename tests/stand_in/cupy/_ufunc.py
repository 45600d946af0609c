"""Functions of each element, and the operators made of them: NumPy's, on the GPU's arrays."""

import inspect
from typing import Any

import numpy

from cupy import _array, _statistics

NAMES = (
    "absolute",
    "add",
    "arctan",
    "arctan2",
    "bitwise_and",
    "bitwise_or",
    "bitwise_xor",
    "cbrt",
    "ceil",
    "cos",
    "cosh",
    "divide",
    "equal",
    "exp",
    "exp2",
    "expm1",
    "floor",
    "floor_divide",
    "fmax",
    "fmin",
    "greater",
    "greater_equal",
    "invert",
    "isfinite",
    "isinf",
    "isnan",
    "left_shift",
    "less",
    "less_equal",
    "log",
    "log10",
    "log1p",
    "log2",
    "logical_and",
    "logical_not",
    "logical_or",
    "logical_xor",
    "maximum",
    "minimum",
    "multiply",
    "negative",
    "not_equal",
    "positive",
    "power",
    "reciprocal",
    "remainder",
    "right_shift",
    "rint",
    "sign",
    "sin",
    "sinh",
    "sqrt",
    "square",
    "subtract",
    "tan",
    "tanh",
    "true_divide",
    "trunc",
)
ALIASES = {"abs": "absolute", "mod": "remainder", "bitwise_not": "invert"}


class ufunc:  # noqa: N801
    """One function of each element.

    Args:
        name: NumPy's name for it.
    """

    def __init__(self, name: str) -> None:
        self.__name__ = name
        self._function = getattr(numpy, name)
        self.nin, self.nout = self._function.nin, self._function.nout
        inputs = ("x",) if self.nin == 1 else ("x1", "x2")
        self.__signature__ = inspect.Signature(
            [
                *(inspect.Parameter(name, inspect.Parameter.POSITIONAL_ONLY) for name in inputs),
                inspect.Parameter("out", inspect.Parameter.POSITIONAL_OR_KEYWORD, default=None),
                inspect.Parameter("casting", inspect.Parameter.KEYWORD_ONLY, default="same_kind"),
                inspect.Parameter("dtype", inspect.Parameter.KEYWORD_ONLY, default=None),
            ]
        )

    def __repr__(self) -> str:
        return f"<ufunc 'cupy_{self.__name__}'>"

    def __call__(
        self, *args: Any, out: Any = None, dtype: Any = None, casting: str = "same_kind"
    ) -> Any:
        if len(args) == self.nin + 1 and out is None:
            *args, out = args
        if len(args) != self.nin:
            raise TypeError(f"Wrong number of arguments for {self!r}")
        if isinstance(out, tuple):
            (out,) = out
        values = [_array.operand(argument) for argument in args]
        with numpy.errstate(all="ignore"):
            result = numpy.asarray(self._function(*values, dtype=dtype, casting=casting))
        _array.check_dtype(result.dtype)
        return store(self.__name__, args, result, out, casting)


def store(name: str, inputs: Any, result: Any, out: Any = None, casting: str = "same_kind") -> Any:
    """Put the result of one kernel on the GPU.

    Args:
        name: Name of the kernel.
        inputs: What it was given; only the GPU's arrays count.
        result: What it computes, a NumPy array.
        out: Array on the GPU to store the result in; None for a new one.
        casting: How the result may be cast to the type of `out`.

    Returns:
        The array.
    """
    reads = sum(array.nbytes for array in inputs if isinstance(array, _array.ndarray))
    if out is None:
        _statistics.launch(name, reads, result.nbytes)
        return _array.to_device(result)
    place = _array.output(out)
    if place.shape != result.shape:
        raise ValueError("Out shape is mismatched")
    if not numpy.can_cast(result.dtype, place.dtype, casting):
        raise TypeError(
            f"output operand requires a reduction, but cannot cast from {result.dtype!r} to "
            f"{place.dtype!r} with casting rule {casting!r}"
        )
    _statistics.launch(name, reads, place.nbytes)
    with numpy.errstate(all="ignore"):
        place[...] = result
    return out


FUNCTIONS = {name: ufunc(name) for name in NAMES}
