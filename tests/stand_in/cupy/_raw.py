"""RawKernel: a text that is a whole kernel, with grids, blocks and shared memory."""

import ctypes
import math
import re
from collections.abc import Sequence
from typing import Any

import numpy

from cupy import _array, _settings, _statistics
from cupy._compile import load_library
from cupy._errors import CUDADriverError
from cupy._parameters import check_guards, describe_number, point_to

_MOST_THREADS = 1024
_MOST_SHARED_BYTES = 48 * 1024
_FAULTS = {
    1: "wrote beyond its dynamic shared memory",
    2: "has threads that end while others of the block wait at __syncthreads",
}

_TEMPLATE = """
#line 1 "{name}"
{code}
static void stand_in_thread_of(void** arguments) {{ stand_in_call({name}, arguments); }}
extern "C" void stand_in_parameters(char* text) {{ stand_in_describe({name}, text); }}
extern "C" long long stand_in_static_shared() {{ return stand_in_shared_bytes(); }}
extern "C" int stand_in_run(void** arguments, const StandInLaunch* launch) {{
return stand_in_launch(stand_in_thread_of, arguments, *launch, {has_barriers});
}}
"""


class _Launch(ctypes.Structure):
    _fields_ = [
        ("grid", ctypes.c_longlong * 3),
        ("block", ctypes.c_longlong * 3),
        ("shared_bytes", ctypes.c_longlong),
        ("order", ctypes.c_longlong),
    ]


class RawKernel:
    """A kernel.

    Args:
        code: Its text.
        name: Its name, which the text must declare ``extern "C"``.
        options: For NVRTC; of these the definitions of macros matter here.
        backend: Taken for the sake of CuPy's signature.
    """

    def __init__(
        self, code: str, name: str, options: tuple[str, ...] = (), backend: str = "nvrtc"
    ) -> None:
        self.code, self.name, self.options, self.backend = code, name, options, backend
        self._library: Any = None
        # for each '*' (a pointer), 'c' (one to constants) or '.', and a letter of NumPy's types
        self._parameters = ""

    def compile(self, log_stream: Any = None) -> None:
        if self._library is not None:
            return
        code = re.sub(
            r"extern\s+__shared__\s+([\w\s]+?)\s*\b(\w+)\s*\[\s*\]\s*;",
            r"\1* const \2 = (\1*)stand_in_dynamic_shared;",
            self.code,
        )
        has_barriers = "true" if "__syncthreads" in code else "false"
        text = _TEMPLATE.format(name=self.name, code=code, has_barriers=has_barriers)
        definitions = [option for option in self.options if option.startswith("-D")]
        library = load_library(text, self.name, definitions)
        if not hasattr(library, self.name):  # its name is another one unless declared extern "C"
            raise CUDADriverError("CUDA_ERROR_NOT_FOUND: named symbol not found")
        described = ctypes.create_string_buffer(512)
        library.stand_in_parameters(described)
        self._parameters = described.value.decode()
        self._library = library

    def __call__(
        self, grid: Any, block: Any, args: Sequence[Any], *, shared_mem: int = 0, stream: Any = None
    ) -> None:
        self.compile()
        passed = self._pass(args)
        launch = self._describe_launch(grid, block, shared_mem)
        reads, writes = (
            sum(
                a.nbytes for a, kind in zip(args, self._parameters[::2], strict=True) if kind == one
            )
            for one in "c*"
        )
        _statistics.launch(self.name, reads, writes)
        fault = self._library.stand_in_run(point_to(passed), ctypes.byref(launch))
        if fault:
            raise IndexError(f"kernel {self.name} {_FAULTS[fault]}")
        check_guards(self.name, enumerate(args))

    def _describe_launch(self, grid: Any, block: Any, shared_bytes: int) -> _Launch:
        sizes = [(*map(int, size), 1, 1)[:3] for size in (grid, block)]
        shared = shared_bytes + self._library.stand_in_static_shared()
        if (
            min(*sizes[0], *sizes[1]) < 1
            or math.prod(sizes[1]) > _MOST_THREADS
            or shared > _MOST_SHARED_BYTES
            or max(sizes[0][1:]) > 65535
            or sizes[1][2] > 64
        ):
            raise CUDADriverError("CUDA_ERROR_INVALID_VALUE: invalid argument")
        vectors = ((ctypes.c_longlong * 3)(*size) for size in sizes)
        return _Launch(*vectors, shared_bytes, _settings.get_order())

    def _pass(self, arguments: Sequence[Any]) -> list[numpy.ndarray]:
        if len(arguments) * 2 != len(self._parameters):
            raise TypeError(
                f"kernel {self.name} has {len(self._parameters) // 2} parameters, "
                f"but got {len(arguments)} arguments"
            )
        kinds = zip(self._parameters[::2], self._parameters[1::2], strict=True)
        return [
            self._pass_one(number, argument, is_pointer != ".", letter)
            for number, (argument, (is_pointer, letter)) in enumerate(
                zip(arguments, kinds, strict=True)
            )
        ]

    def _pass_one(self, number: int, argument: Any, is_pointer: bool, letter: str) -> numpy.ndarray:
        """Pass one argument. The GPU would misread those of another type, so they are refused."""
        values = _array.operand(argument)
        is_array = isinstance(argument, _array.ndarray)
        wanted = numpy.dtype("V" if letter == " " else letter)
        if is_array:
            given, fits = values.dtype, values.dtype == wanted
        else:
            given, fits = numpy.asarray(values).dtype, _fits(values, wanted)
        if is_array != is_pointer or not (fits or letter == " "):
            form, wanted_form = (
                "an array" if one else "a number" for one in (is_array, is_pointer)
            )
            raise TypeError(
                f"argument {number} of kernel {self.name} is {form} of {given}, "
                f"but the kernel reads {wanted_form} of {wanted}"
            )
        if is_array:
            return numpy.array(values.ctypes.data)
        return describe_number(values, wanted)


def _fits(value: Any, wanted: numpy.dtype) -> bool:
    """Whether the GPU would read a number as it is; of an integer it reads the low bytes."""
    if isinstance(value, numpy.generic):
        return value.dtype == wanted
    if isinstance(value, bool):
        return wanted.kind == "b"
    if isinstance(value, int):
        return wanted.kind in "iu"
    return wanted == numpy.dtype(type(value))
