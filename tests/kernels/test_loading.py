import os
import re
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import chainer
import numpy
import pytest

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
from vdprune.kernels import loading

loading._PATIENCE = {patience}
loading.load_kernels(lambda: print("compiling", flush=True))

from tests.kernels.test_loading import list_kernels

print(sum(len(kernel.stats.cache_misses) for kernel in list_kernels().values()), "compiled")
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
    kernels = inference.read, inference.run
    before = [len(kernel.signatures) for kernel in kernels]
    W = numpy.eye(3, dtype="f4")
    layer = Layer("linear", "l", (0,), (3,), (3,), W=W, b=numpy.zeros(3, "f4"))
    network = Network(Layers(1.0, numpy.zeros(3, "f4"), (layer,)), (3,), get_team())
    for dtype in ("u1", "f4"):
        for examples in (1, 100):
            x = numpy.ones((examples, 3), dtype)
            network.logits(x)
            x.flags.writeable = False
            network.logits(x)
    assert [len(kernel.signatures) for kernel in kernels] == before


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


def test_compiles_once_and_says_so(tmp_path: Path) -> None:
    outputs = []
    for patience in (0.5, 600):
        result = subprocess.run(
            [sys.executable, "-c", SCRIPT.format(patience=patience)],
            env={**os.environ, "NUMBA_CACHE_DIR": str(tmp_path)},
            cwd=ROOT,
            capture_output=True,
            text=True,
        )
        assert result.returncode == 0, result.stderr
        outputs.append(result.stdout)
    assert re.fullmatch(r"compiling\n[1-9]\d* compiled\n", outputs[0])
    assert outputs[1] == "0 compiled\n"


def test_the_timer_ends_with_the_loading(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loading, "_PATIENCE", 0.05)
    monkeypatch.setattr(loading, "_call_each", lambda: None)
    calls: list[int] = []
    loading.load_kernels(lambda: calls.append(1))
    time.sleep(0.2)
    assert calls == []
