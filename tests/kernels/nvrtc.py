"""Compiles GPU kernels for real, with CuPy's own code generator and NVRTC: no GPU, no driver.

It is two programs in one file. Tests import it and call the functions; those run this file in a process
of its own, where ``cupy`` is the real one whatever stands in for it in the tests' process. There it
reads the kernels as JSON from its standard input and writes what became of them to its output.

A kernel is a dict, its "kind" one of three. Keys that have a default in the brackets may be left out.

An elementwise kernel, as ``chainer.backends.cuda.elementwise`` takes it::

    {"kind": "elementwise", "name", "in_params", "out_params", "operation",
     "preamble" [""], "loop_prep" [""], "after_loop" [""], "options" [()],
     "types" [{}]: {"T": "float32"}, what each type variable stands for,
     "arguments": of each parameter, inputs first, (is_array, dtype, ndim, c_contiguous),
     "ndim" [1]: of the loop; CuPy makes it 1 where all arrays that it loops over are C-contiguous,
                 and gives them ndim 1 with it}

A reduction, as ``chainer.backends.cuda.reduce`` takes it::

    {"kind": "reduction", "name", "in_params", "out_params", "map_expr", "reduce_expr",
     "post_map_expr", "identity", "reduce_type" [None], "preamble" [""], "options" [()],
     "types" [{}], "arguments",
     "ndim" [1], "out_ndim" [1]: of the loops over the inputs and over the outputs}

Source code, as ``chainer.backends.cuda.raw`` takes it::

    {"kind": "raw", "name", "code", "options" [()]}
"""

import contextlib
import importlib.metadata
import json
import os
import subprocess
import sys
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

CUPY = "14.2.0"  # the one whose private names are used below; setup.cfg has it, too
ARCHITECTURES = (70, 75, 80, 86, 90)  # from V100 to H100
HEADERS = ("cupy/complex.cuh", "cupy/carray.cuh", "cupy/atomics.cuh", "cupy/math_constants.h")

Argument = tuple[bool, str, int, bool]  # is_array, dtype, ndim, c_contiguous


class Failure(NamedTuple):
    """A kernel that NVRTC, or CuPy's generator, refuses."""

    name: str
    architecture: int
    log: str


class CompilationError(Exception):
    """What NVRTC, or CuPy's generator, says of a kernel that it refuses."""


def find_missing() -> str:
    """Say what has to be installed to compile here; empty if all is there."""
    missing = []
    for package, version in (
        ("cupy-cuda12x", CUPY),
        ("nvidia-cuda-nvrtc-cu12", "12.9"),
        ("nvidia-cuda-runtime-cu12", "12.9"),
    ):
        found = "nothing"
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            found = importlib.metadata.version(package)
        if not f"{found}.".startswith(f"{version}."):
            missing.append(f"{package} {version} (found: {found})")
    return f"needs {', '.join(missing)}: pip install '.[test]'" if missing else ""


def compile_all(
    variants: Iterable[dict[str, Any]],
    architectures: Sequence[int] = ARCHITECTURES,
    method: str = "cubin",
) -> list[Failure]:
    """Compile kernels in one process, and return those that are refused.

    Args:
        variants: Kernels, each as the module's docstring describes it.
        architectures: Compute capabilities, times ten.
        method: "cubin" compiles all the way to the GPU's machine code, "ptx" stops before it.
    """
    request = {"variants": list(variants), "architectures": list(architectures), "method": method}
    result = subprocess.run(
        [sys.executable, "-I", __file__],  # isolated: no PYTHONPATH, and so no stand-in
        input=json.dumps(request),
        env={name: value for name, value in os.environ.items() if not name.startswith("CUPY_")},
        capture_output=True,
        text=True,
        timeout=600,
    )
    if result.returncode:
        raise RuntimeError(f"{__file__} failed:\n{result.stderr}")
    return [Failure(*failure) for failure in json.loads(result.stdout)]


def compile_elementwise(
    in_params: str,
    out_params: str,
    operation: str,
    name: str,
    preamble: str = "",
    types: dict[str, str] | None = None,
    arguments: Sequence[Argument] = (),
    architecture: int = 70,
    **others: Any,
) -> None:
    """Compile one elementwise kernel; `others` are further keys of its description."""
    _compile_one(
        {
            "kind": "elementwise",
            "in_params": in_params,
            "out_params": out_params,
            "operation": operation,
            "name": name,
            "preamble": preamble,
            "types": types or {},
            "arguments": arguments,
            **others,
        },
        architecture,
    )


def compile_reduction(
    in_params: str,
    out_params: str,
    map_expr: str,
    reduce_expr: str,
    post_map_expr: str,
    identity: str | int | float | None,
    name: str,
    reduce_type: str | None = None,
    preamble: str = "",
    types: dict[str, str] | None = None,
    arguments: Sequence[Argument] = (),
    architecture: int = 70,
    **others: Any,
) -> None:
    """Compile one reduction; `others` are further keys of its description."""
    _compile_one(
        {
            "kind": "reduction",
            "in_params": in_params,
            "out_params": out_params,
            "map_expr": map_expr,
            "reduce_expr": reduce_expr,
            "post_map_expr": post_map_expr,
            "identity": identity,
            "name": name,
            "reduce_type": reduce_type,
            "preamble": preamble,
            "types": types or {},
            "arguments": arguments,
            **others,
        },
        architecture,
    )


def compile_raw(code: str, options: Sequence[str] = (), architecture: int = 70) -> None:
    """Compile one source."""
    _compile_one({"kind": "raw", "name": "raw", "code": code, "options": options}, architecture)


def _compile_one(variant: dict[str, Any], architecture: int) -> None:
    for failure in compile_all([variant], [architecture]):
        raise CompilationError(failure.log)


