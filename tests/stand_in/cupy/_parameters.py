"""Parameters and arguments of kernels that CuPy writes the loop of."""

import ctypes
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy

from cupy import _array, _statistics

_C_TYPES = {
    "?": "bool",
    "b": "signed char",
    "h": "short",
    "i": "int",
    "l": "long long",
    "q": "long long",
    "B": "unsigned char",
    "H": "unsigned short",
    "I": "unsigned int",
    "L": "unsigned long long",
    "Q": "unsigned long long",
    "f": "float",
    "d": "double",
}


def c_type(dtype: numpy.dtype) -> str:
    """Name a type in C.

    Args:
        dtype: NumPy's type.
    """
    if dtype.char not in _C_TYPES:
        raise NotImplementedError(f"kernels of {dtype} do not run on the stand-in for CuPy")
    return _C_TYPES[dtype.char]


@dataclass(frozen=True)
class Parameter:
    """One parameter of a kernel."""

    name: str
    type_name: str  # as written: ``T`` or ``float32``
    dtype: numpy.dtype | None  # None for a type of one letter, which an argument decides
    is_raw: bool
    is_constant: bool

    @property
    def ctype(self) -> str:
        """Its type in C, or the letter."""
        return self.type_name if self.dtype is None else c_type(self.dtype)


def parse_parameters(text: str, is_constant: bool) -> tuple[Parameter, ...]:
    """Read a list of parameters.

    Args:
        text: The list as in ``raw T x, int32 n``.
        is_constant: Whether they are inputs.
    """
    parameters = []
    for part in filter(None, (part.strip() for part in text.split(","))):
        *keywords, type_name, name = part.split()
        if set(keywords) - {"raw", "_non_const"}:
            raise Exception(f'Unknown keyword "{keywords[0]}"')
        dtype = None if len(type_name) == 1 else numpy.dtype(type_name)
        constant = is_constant and "_non_const" not in keywords
        parameters.append(Parameter(name, type_name, dtype, "raw" in keywords, constant))
    return tuple(parameters)


def decide_types(
    parameters: Sequence[Parameter], arguments: Sequence[Any]
) -> tuple[list[numpy.dtype], dict[str, numpy.dtype]]:
    """Find out what types a kernel is called with.

    Args:
        parameters: Its parameters.
        arguments: As many arguments; None for an output to be made.

    Returns:
        Type of each parameter, and of each letter.

    Raises:
        TypeError: Arrays of two types are given for one.
    """
    letters: dict[str, numpy.dtype] = {}
    for parameter, argument in zip(parameters, arguments, strict=True):
        if not isinstance(argument, _array.ndarray):
            continue
        wanted = parameter.dtype or letters.setdefault(parameter.type_name, argument.dtype)
        if wanted != argument.dtype:
            raise TypeError(
                f"Type is mismatched. {parameter.name} {argument.dtype} {wanted} "
                f"{parameter.type_name}"
            )
    return [parameter.dtype or letters[parameter.type_name] for parameter in parameters], letters


def check_arguments(name: str, arguments: Sequence[Any], counts: tuple[int, int]) -> None:
    """Refuse arguments that no kernel takes.

    Args:
        name: The kernel's name.
        arguments: The arguments.
        counts: How many there may be, without and with outputs.
    """
    if len(arguments) not in counts:
        raise TypeError(
            f"Wrong number of arguments for {name!r}. It must be either {counts[0]} or {counts[1]} "
            f"(with outputs), but given {len(arguments)}."
        )
    for argument in arguments:
        _array.operand(argument)
    for argument in arguments[counts[0] :]:
        _array.output(argument)


def get_loop_arrays(parameters: Sequence[Parameter], arguments: Sequence[Any]) -> list[Any]:
    """Select the arguments that a kernel loops over.

    Args:
        parameters: Its parameters.
        arguments: Its arguments, or the first of them.
    """
    pairs = zip(parameters, arguments, strict=False)
    return [a for p, a in pairs if isinstance(a, _array.ndarray) and not p.is_raw]


# ---------------------------------------------------------------- arguments for the device code


def describe_array(values: numpy.ndarray) -> numpy.ndarray:
    """Describe an array as the constructor of ``CArray`` reads it.

    Args:
        values: The array.
    """
    head = (values.ctypes.data, values.ndim, values.size, values.flags.c_contiguous)
    return numpy.array((*head, *values.shape, *values.strides), numpy.int64)


