"""Faults that a GPU would show, or hide, are caught by the stand-in for CuPy."""

from collections.abc import Callable
from typing import Any

import numpy
import pytest

cupy = pytest.importorskip("cupy")
if not hasattr(cupy, "_settings"):
    pytest.skip("this is CuPy, not its stand-in", allow_module_level=True)

from cupy.cuda.compiler import CompileException  # noqa: E402
from cupy.cuda.runtime import CUDARuntimeError  # noqa: E402

from tests.stand_in_kernels import SCALE, flip, flipped  # noqa: E402


def run_on(array: Any, **kwargs: Any) -> Any:
    return cupy.ElementwiseKernel("T x, T z", "T y", **kwargs)(array, cupy.ones(40))


def evaluate(operation: str, **kwargs: Any) -> Any:
    return run_on(cupy.ones(40), operation=operation, name="faulty", **kwargs)


def on_other_gpu() -> Any:
    with cupy.cuda.Device(1):
        return cupy.ones(40)


def read_beyond() -> Any:
    kernel = cupy.ElementwiseKernel("raw T x", "T y", "y = x[i] + x[i + 1]", "reader")
    return kernel(cupy.ones(40), cupy.empty(40))


def write_beyond() -> Any:
    kernel = cupy.ElementwiseKernel("", "raw T y", "T* p = &y[39]; p[1 + i] = 0", "writer")
    return kernel(cupy.empty(40), size=4)


def run_raw(
    body: str, *args: Any, parameters: str = "double* x", linkage: str = 'extern "C"'
) -> Any:
    text = f"{linkage} __global__ void faulty({parameters}) {{ {body} }}"
    return cupy.RawKernel(text, "faulty")((1,), (4,), args or (cupy.ones(4),))


EXCEPTIONS: dict[str, tuple[Callable[[], Any], type[Exception], str]] = {
    "array left on the CPU": (lambda: SCALE(numpy.ones(3), 1.0), TypeError, "numpy.ndarray"),
    "noise from NumPy": (lambda: cupy.ones(3) + numpy.ones(3), TypeError, "numpy.ndarray"),
    "noise from NumPy on the left": (lambda: numpy.ones(3) * cupy.ones(3), TypeError, "numpy"),
    "NumPy's array in a function": (lambda: cupy.exp(numpy.ones(3)), TypeError, "numpy.ndarray"),
    "NumPy's array assigned": (
        lambda: cupy.ones(3).__setitem__(slice(None), numpy.ones(3)),
        ValueError,
        "numpy.ndarray",
    ),
    "numpy.asarray": (lambda: numpy.asarray(cupy.ones(3)), TypeError, "Implicit conversion"),
    "numpy.array of a list": (lambda: numpy.array([cupy.ones(3)]), TypeError, "Implicit"),
    "key of a dictionary": (lambda: {cupy.ones(3): 1}, TypeError, "unhashable"),
    "input of another GPU": (
        lambda: run_on(on_other_gpu(), operation="y = x"),
        ValueError,
        "device",
    ),
    "operand of another GPU": (lambda: on_other_gpu() + 1, ValueError, "device"),
    "syntax error": (lambda: evaluate("y = squareroot(x)"), CompileException, "squareroot"),
    "standard library": (lambda: evaluate("y = std::exp(x)"), CompileException, "std"),
    "assignment to an input": (lambda: evaluate("x = 0; y = z"), CompileException, "read-only"),
    "two types": (
        lambda: SCALE(cupy.ones(3, numpy.float32), 1.0, cupy.empty(3)),
        TypeError,
        "Type is mismatched",
    ),
    "index out of bounds": (read_beyond, IndexError, "kernel reader .* index 40 of 40"),
    "pointer beyond the array": (write_beyond, IndexError, "kernel writer .* after .* argument 0"),
    "product into a transposed array": (
        lambda: cupy.dot(cupy.ones((3, 2)), cupy.ones((2, 3)), cupy.empty((3, 3)).T[:2].T),
        ValueError,
        "C-contiguous",
    ),
    "raw kernel before the array": (lambda: run_raw("x[-1] = 0;"), IndexError, "before"),
    "raw kernel after the array": (lambda: run_raw("x[4] = 0;"), IndexError, "after"),
    "raw kernel of another type": (
        lambda: run_raw("", cupy.ones(4, "f")),
        TypeError,
        "array of float32, .* array of float64",
    ),
    "raw kernel with a wide number": (
        lambda: run_raw("", 1.5, parameters="float x"),
        TypeError,
        "number of float64",
    ),
    "raw kernel without its argument": (
        lambda: run_raw("", cupy.ones(4), 4),
        TypeError,
        "1 parameters, but got 2",
    ),
    "raw kernel with another linkage": (
        lambda: run_raw("", linkage=""),
        cupy.cuda.driver.CUDADriverError,
        "NOT_FOUND",
    ),
    "shared memory out of bounds": (
        lambda: run_raw("extern __shared__ float s[]; s[threadIdx.x] = 0;"),
        IndexError,
        "shared",
    ),
    "barrier that some do not reach": (
        lambda: run_raw("if (threadIdx.x) __syncthreads();"),
        IndexError,
        "__syncthreads",
    ),
    "name that CuPy lacks": (lambda: cupy.errstate, AttributeError, "errstate"),
    "argument that CuPy lacks": (lambda: cupy.sum(cupy.ones(3), where=True), TypeError, "where"),
    "GPU that is not there": (lambda: cupy.cuda.Device(2).use(), CUDARuntimeError, "ordinal"),
}


@pytest.mark.parametrize("fault", EXCEPTIONS)
def test_fault_raises(fault: str) -> None:
    make, kind, message = EXCEPTIONS[fault]
    with pytest.raises(kind, match=f"(?s){message}"):
        make()


def sums_from_one() -> Any:
    kernel = cupy.ReductionKernel("T x", "T y", "x", "a + b", "y = a", "1", "sums_from_one")
    return kernel(cupy.ones(40))


def running_sum() -> Any:
    kernel = cupy.ElementwiseKernel("raw T x", "raw T y", "y[i] = (i ? y[i - 1] : 0) + x[i]", "run")
    return kernel(cupy.ones(40), cupy.zeros(40), size=40)


VALUES: dict[str, tuple[Callable[[], Any], Any]] = {
    "wrong formula": (lambda: evaluate("y = x - z"), 2 * numpy.ones(40)),
    "output not written": (lambda: evaluate("if (x > 1) y = x"), numpy.ones(40)),
    "memory not filled": (lambda: cupy.empty(3), numpy.zeros(3)),
    "integers not filled": (lambda: cupy.empty_like(cupy.zeros(3, int)), numpy.zeros(3)),
    "wrong identity": (sums_from_one, 40),
    "order of threads": (running_sum, numpy.arange(1, 41)),
    "missing barrier": (lambda: flip(64, barrier=""), flipped(64)),
    "unwritten shared memory": (
        lambda: flip(32, barrier="__syncthreads(); fixed[other] = fixed[32 + other];"),
        flipped(32),
    ),
}


@pytest.mark.parametrize("fault", VALUES)
def test_fault_changes_the_result(fault: str) -> None:
    make, expected = VALUES[fault]
    assert not numpy.array_equal(cupy.asnumpy(make()), expected)


def test_index_of_a_kernel_for_too_small_an_array() -> None:
    with pytest.raises(IndexError, match="kernel flip wrote out of bounds, after .* argument 1"):
        flip(64, written=120)
