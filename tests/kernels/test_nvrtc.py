"""What `tests.kernels.nvrtc` says of kernels that are right, and of some that only g++ compiles."""

import time
from typing import Any

import pytest

from tests.kernels import nvrtc

pytestmark = pytest.mark.skipif(bool(nvrtc.find_missing()), reason=nvrtc.find_missing())

ARRAY = (True, "float32", 1, True)
SCALAR = (False, "float32", 0, True)
ELEMENTWISE: dict[str, Any] = {
    "kind": "elementwise",
    "name": "scaled_square",
    "in_params": "T x, T scale, raw int32 index",
    "out_params": "T y",
    "operation": "y = scale * square(x) + index[i] + (float)(i)",
    "preamble": "template <typename T> __device__ T square(T x) { return x * x; }",
    "types": {"T": "float32"},
    "arguments": [ARRAY, SCALAR, (True, "int32", 1, True), ARRAY],
}
REDUCTION: dict[str, Any] = {
    "kind": "reduction",
    "name": "sum_of_squares",
    "in_params": "T x, T scale",
    "out_params": "T y",
    "map_expr": "scale * x * x",
    "reduce_expr": "a + b",
    "post_map_expr": "y = a",
    "identity": "0",
    "types": {"T": "float32"},
    "arguments": [ARRAY, SCALAR, ARRAY],
}
RAW: dict[str, Any] = {
    "kind": "raw",
    "name": "twice",
    "code": """
extern "C" __global__ void twice(const float* x, float* y, int n) {
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i < n) y[i] = 2 * x[i] + __shfl_xor_sync(0xffffffff, x[i], 1);
}
""",
}


def make_variants() -> list[dict[str, Any]]:
    """The three above, and other types, layouts and keywords of them."""
    variants = [ELEMENTWISE, REDUCTION, RAW]
    for dtype in ("float16", "float64"):
        array, scalar = (True, dtype, 1, True), (False, dtype, 0, True)
        arguments = [array, scalar, (True, "int32", 1, True), array]
        variants.append({**ELEMENTWISE, "types": {"T": dtype}, "arguments": arguments})
        variants.append({**REDUCTION, "types": {"T": dtype}, "arguments": [array, scalar, array]})
    strided = (True, "float32", 3, False)
    arguments = [strided, SCALAR, (True, "int32", 2, False), strided]
    variants.append({**ELEMENTWISE, "arguments": arguments, "ndim": 3})
    arguments = [strided, SCALAR, (True, "float32", 2, False)]
    variants.append({**REDUCTION, "arguments": arguments, "ndim": 3, "out_ndim": 2})
    variants.append({**REDUCTION, "reduce_type": "double", "identity": None})
    variants.append({**ELEMENTWISE, "loop_prep": "T z = 1;", "after_loop": "z += 1;"})
    variants.append({**RAW, "options": ["-DUNUSED=1", "--use_fast_math"]})
    return variants


@pytest.mark.parametrize("method", ["cubin", "ptx"])
def test_right_kernels_compile_on_every_architecture(method: str) -> None:
    start = time.monotonic()
    assert nvrtc.compile_all(make_variants(), method=method) == []
    assert time.monotonic() - start < 240


def test_one_kernel_by_its_parts() -> None:
    names = ("in_params", "out_params", "operation", "name", "preamble", "types", "arguments")
    nvrtc.compile_elementwise(*[ELEMENTWISE[name] for name in names], 90)
    parts = {key: value for key, value in REDUCTION.items() if key != "kind"}
    nvrtc.compile_reduction(**parts, architecture=75)
    nvrtc.compile_raw(RAW["code"], ["-DX=1"], 80)


@pytest.mark.parametrize(
    ("variant", "log"),
    [
        ({**ELEMENTWISE, "operation": "y = std::exp(x)"}, 'namespace "std" has no member "exp"'),
        ({**ELEMENTWISE, "preamble": "#include <vector>"}, 'open source file "vector"'),
        ({**ELEMENTWISE, "operation": "y = z"}, 'identifier "z" is undefined'),
        ({**REDUCTION, "map_expr": "z"}, 'identifier "z" is undefined'),
        ({**RAW, "code": "#include <vector>\n" + RAW["code"]}, 'open source file "vector"'),
        ({**RAW, "code": RAW["code"].replace("int i", "int64_t i")}, '"int64_t" is undefined'),
        ({**RAW, "options": ["-DNOT AN OPTION", "--wrong"]}, "unrecognized option --wrong"),
    ],
)
def test_what_nvrtc_refuses_comes_with_its_log(variant: dict[str, Any], log: str) -> None:
    failures = nvrtc.compile_all([RAW, variant], [70, 90])
    assert [(f.name, f.architecture) for f in failures] == [
        (variant["name"], 70),
        (variant["name"], 90),
    ]
    for failure in failures:
        assert log in failure.log


def test_what_the_generator_refuses_is_a_failure_too() -> None:
    (failure,) = nvrtc.compile_all([{**ELEMENTWISE, "arguments": [ARRAY]}], [80])
    assert "1 arguments are described, of 4 parameters" in failure.log


def test_one_refused_kernel_raises_with_the_log() -> None:
    with pytest.raises(nvrtc.CompilationError, match='identifier "z" is undefined'):
        nvrtc.compile_raw("__global__ void f(float* x) { x[0] = z; }")


def test_a_stand_in_for_cupy_is_not_seen(
    monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("stand_in")
    (folder / "cupy.py").write_text("raise SystemExit('this is the stand-in')")
    monkeypatch.setenv("PYTHONPATH", str(folder))
    assert nvrtc.compile_all([RAW], [70]) == []