def describe_shape(shape: tuple[int, ...]) -> numpy.ndarray:
    """Describe a shape as the constructor of ``CIndexer`` reads it.

    Args:
        shape: The shape.
    """
    return numpy.array((0, len(shape), math.prod(shape), 1, *shape), numpy.int64)


def describe_number(value: Any, dtype: numpy.dtype) -> numpy.ndarray:
    """Convert a number to the type of its parameter.

    Args:
        value: The number.
        dtype: The type.
    """
    with numpy.errstate(all="ignore"):
        return numpy.array(value).astype(dtype)


def point_to(passed: Sequence[numpy.ndarray]) -> Any:
    """Make C's array of pointers.

    Args:
        passed: What to point to; must be kept for as long.
    """
    return (ctypes.c_void_p * max(1, len(passed)))(*(array.ctypes.data for array in passed))


class _Fault(ctypes.Structure):
    _fields_ = [(name, ctypes.c_longlong) for name in ("count", "index", "size")]


def run(function: Any, passed: Sequence[numpy.ndarray], count: int, order: int, name: str) -> None:
    """Run a compiled kernel.

    Args:
        function: Its entry.
        passed: The arguments.
        count: Number of threads.
        order: Order of the threads.
        name: Its name.

    Raises:
        IndexError: It reads or writes beyond an array.
    """
    fault = _Fault()
    function(
        point_to(passed), ctypes.c_longlong(count), ctypes.c_longlong(order), ctypes.byref(fault)
    )
    if fault.count:
        raise IndexError(
            f"kernel {name} read or wrote out of bounds {fault.count} times, first at index "
            f"{fault.index} of {fault.size}"
        )


def check_guards(name: str, arguments: Iterable[tuple[int, Any]]) -> None:
    """Make sure that a kernel has left alone what is around its arrays.

    Args:
        name: The kernel's name.
        arguments: Its arguments that it may find its own way in, with their numbers.

    Raises:
        IndexError: It has not.
    """
    for number, argument in arguments:
        side = isinstance(argument, _array.ndarray) and argument._allocation.find_damage()
        if side:
            raise IndexError(
                f"kernel {name} wrote out of bounds, {side} the memory of argument {number}"
            )


def count_launch(
    name: str, inputs: Sequence[Any], outputs: Sequence[Any], first_pass: bool = False
) -> None:
    """Take note of a kernel.

    Args:
        name: Its name.
        inputs: The arguments that it reads.
        outputs: The arguments that it writes.
        first_pass: Whether another kernel goes before it, which reads the arguments for it.
    """
    reads = sum(array.nbytes for array in inputs if isinstance(array, _array.ndarray))
    _statistics.launch(name, reads, sum(array.nbytes for array in outputs), 1 + first_pass)


class Source:
    """Fragments of C++ that make one argument each known to a kernel's text.

    Args:
        parameter: The parameter.
        number: Its number.
        dtype: Its type.
        is_array: Whether its argument is an array.
    """

    def __init__(
        self, parameter: Parameter, number: int, dtype: numpy.dtype, is_array: bool
    ) -> None:
        const = "const " if parameter.is_constant else ""
        name, kind = parameter.name, c_type(dtype)
        place = f"stand_in_arguments_passed[{number}]"
        array_name = name if parameter.is_raw else f"_raw_{name}"
        if is_array:
            self.argument = f"CArray<{kind}> {array_name}((const long long*){place});"
            self.argument = const + self.argument
        else:
            self.argument = f"const {kind} {name} = *(const {kind}*){place};"
        self.is_bound = is_array and not parameter.is_raw
        self._reference = f"{const}{kind}& {name} = {array_name}"

    def bind(self, index: str) -> str:
        """Name the element of the array that a thread is for.

        Args:
            index: Name of the indexer.
        """
        return f"{self._reference}[{index}.get()];" if self.is_bound else ""


def declare_types(letters: dict[str, numpy.dtype]) -> str:
    """Declare the types that go by a letter.

    Args:
        letters: The type of each.
    """
    return "".join(
        f"typedef {c_type(dtype)} {letter};\n" for letter, dtype in sorted(letters.items())
    )
