"""NVIDIA's compiler takes each kernel that training uses, for GPUs from V100 to H100."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import chainer
import numpy
import pytest
from chainer.backends import cuda

from tests.functions import test_on_gpu
from tests.kernels import nvrtc
from vdprune import kernels
from vdprune.archs import build_arch
from vdprune.training.adam import Adam

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(bool(nvrtc.find_missing()), reason=nvrtc.find_missing()),
]


class Recorder:
    """Notes kernels, with the types and shapes that they are called with, and calls them."""

    def __init__(self) -> None:
        self._elementwise, self._raw = cuda.elementwise, cuda.raw
        self.variants: dict[str, dict[str, Any]] = {}

    def elementwise(
        self, in_params: str, out_params: str, operation: str, name: str, **kwargs: Any
    ) -> Callable[..., Any]:
        kernel = self._elementwise(in_params, out_params, operation, name, **kwargs)

        def call(*arguments: Any, **named: Any) -> Any:
            results = kernel(*arguments, **named)
            parameters = [text.split() for text in f"{in_params}, {out_params}".split(",")]
            given = list(arguments)
            if len(given) < len(parameters):
                given += results if isinstance(results, tuple) else [results]
            variant = {
                "kind": "elementwise",
                "name": name,
                "in_params": in_params,
                "out_params": out_params,
                "operation": operation,
                **kwargs,
                **describe(parameters, given),
            }
            self.variants[repr(variant)] = variant
            return results

        return call

    def raw(self, code: str, name: str) -> Any:
        self.variants[code] = {"kind": "raw", "name": name, "code": code}
        return self._raw(code, name)


def describe(parameters: list[list[str]], arguments: list[Any]) -> dict[str, Any]:
    """Describe arguments as `tests.kernels.nvrtc` wants it."""
    pairs = list(zip(parameters, arguments, strict=True))
    types = {
        words[-2]: argument.dtype.name
        for words, argument in pairs
        if len(words[-2]) == 1 and isinstance(argument, cuda.ndarray)
    }
    looped = [a for words, a in pairs if isinstance(a, cuda.ndarray) and "raw" not in words]
    shape = numpy.broadcast_shapes(*(a.shape for a in looped)) if looped else (1,)
    is_flat = all(a.shape == shape and a.flags.c_contiguous for a in looped)
    described = []
    for words, argument in pairs:
        dtype = types.get(words[-2], words[-2])
        if not isinstance(argument, cuda.ndarray):
            described.append((False, dtype, 0, True))
        elif "raw" in words:
            described.append((True, dtype, argument.ndim, True))
        else:
            described.append((True, dtype, 1 if is_flat else len(shape), is_flat))
    return {"types": types, "arguments": described, "ndim": 1 if is_flat else len(shape)}


@pytest.fixture
def recorder(monkeypatch: pytest.MonkeyPatch) -> Recorder:
    recorder = Recorder()
    monkeypatch.setattr(cuda, "elementwise", recorder.elementwise)
    monkeypatch.setattr(cuda, "raw", recorder.raw)
    return recorder


def take_a_step(device: Any) -> None:
    """Of a network with all kinds of layers, from bytes."""
    model = build_arch("lenet5", input_shape=[1, 16, 16], classes=3)
    model.to_variational_dropout()
    model.num_train = 4
    model.to_device(device)
    optimizer = Adam().setup(model)
    x = device.send(numpy.random.randint(0, 255, (4, 1, 16, 16)).astype("u1"))
    optimizer.update(model.calc_loss, x, device.send(numpy.arange(4, dtype="i4") % 3))


def run_layers(device: Any) -> None:
    """In float64."""
    noise = numpy.random.randn(3, 4)
    arrays = [numpy.random.randn(3, 5), *test_on_gpu.make_weights((4, 5)), numpy.random.randn(4)]
    test_on_gpu.run(test_on_gpu.variational_dropout_linear, arrays, noise, device)
    arrays = [numpy.random.randn(2, 3, 5, 5), *test_on_gpu.make_weights((4, 3, 3, 3))]
    test_on_gpu.run(test_on_gpu.variational_dropout_convolution_2d, arrays, None, device)


def test_nvrtc_compiles_them(gpu: Any, recorder: Recorder, tmp_path: Path) -> None:
    take_a_step(gpu)
    sums = gpu.xp.zeros(4)
    kernels.cuda.add_up([gpu.xp.zeros((), "f4")] * 4, sums)
    kernels.cuda.normals((3,), "f4", (1, 2))
    in_float32 = list(recorder.variants.values())
    names = {re.sub("^vdprune_", "", variant["name"]) for variant in in_float32}
    assert set(kernels.cuda.__all__) <= names
    recorder.variants.clear()
    with chainer.using_config("dtype", numpy.float64):
        run_layers(gpu)
    in_float64 = list(recorder.variants.values())
    assert {"weight_moments", "vdprune_unfold"} <= {variant["name"] for variant in in_float64}
    failures = nvrtc.compile_all(in_float32)
    failures += nvrtc.compile_all(in_float64, architectures=(70, 90))
    if failures:
        pytest.fail("\n".join(f"{f.name}, sm_{f.architecture}: {f.log}" for f in failures[:3]))
