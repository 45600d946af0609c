"""ElementwiseKernel: a text that is run for each element."""

import math
import re
from typing import Any

import numpy

from cupy import _array, _parameters, _settings
from cupy._compile import load_library

_TEMPLATE = """
{types}
{preamble}
#define CUPY_FOR_ONE for (bool stand_in_once = true; stand_in_once; stand_in_once = false)
static inline void stand_in_thread_of(void** stand_in_arguments_passed, CIndexer& _ind, ptrdiff_t i) {{
{arguments}
{loop_prep};
CUPY_FOR_ONE {{
_ind.set(i);
{bindings}
#line 1 "{name}"
{operation};
}}
{after_loop};
}}
extern "C" void stand_in_run(void** arguments, long long count, long long order, StandInFault* fault) {{
stand_in_fault = StandInFault();
CIndexer indexer((const long long*)arguments[{number}]);
const StandInOrder threads(count, order);
blockDim = {{{block_size}, 1, 1}};
gridDim = {{(unsigned)((count + {block_size} - 1) / {block_size}), 1, 1}};
long long i = threads.first;
for (long long k = 0; k < count; k++, i = threads.after(i)) {{
threadIdx.x = (unsigned)(i % {block_size});
blockIdx.x = (unsigned)(i / {block_size});
stand_in_thread_of(arguments, indexer, i);
}}
*fault = stand_in_fault;
}}
"""


class ElementwiseKernel:
    """A kernel of which CuPy writes the loop; each element has a thread of its own here.

    Args:
        in_params: Inputs.
        out_params: Outputs.
        operation: What is done for an element.
        name: Name of the kernel.
        reduce_dims: Whether arrays may be seen as having fewer axes.
        preamble: Text before the kernel.
        no_return: Whether a call returns nothing.
        return_tuple: Whether a call returns a tuple even of one output.
        **kwargs: ``loop_prep`` and ``after_loop``, text before and after the loop; ``options``, which
            are for NVRTC.
    """

    def __init__(
        self,
        in_params: str,
        out_params: str,
        operation: str,
        name: str = "kernel",
        reduce_dims: bool = True,
        preamble: str = "",
        no_return: bool = False,
        return_tuple: bool = False,
        **kwargs: Any,
    ) -> None:
        if not re.fullmatch(r"[A-Za-z_]\w*", name):
            raise ValueError(f'Invalid kernel name: "{name}"')
        if set(kwargs) - {"loop_prep", "after_loop", "options"}:
            raise TypeError(f"Wrong arguments {kwargs}")
        self.in_params = _parameters.parse_parameters(in_params, True)
        self.out_params = _parameters.parse_parameters(out_params, False)
        self.params = self.in_params + self.out_params
        if "i" in (parameter.name for parameter in self.params):
            raise ValueError("Can not use 'i' as a parameter name")
        self.nin, self.nout, self.nargs = (
            len(self.in_params),
            len(self.out_params),
            len(self.params),
        )
        self.operation, self.name, self.preamble = operation, name, preamble
        self.reduce_dims, self.no_return, self.return_tuple = reduce_dims, no_return, return_tuple
        self.kwargs = kwargs
        self._functions: dict[Any, Any] = {}

    def __call__(
        self, *args: Any, size: int = -1, stream: Any = None, block_size: int = 128
    ) -> Any:
        _parameters.check_arguments(self.name, args, (self.nin, self.nargs))
        shape = self._decide_shape(args, size)
        given = [*args, *[None] * (self.nargs - len(args))]
        types, letters = _parameters.decide_types(self.params, given)
        arguments = [*args[: self.nin], *self._prepare_outputs(args, shape, types, size)]
        inputs, outputs = arguments[: self.nin], arguments[self.nin :]
        count = math.prod(shape)
        if count:
            _parameters.count_launch(self.name, inputs, outputs)
            passed = self._pass(arguments, types, shape)
            function = self._get_function(arguments, types, letters, block_size)
            _parameters.run(function, passed, count, _settings.get_order(), self.name)
            raw = ((n, a) for n, a in enumerate(arguments) if self.params[n].is_raw)
            _parameters.check_guards(self.name, raw)
        if self.no_return:
            return None
        return outputs[0] if self.nout == 1 and not self.return_tuple else tuple(outputs)

    def _decide_shape(self, arguments: Any, size: int) -> tuple[int, ...]:
        arrays = _parameters.get_loop_arrays(self.params, arguments)
        if size != -1 and arrays:
            raise ValueError("Specified 'size' can be used only if all of the ndarray are 'raw'.")
        if size == -1 and not arrays:
            raise ValueError("Loop size is undecided.")
        return (size,) if size != -1 else numpy.broadcast_shapes(*(a.shape for a in arrays))

    def _prepare_outputs(
        self, args: Any, shape: tuple[int, ...], types: list[numpy.dtype], size: int
    ) -> list[Any]:
        given = args[self.nin :]
        if not given:
            if size == -1 and any(parameter.is_raw for parameter in self.out_params):
                raise ValueError("Output array size is Undecided")
            return [_array.ndarray(shape, dtype) for dtype in types[self.nin :]]
        if any(
            array.shape != shape for array in _parameters.get_loop_arrays(self.out_params, given)
        ):
            raise ValueError("Out shape is mismatched")
        return list(given)

    def _pass(
        self, arguments: list[Any], types: list[numpy.dtype], shape: tuple[int, ...]
    ) -> list[numpy.ndarray]:
        looped = _parameters.get_loop_arrays(self.params, arguments)
        if self.reduce_dims and all(a.shape == shape and a.flags.c_contiguous for a in looped):
            shape = (math.prod(shape),)
        passed = []
        for parameter, argument, dtype in zip(self.params, arguments, types, strict=True):
            if not isinstance(argument, _array.ndarray):
                passed.append(_parameters.describe_number(argument, dtype))
                continue
            values = argument._values
            if not parameter.is_raw:
                is_flat = len(shape) == 1 and values.shape != shape and values.size == shape[0]
                values = values.reshape(-1) if is_flat else numpy.broadcast_to(values, shape)
            passed.append(_parameters.describe_array(values))
        return [*passed, _parameters.describe_shape(shape)]

    def _get_function(
        self,
        arguments: list[Any],
        types: list[numpy.dtype],
        letters: dict[str, numpy.dtype],
        block_size: int,
    ) -> Any:
        are_arrays = tuple(isinstance(argument, _array.ndarray) for argument in arguments)
        key = (are_arrays, tuple(types), block_size)
        if key not in self._functions:
            sources = [
                _parameters.Source(parameter, number, dtype, is_array)
                for number, (parameter, dtype, is_array) in enumerate(
                    zip(self.params, types, are_arrays, strict=True)
                )
            ]
            text = _TEMPLATE.format(
                types=_parameters.declare_types(letters),
                preamble=self.preamble,
                arguments="\n".join(source.argument for source in sources),
                loop_prep=self.kwargs.get("loop_prep", ""),
                bindings="\n".join(source.bind("_ind") for source in sources),
                name=self.name,
                operation=self.operation,
                after_loop=self.kwargs.get("after_loop", ""),
                number=self.nargs,
                block_size=block_size,
            )
            self._functions[key] = load_library(text, self.name).stand_in_run
        return self._functions[key]
