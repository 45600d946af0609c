import pytest
from chainer.backends import cuda

from vdprune.devices import get_device
from vdprune.errors import DeviceError


def test_cpu() -> None:
    assert get_device(None).name == "@numpy"


def test_gpu_without_cupy_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cuda, "available", False)
    with pytest.raises(
        DeviceError, match=r"GPU 0 can't be used .*pip install cupy-cuda12x"
    ) as info:
        get_device(0)
    assert "\n" not in str(info.value)
