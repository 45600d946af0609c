import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from vdprune.kernels import cpu, loading, unfolding

SCRIPT = """
from vdprune.kernels.loading import load_kernels
load_kernels(lambda: print("compiling", flush=True))
"""


def test_every_kernel_is_ready_afterwards() -> None:
    loading.load_kernels(lambda: None)
    for module in (cpu, unfolding):
        for name in module.__all__:
            assert getattr(module, name).signatures, name


def test_says_that_it_compiles_once(tmp_path: Path) -> None:
    outputs = []
    for _ in range(2):
        result = subprocess.run(
            [sys.executable, "-c", SCRIPT],
            env={**os.environ, "NUMBA_CACHE_DIR": str(tmp_path)},
            capture_output=True,
            text=True,
        )
        assert result.returncode == 0, result.stderr
        outputs.append(result.stdout)
    assert outputs == ["compiling\n", ""]


def test_the_timer_ends_with_the_loading(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loading, "_PATIENCE", 0.05)
    monkeypatch.setattr(loading, "_call_each", lambda: None)
    calls: list[int] = []
    loading.load_kernels(lambda: calls.append(1))
    time.sleep(0.2)
    assert calls == []
