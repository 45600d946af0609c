import contextlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import chainer
import numpy
import pytest
from numba.core.caching import NullCache

from vdprune.functions import variational_dropout_convolution_2d
from vdprune.functions.sparse_products import SparseProducts
from vdprune.kernels import (
    convolution,
    cpu,
    inference,
    loading,
    noise,
    orders,
    pooling,
    sparse_convolution,
    unfolding,
    waiting,
    winograd,
)
from vdprune.runtime.layers import Layer, Layers
from vdprune.runtime.network import Network
from vdprune.threads import get_team

MODULES = (
    convolution,
    cpu,
    noise,
    orders,
    pooling,
    sparse_convolution,
    unfolding,
    waiting,
    winograd,
)
# What other kernels alone call, which have them compiled in.
INNER = {"adam", "adam_of_all", "meet", "sample_turned"}
ROOT = Path(__file__).parents[2]
SCRIPT = """
import zlib

import numpy

from vdprune.kernels import loading

loading._PATIENCE = {patience}
loading.load_kernels(lambda: print("compiling", flush=True))

from tests.kernels.test_linear import make_layers
from tests.kernels.test_loading import list_kernels
from vdprune.functions.linear_layers import LinearLayers

print(sum(len(kernel.stats.cache_misses) for kernel in list_kernels().values()), "compiled")
random = numpy.random.default_rng(0)
layers = make_layers(random, [200, 100, 10], "f4")
x, t = random.random((50, 200), "f4"), random.integers(0, 10, 50, "i4")
loss, _, _, divergence, _, gradients = LinearLayers(layers, x).objective(t, 0.3, False)
print(loss, divergence, zlib.crc32(b"".join(array.tobytes() for array in gradients)))
"""


def list_kernels() -> dict[str, Any]:
    kernels = {name: getattr(module, name) for module in MODULES for name in module.__all__}
    return {
        name: kernel for name, kernel in kernels.items() if callable(kernel) and name not in INNER
    }


def test_every_kernel_is_ready_afterwards() -> None:
    loading.load_kernels(lambda: None)
    for name, kernel in list_kernels().items():
        assert kernel.signatures, name


def test_a_network_in_the_runtime_compiles_no_others() -> None:
    loading.load_inference(lambda: None)
    before = len(inference.run.signatures)
    W = numpy.eye(3, dtype="f4")
    layer = Layer("linear", "l", (0,), (3,), (3,), W=W, b=numpy.zeros(3, "f4"))
    network = Network(Layers(1.0, numpy.zeros(3, "f4"), (layer,)), (3,), get_team())
    for dtype in ("u1", "f4"):
        for examples in (1, 100):
            x = numpy.ones((examples, 3), dtype)
            network.logits(x)
            x.flags.writeable = False
            network.logits(x)
    assert len(inference.run.signatures) == before


def test_a_sparse_convolution_compiles_no_others() -> None:
    loading.load_kernels(lambda: None)
    kernels = sparse_convolution.sum_shifted, sparse_convolution.correlate
    before = [len(kernel.signatures) for kernel in kernels]
    x, W = numpy.ones((2, 3, 6, 6), "f4"), numpy.ones((4, 3, 3, 3), "f4")
    log_sigma2 = numpy.full(W.shape, 9, "f4")
    log_sigma2[:, :, 0, 0] = -9
    inputs = [chainer.Variable(a) for a in (x, W, log_sigma2)]
    y, _ = variational_dropout_convolution_2d(*inputs)
    assert isinstance(y.creator.way, SparseProducts)
    chainer.functions.sum(y).backward()
    assert [len(kernel.signatures) for kernel in kernels] == before


def test_compiles_once_and_says_so_and_the_first_run_is_as_the_others(tmp_path: Path) -> None:
    outputs = []
    for patience in (600, 0.5):
        result = subprocess.run(
            [sys.executable, "-c", SCRIPT.format(patience=patience)],
            env={**os.environ, "NUMBA_CACHE_DIR": str(tmp_path)},
            cwd=ROOT,
            capture_output=True,
            text=True,
        )
        assert result.returncode == 0, result.stderr
        outputs.append(result.stdout)
    compiled, numbers = outputs[1].splitlines()
    assert compiled == "0 compiled"
    assert outputs[0].splitlines() == ["compiling", compiled, numbers]


@pytest.mark.parametrize("code", [0, 1, -signal.SIGINT, -signal.SIGTERM])
def test_kernels_are_compiled_in_another_process(
    code: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[object] = []

    def run(command: list[str], **_: object) -> subprocess.CompletedProcess[bytes]:
        calls.append(command[-1].partition("loading.")[2])
        return subprocess.CompletedProcess(command, code)

    monkeypatch.setattr(loading, "_is_kept", lambda kernel: False)
    monkeypatch.setattr(subprocess, "run", run)
    for load, name in (
        (loading.load_kernels, "_call_each"),
        (loading.load_inference, "_call_inference"),
    ):
        calls.clear()
        monkeypatch.setattr(loading, name, lambda: calls.append("here"))
        context = pytest.raises(KeyboardInterrupt) if code < 0 else contextlib.nullcontext()
        with context:
            load(lambda: calls.append("said"))
        assert calls == ["said", f"{name}()", *(["here"] if code >= 0 else [])]


@pytest.mark.parametrize("program", [None, "", "/no/python"])
def test_without_a_python_to_start_they_are_compiled_here(
    program: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[int] = []
    monkeypatch.setattr(loading, "_is_kept", lambda kernel: False)
    monkeypatch.setattr(loading, "_call_inference", lambda: calls.append(1))
    monkeypatch.setattr(sys, "executable", program)
    loading.load_inference(lambda: None)
    assert calls == [1]


def test_kernels_that_can_not_be_kept_are_compiled_here(monkeypatch: pytest.MonkeyPatch) -> None:
    assert loading._is_kept(orders.take_part)
    monkeypatch.setattr(orders.take_part, "_cache", NullCache())
    assert loading._is_kept(orders.take_part)


def test_kernels_of_another_processor_are_not_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    codegen = type(orders.take_part.targetctx.codegen())
    monkeypatch.setattr(codegen, "magic_tuple", lambda self: ("other", "processor", ""))
    assert not loading._is_kept(orders.take_part)


def test_the_timer_ends_with_the_loading(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loading, "_PATIENCE", 0.05)
    monkeypatch.setattr(loading, "_call_each", lambda: None)
    calls: list[int] = []
    loading.load_kernels(lambda: calls.append(1))
    time.sleep(0.2)
    assert calls == []
