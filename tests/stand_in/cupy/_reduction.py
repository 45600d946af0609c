"""ReductionKernel: texts that map elements and put them together."""

import math
from typing import Any

import numpy

from cupy import _array, _functions, _parameters, _settings
from cupy._compile import load_library

# As on the GPU, several threads begin with the identity each, and their results go together in
# pairs. There are as many as a block has there, fewer where there are few elements.
_TEMPLATE = """
{types}
{preamble}
#define REDUCE(a, b) ({reduce_expr})
#define POST_MAP(a) ({post_map_expr})
typedef {reduce_type} _type_reduce;
static void stand_in_reduce(void** stand_in_arguments_passed, CIndexer& _in_ind, CIndexer& _out_ind,
                            ptrdiff_t stand_in_output, int stand_in_threads) {{
{arguments}
_type_reduce _sdata[512];
for (int _tid = 0; _tid < stand_in_threads; _tid++) {{
_type_reduce _s = _type_reduce({identity});
ptrdiff_t _J = _tid;
ptrdiff_t _j = stand_in_output + _tid * _out_ind.size();
for (; _j < _in_ind.size(); _j += stand_in_threads * _out_ind.size(), _J += stand_in_threads) {{
_in_ind.set(_j);
{input_bindings}
#line 1 "{name}"
_type_reduce _a = static_cast<_type_reduce>({map_expr});
_s = REDUCE(_s, _a);
}}
_sdata[_tid] = _s;
}}
for (int _half = stand_in_threads / 2; _half; _half /= 2)
for (int _tid = 0; _tid < _half; _tid++) {{
_type_reduce _a = _sdata[_tid], _b = _sdata[_tid + _half];
_sdata[_tid] = REDUCE(_a, _b);
}}
_type_reduce _s = _sdata[0];
_out_ind.set(stand_in_output);
{output_bindings}
POST_MAP(_s);
}}
extern "C" void stand_in_run(void** arguments, long long count, long long order, StandInFault* fault) {{
stand_in_fault = StandInFault();
CIndexer inputs((const long long*)arguments[{number}]);
CIndexer outputs((const long long*)arguments[{number} + 1]);
int threads = 8;
while (threads < 512 && threads * count < inputs.size()) threads *= 2;
const StandInOrder blocks(count, order);
long long output = blocks.first;
for (long long k = 0; k < count; k++, output = blocks.after(output))
stand_in_reduce(arguments, inputs, outputs, output, threads);
*fault = stand_in_fault;
}}
"""


