import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from vdprune.kernels import cpu, linear, loading, pooling, unfolding

SCRIPT = """
from vdprune.kernels import loading

loading._PATIENCE = {patience}
loading.load_kernels(lambda: print("compiling", flush=True))

from vdprune.kernels import cpu, linear, pooling, unfolding

kernels = [
    getattr(module, name) for module in (cpu, linear, pooling, unfolding) for name in module.__all__
]
print(sum(len(kernel.stats.cache_misses) for kernel in kernels), "compiled")
"""


def test_every_kernel_is_ready_afterwards() -> None:
    loading.load_kernels(lambda: None)
    for module in (cpu, linear, pooling, unfolding):
        for name in module.__all__:
            assert getattr(module, name).signatures, name


def test_compiles_once_and_says_so(tmp_path: Path) -> None:
    outputs = []
    for patience in (0.5, 600):
        result = subprocess.run(
            [sys.executable, "-c", SCRIPT.format(patience=patience)],
            env={**os.environ, "NUMBA_CACHE_DIR": str(tmp_path)},
            capture_output=True,
            text=True,
        )
        assert result.returncode == 0, result.stderr
        outputs.append(result.stdout)
    assert outputs == ["compiling\n13 compiled\n", "0 compiled\n"]


def test_the_timer_ends_with_the_loading(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loading, "_PATIENCE", 0.05)
    monkeypatch.setattr(loading, "_call_each", lambda: None)
    calls: list[int] = []
    loading.load_kernels(lambda: calls.append(1))
    time.sleep(0.2)
    assert calls == []