# From here on, what runs in the process of its own.


def main() -> None:
    """Answer a request of `compile_all`."""
    request = json.load(sys.stdin)
    failures: list[Failure] = []
    for variant in request["variants"]:
        name = variant.get("name", "unnamed")
        try:
            source, options = _generate(variant)
        except Exception as error:
            failures += [
                Failure(name, architecture, f"no code was generated: {error!r}")
                for architecture in request["architectures"]
            ]
            continue
        for architecture in request["architectures"]:
            log = _compile(source, options, architecture, request["method"])
            if log is not None:
                failures.append(Failure(name, architecture, log))
    json.dump(failures, sys.stdout)


def _generate(variant: dict[str, Any]) -> tuple[str, tuple[str, ...]]:
    """Make a kernel's CUDA source and its own options, as CuPy does when the kernel is first called."""
    options = tuple(variant.get("options", ()))
    if variant["kind"] == "raw":
        return variant["code"], options
    code = {"elementwise": _generate_elementwise, "reduction": _generate_reduction}
    headers = "".join(f"#include <{header}>\n" for header in HEADERS)
    return headers + code[variant["kind"]](variant, options), options


def _generate_elementwise(variant: dict[str, Any], options: tuple[str, ...]) -> str:
    import cupy
    from cupy._core import _kernel

    preamble = variant.get("preamble", "")
    loop_prep, after_loop = variant.get("loop_prep", ""), variant.get("after_loop", "")
    kernel = cupy.ElementwiseKernel(
        variant["in_params"],
        variant["out_params"],
        variant["operation"],
        variant["name"],
        preamble=preamble,
        loop_prep=loop_prep,
        after_loop=after_loop,
        options=options,
    )
    arguments = _describe_arguments(variant, kernel.params)
    arguments.append(_describe_indexer(variant.get("ndim", 1)))
    return _kernel._get_elementwise_kernel_code(
        tuple(arguments),
        _kernel._TypeMap(_describe_types(variant)),
        kernel.params,
        variant["operation"],
        variant["name"],
        preamble,
        loop_prep,
        after_loop,
        options,
    )


def _generate_reduction(variant: dict[str, Any], options: tuple[str, ...]) -> str:
    import cupy
    import numpy
    from cupy._core import _kernel, _reduction

    preamble, identity = variant.get("preamble", ""), variant["identity"]
    kernel = cupy.ReductionKernel(
        variant["in_params"],
        variant["out_params"],
        variant["map_expr"],
        variant["reduce_expr"],
        variant["post_map_expr"],
        identity,
        variant["name"],
        variant.get("reduce_type"),
        preamble=preamble,
        options=options,
    )
    outputs = _kernel._get_param_info(variant["out_params"], False)
    parameters = (
        *_kernel._get_param_info(variant["in_params"], True),
        *outputs,
        *_kernel._get_param_info("CIndexer _in_ind, CIndexer _out_ind", False),
        *_kernel._get_param_info("int32 _block_stride", True),
    )
    arguments = _describe_arguments(variant, parameters)
    arguments += [
        _describe_indexer(variant.get("ndim", 1)),
        _describe_indexer(variant.get("out_ndim", 1)),
        _describe_argument(False, "int32", 0, True),
    ]
    types = (*_describe_types(variant), ("IndexT", numpy.dtype("int32")))
    return _reduction._ReductionKernel_get_cached_function_code(
        kernel.nin,
        kernel.nout,
        parameters,
        tuple(arguments),
        _kernel._TypeMap(types),
        variant["name"],
        512,
        variant.get("reduce_type") or outputs[0].ctype,
        "" if identity is None else str(identity),
        variant["map_expr"],
        variant["reduce_expr"],
        variant["post_map_expr"],
        preamble,
        options,
    )


def _describe_types(variant: dict[str, Any]) -> tuple[tuple[str, Any], ...]:
    import numpy

    return tuple(
        (name, numpy.dtype(type)) for name, type in sorted(variant.get("types", {}).items())
    )


def _describe_arguments(variant: dict[str, Any], parameters: Sequence[Any]) -> list[Any]:
    own = [p for p in parameters if not p.name.startswith("_")]
    given = variant["arguments"]
    if len(given) != len(own):
        raise ValueError(f"{len(given)} arguments are described, of {len(own)} parameters")
    return [_describe_argument(*argument) for argument in given]


def _describe_argument(is_array: bool, dtype: str, ndim: int, c_contiguous: bool) -> Any:
    import cupy
    import numpy
    from cupy._core import _kernel, _scalar

    if is_array:
        return _kernel._ArgInfo(1, cupy.ndarray, numpy.dtype(dtype), ndim, c_contiguous, True)
    return _kernel._ArgInfo(3, _scalar.CScalar, numpy.dtype(dtype), 0, True, True)


def _describe_indexer(ndim: int) -> Any:
    from cupy._core import _kernel

    return _kernel._ArgInfo(2, type("Indexer", (), {}), None, ndim, True, True)


def _compile(source: str, options: tuple[str, ...], architecture: int, method: str) -> str | None:
    """Compile with the options that CuPy adds; return NVRTC's log if it refuses."""
    from cupy._core import core
    from cupy.cuda import compiler

    target = f"sm_{architecture}" if method == "cubin" else f"compute_{architecture}"
    program = compiler._NVRTCProgram(source, "kernel.cu", method=method)
    try:
        program.compile(
            (
                *core.assemble_cupy_compiler_options(options),
                "-ftz=true",
                f"-arch={target}",
                "--device-as-default-execution-space",
            )
        )
    except compiler.CompileException as error:
        return str(error)
    return None


if __name__ == "__main__":
    main()