class ReductionKernel:
    """A kernel that reduces along axes.

    Args:
        in_params: Inputs.
        out_params: Outputs.
        map_expr: What is reduced, made of the inputs.
        reduce_expr: What is made of ``a`` and ``b``.
        post_map_expr: What is done with the result ``a``.
        identity: What to begin with; None if there is none.
        name: Name of the kernel.
        reduce_type: Type to reduce in; None for that of the first output.
        reduce_dims: Taken for the sake of CuPy's signature.
        preamble: Text before the kernel.
        options: For NVRTC.
    """

    def __init__(
        self,
        in_params: str,
        out_params: str,
        map_expr: str,
        reduce_expr: str,
        post_map_expr: str,
        identity: Any,
        name: str = "reduce_kernel",
        reduce_type: str | None = None,
        reduce_dims: bool = True,
        preamble: str = "",
        options: tuple[str, ...] = (),
    ) -> None:
        self.in_params = _parameters.parse_parameters(in_params, True)
        self.out_params = _parameters.parse_parameters(out_params, False)
        self.params = self.in_params + self.out_params
        self.nin, self.nout, self.nargs = (
            len(self.in_params),
            len(self.out_params),
            len(self.params),
        )
        self.map_expr, self.reduce_expr, self.post_map_expr = map_expr, reduce_expr, post_map_expr
        self.identity = "" if identity is None else str(identity)
        self.name, self.preamble = name, preamble
        self.reduce_type = reduce_type or self.out_params[0].ctype
        self._functions: dict[Any, Any] = {}

    def __call__(
        self,
        *args: Any,
        out: Any = None,
        axis: Any = None,
        keepdims: bool = False,
        stream: Any = None,
    ) -> Any:
        if out is not None:
            if len(args) != self.nin:
                raise ValueError("cannot specify 'out' as both a positional and keyword argument")
            args = (*args, out)
        _parameters.check_arguments(self.name, args, (self.nin, self.nargs))
        arrays = _parameters.get_loop_arrays(self.in_params, args[: self.nin])
        if not arrays:
            raise ValueError("Loop size is undecided.")
        shape = numpy.broadcast_shapes(*(array.shape for array in arrays))
        reduced, kept = _split_axes(axis, len(shape))
        types, letters = _parameters.decide_types(
            self.params, [*args, *[None] * (self.nargs - len(args))]
        )
        outputs = self._prepare_outputs(args, types, shape, reduced, keepdims)
        self._launch(args[: self.nin], outputs, types, letters, shape, reduced, kept)
        return outputs[0] if self.nout == 1 else tuple(outputs)

    def _prepare_outputs(
        self,
        args: Any,
        types: list[numpy.dtype],
        shape: tuple[int, ...],
        reduced: tuple[int, ...],
        keepdims: bool,
    ) -> list[Any]:
        lengths = [(1 if axis in reduced else length) for axis, length in enumerate(shape)]
        out_shape = tuple(
            length for axis, length in enumerate(lengths) if keepdims or axis not in reduced
        )
        given = list(args[self.nin :])
        if any(array.shape != out_shape for array in given):
            raise ValueError("Out shape is mismatched")
        return given or [_array.ndarray(out_shape, dtype) for dtype in types[self.nin :]]

    def _launch(
        self,
        inputs: Any,
        outputs: list[Any],
        types: list[numpy.dtype],
        letters: dict[str, numpy.dtype],
        shape: tuple[int, ...],
        reduced: tuple[int, ...],
        kept: tuple[int, ...],
    ) -> None:
        in_size, out_size = math.prod(shape), outputs[0].size
        if not out_size:
            return
        if not in_size and not self.identity:
            raise ValueError(
                f"zero-size array to reduction operation {self.name} which has no identity"
            )
        axes = reduced + kept
        passed = []
        for parameter, argument, dtype in zip(self.in_params, inputs, types, strict=False):
            if not isinstance(argument, _array.ndarray):
                passed.append(_parameters.describe_number(argument, dtype))
                continue
            values = argument._values
            if not parameter.is_raw:
                values = numpy.broadcast_to(values, shape).transpose(axes)
            passed.append(_parameters.describe_array(values))
        out_shape = tuple(shape[axis] for axis in kept)
        for array in outputs:
            values = array._values.reshape(out_shape)
            if not numpy.may_share_memory(values, array._values):
                raise NotImplementedError("an output with axes of length 1 that is not contiguous")
            passed.append(_parameters.describe_array(values))
        passed.append(_parameters.describe_shape(tuple(shape[axis] for axis in axes)))
        passed.append(_parameters.describe_shape(out_shape))
        has_two_passes = _functions.count_passes(in_size, out_size) == 2
        _parameters.count_launch(self.name, inputs, outputs, has_two_passes)
        function = self._get_function(inputs, types, letters)
        _parameters.run(function, passed, out_size, _settings.get_order(), self.name)

    def _get_function(
        self, inputs: Any, types: list[numpy.dtype], letters: dict[str, numpy.dtype]
    ) -> Any:
        are_arrays = [isinstance(argument, _array.ndarray) for argument in inputs]
        key = (tuple(are_arrays), tuple(types))
        if key not in self._functions:
            are_arrays += [True] * self.nout
            sources = [
                _parameters.Source(parameter, number, dtype, is_array)
                for number, (parameter, dtype, is_array) in enumerate(
                    zip(self.params, types, are_arrays, strict=True)
                )
            ]
            text = _TEMPLATE.format(
                types=_parameters.declare_types(letters),
                preamble=self.preamble,
                reduce_expr=self.reduce_expr,
                post_map_expr=self.post_map_expr,
                reduce_type=self.reduce_type,
                arguments="\n".join(source.argument for source in sources),
                identity=self.identity,
                input_bindings="\n".join(s.bind("_in_ind") for s in sources[: self.nin]),
                name=self.name,
                map_expr=self.map_expr,
                output_bindings="\n".join(s.bind("_out_ind") for s in sources[self.nin :]),
                number=self.nargs,
            )
            self._functions[key] = load_library(text, self.name).stand_in_run
        return self._functions[key]


def _split_axes(axis: Any, ndim: int) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Tell the axes to reduce from those to keep."""
    if axis is None:
        axis = tuple(range(ndim))
    axes = axis if isinstance(axis, tuple | list) else (axis,)
    reduced = sorted(range(ndim)[one] for one in axes)
    return tuple(reduced), tuple(one for one in range(ndim) if one not in reduced)
