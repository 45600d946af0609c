"""What `vdprune.devices.get_device` says of each reason that there is no GPU to use."""

from types import SimpleNamespace
from typing import Any

import pytest
from chainer.backends import cuda

from vdprune import devices
from vdprune.devices import get_device
from vdprune.errors import DeviceError

INSTALL = (
    "pip install '.[cuda12]' in vdprune's folder (cuda11 or cuda13 in its place, if that is the CUDA "
    "version that nvidia-smi shows), or leave --gpu out to run on the CPU"
)
NO_DRIVER = (
    "cudaErrorInsufficientDriver: CUDA driver version is insufficient for CUDA runtime version"
)
NO_CUBLAS = {  # as CuPy 14 and CuPy 13 put it
    "14": 'Failure finding "libcublasLt.so.13 or libcublasLt.so.12": No such file: libcublasLt.so.13\n',
    "13": "libcublas.so.11: cannot open shared object file: No such file or directory",
}


class CUDARuntimeError(RuntimeError):
    pass


class FakeRuntime:
    """`cupy.cuda.runtime` of a machine with GPUs, or with an error in their place."""

    CUDARuntimeError = CUDARuntimeError

    def __init__(self, count: int = 1, error: str = "", driver: int = 12040) -> None:
        self.count, self.error, self.driver = count, error, driver

    def getDeviceCount(self) -> int:
        if self.error:
            raise CUDARuntimeError(self.error)
        return self.count

    def driverGetVersion(self) -> int:
        return self.driver


class FakeCuda:
    """`cupy.cuda` that misses some of its libraries."""

    def __init__(self, runtime: FakeRuntime, missing: str = "") -> None:
        self.runtime, self.missing = runtime, missing
        self.nvrtc = SimpleNamespace(getVersion=self.get_version)

    def get_version(self) -> tuple[int, int]:
        if self.missing == "nvrtc":
            raise RuntimeError('Failure finding "libnvrtc.so.12"')
        return 12, 9

    def find_headers(self, options: tuple[str, ...]) -> tuple[str, ...]:
        if self.missing == "headers":
            raise RuntimeError("Failed to find CUDA headers.")
        return options

    @property
    def curand(self) -> object:
        if self.missing == "curand":
            raise ImportError("libcurand.so.10: cannot open shared object file")
        return object()


def fake_cupy(
    monkeypatch: pytest.MonkeyPatch,
    runtime: FakeRuntime | None = None,
    missing: str = "",
    version: str = "14.2.0",
    name: str = "cupy-cuda12x",
) -> None:
    """Put a CuPy in the place of the one, if any, that Chainer found."""
    fake = FakeCuda(runtime or FakeRuntime(), missing)
    core = SimpleNamespace(assemble_cupy_compiler_options=fake.find_headers)
    cupy = SimpleNamespace(__version__=version, cuda=fake, _core=SimpleNamespace(core=core))
    monkeypatch.setattr(cuda, "available", True)
    monkeypatch.setattr(cuda, "cupy", cupy)
    monkeypatch.setattr(devices, "_find_installed", lambda: {name: version})


def fake_failed_import(
    monkeypatch: pytest.MonkeyPatch, error: Exception, installed: dict[str, str]
) -> None:
    """Let Chainer's import of CuPy have failed."""
    monkeypatch.setattr(cuda, "available", False)
    monkeypatch.setattr(cuda, "cupy", object())
    monkeypatch.setattr(cuda, "_resolution_error", error, raising=False)
    monkeypatch.setattr(devices, "_find_installed", lambda: installed)


def get_message(gpu: int = 0) -> str:
    with pytest.raises(DeviceError) as info:
        get_device(gpu)
    message = str(info.value)
    assert "\n" not in message
    return message


def get_trouble(gpu: int = 0) -> str:
    """The part of a message that differs from one trouble to the other."""
    message = get_message(gpu)
    start, end = f"GPU {gpu} can't be used: ", ", or leave --gpu out to run on the CPU"
    assert message.startswith(start) and message.endswith(end)
    return message.removeprefix(start).removesuffix(end)


def test_cpu() -> None:
    assert get_device(None).name == "@numpy"


def test_cpu_needs_no_cupy(monkeypatch: pytest.MonkeyPatch) -> None:
    fake_failed_import(monkeypatch, RuntimeError("broken"), {"cupy-cuda12x": "12.0"})
    assert get_device(None).name == "@numpy"


def test_no_cupy(monkeypatch: pytest.MonkeyPatch) -> None:
    error = ModuleNotFoundError("No module named 'cupy'", name="cupy")
    fake_failed_import(monkeypatch, error, {})
    assert get_message(3) == f"GPU 3 can't be used: CuPy is not installed; {INSTALL}"


def test_two_cupys(monkeypatch: pytest.MonkeyPatch) -> None:
    expected = (
        "GPU 0 can't be used: 2 packages of CuPy are installed, cupy-cuda12x and cupy-cuda13x, which "
        f"overwrite each other; pip uninstall cupy-cuda12x cupy-cuda13x, then {INSTALL}"
    )
    both = {"cupy-cuda13x": "14.2.0", "cupy-cuda12x": "13.6.0"}
    fake_failed_import(monkeypatch, ImportError("undefined symbol"), both)
    assert get_message() == expected
    fake_cupy(monkeypatch)
    monkeypatch.setattr(devices, "_find_installed", lambda: both)
    assert get_message() == expected


def test_old_cupy(monkeypatch: pytest.MonkeyPatch) -> None:
    expected = f"GPU 0 can't be used: CuPy 12.3.0 is too old, vdprune needs 13 or later; {INSTALL}"
    error = AttributeError("module 'numpy' has no attribute 'product'")
    fake_failed_import(monkeypatch, error, {"cupy-cuda12x": "12.3.0"})
    assert get_message() == expected
    fake_cupy(monkeypatch, version="12.3.0")
    assert get_message() == expected


@pytest.mark.parametrize(
    ("name", "version", "trouble"),
    [
        (
            "cupy-cuda12x",
            "14.2.0",
            "cuBLAS is missing, which CuPy 14.2.0 needs; pip install nvidia-cublas-cu12 (or all it "
            "needs: '.[cuda12]' in vdprune's folder)",
        ),
        (
            "cupy-cuda13x",
            "14.2.0",
            "cuBLAS is missing, which CuPy 14.2.0 needs; pip install 'nvidia-cublas>=13,<14' (or all "
            "it needs: '.[cuda13]' in vdprune's folder)",
        ),
        (
            "cupy-cuda12x",
            "13.6.0",
            "cuBLAS is missing, which CuPy 13.6.0 needs; get CuPy 14 and all it needs with pip "
            "install -U '.[cuda12]' 'cupy-cuda12x>=14' 'numpy>=2' in vdprune's folder, or install the "
            "CUDA toolkit of CUDA 12, its lib64 in LD_LIBRARY_PATH",
        ),
        (
            "cupy-cuda11x",
            "13.6.0",
            "cuBLAS is missing, which CuPy 13.6.0 needs; install the CUDA toolkit of CUDA 11, its "
            "lib64 in LD_LIBRARY_PATH",
        ),
        (
            "cupy",
            "14.2.0",
            "cuBLAS is missing, which CuPy 14.2.0 needs; install the CUDA toolkit that it was built "
            "for, its lib64 in LD_LIBRARY_PATH",
        ),
    ],
)
def test_no_cublas(monkeypatch: pytest.MonkeyPatch, name: str, version: str, trouble: str) -> None:
    error = ImportError(NO_CUBLAS[version[:2]])
    fake_failed_import(monkeypatch, error, {name: version})
    assert get_trouble() == trouble


def test_cupy_that_fails_to_import_for_another_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    """CuPy wraps the reason in 14 lines, of which the first is a rule."""
    reason = ImportError("libstdc++.so.6: version `GLIBCXX_3.4.99' not found\nmore")
    wrapped = ImportError(f"\n{'=' * 64}\nFailed to import CuPy.\n{reason}\n{'=' * 64}\n")
    wrapped.__cause__ = reason
    fake_failed_import(monkeypatch, wrapped, {"cupy-cuda12x": "14.2.0"})
    assert get_trouble() + ", or leave --gpu out to run on the CPU" == (
        "CuPy 14.2.0 can't be imported (libstdc++.so.6: version `GLIBCXX_3.4.99' not found); pip "
        f"uninstall cupy-cuda12x, then {INSTALL}"
    )


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (ImportError(f"\n{'=' * 64}\nFailed to import CuPy.\n"), "(Failed to import CuPy.)"),
        (
            ImportError("libcublas.so.12: undefined symbol: x"),
            "(libcublas.so.12: undefined symbol: x)",
        ),
        (AssertionError(), "(AssertionError)"),
    ],
)
def test_first_line_of_the_reason(
    monkeypatch: pytest.MonkeyPatch, error: Exception, text: str
) -> None:
    fake_failed_import(monkeypatch, error, {"cupy-cuda12x": "14.2.0"})
    assert f"CuPy 14.2.0 can't be imported {text}; " in get_message()


def test_package_of_cupy_without_the_module(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is left of one CuPy when the other of two is uninstalled."""
    error = ModuleNotFoundError("No module named 'cupy'", name="cupy")
    fake_failed_import(monkeypatch, error, {"cupy-cuda12x": "14.2.0"})
    assert get_trouble().startswith(
        "CuPy 14.2.0 can't be imported (No module named 'cupy'); pip uninstall cupy-cuda12x, then "
    )


@pytest.mark.parametrize(
    ("runtime", "trouble"),
    [
        (
            FakeRuntime(error=NO_DRIVER, driver=0),
            "CuPy 14.2.0 is there, but NVIDIA's driver is missing; install it (in a container: start "
            "that with access to the GPUs), until nvidia-smi shows the GPU",
        ),
        (
            FakeRuntime(error=NO_DRIVER, driver=11080),
            "NVIDIA's driver supports CUDA 11.8, too old for CuPy 14.2.0, made for CUDA 12; install a "
            "newer driver, or pip uninstall cupy-cuda12x and pip install '.[cuda11]' in vdprune's "
            "folder",
        ),
        (
            FakeRuntime(error=NO_DRIVER, driver=10020),
            "NVIDIA's driver supports CUDA 10.2, too old for CuPy 14.2.0, made for CUDA 12; install a "
            "newer driver",
        ),
        (
            FakeRuntime(error="cudaErrorNoDevice: no CUDA-capable device is detected"),
            "NVIDIA's driver finds no GPU; see whether nvidia-smi shows one, and whether "
            "CUDA_VISIBLE_DEVICES hides it",
        ),
        (
            FakeRuntime(error="cudaErrorSystemNotReady: system not yet initialized"),
            "cudaErrorSystemNotReady: system not yet initialized; see whether nvidia-smi shows it",
        ),
    ],
)
def test_trouble_with_the_driver(
    monkeypatch: pytest.MonkeyPatch, runtime: FakeRuntime, trouble: str
) -> None:
    fake_cupy(monkeypatch, runtime)
    assert get_trouble() == trouble


def test_old_driver_and_cupy_from_source(monkeypatch: pytest.MonkeyPatch) -> None:
    fake_cupy(monkeypatch, FakeRuntime(error=NO_DRIVER, driver=11080), name="cupy")
    assert get_trouble() == (
        "NVIDIA's driver supports CUDA 11.8, too old for CuPy 14.2.0; install a newer driver"
    )


@pytest.mark.parametrize("gpu", [2, -1])
def test_wrong_number(monkeypatch: pytest.MonkeyPatch, gpu: int) -> None:
    fake_cupy(monkeypatch, FakeRuntime(count=2))
    assert get_message(gpu) == (
        f"there is no GPU {gpu}: this machine has 2, counted from 0; give one of them with --gpu, or "
        "leave it out to run on the CPU"
    )


@pytest.mark.parametrize(
    ("missing", "name", "version", "trouble"),
    [
        (
            "nvrtc",
            "cupy-cuda12x",
            "14.2.0",
            "NVRTC, CUDA's run-time compiler, is missing, which CuPy 14.2.0 needs; pip install "
            "nvidia-cuda-nvrtc-cu12 (or all it needs: '.[cuda12]' in vdprune's folder)",
        ),
        (
            "headers",
            "cupy-cuda12x",
            "14.2.0",
            "the header files of CUDA's runtime are missing, which CuPy 14.2.0 needs; pip install "
            "nvidia-cuda-runtime-cu12 (or all it needs: '.[cuda12]' in vdprune's folder)",
        ),
        (
            "headers",
            "cupy-cuda12x",
            "13.6.0",
            "the header files of CUDA's runtime are missing, which CuPy 13.6.0 needs; get CuPy 14 and "
            "all it needs with pip install -U '.[cuda12]' 'cupy-cuda12x>=14' 'numpy>=2' in vdprune's "
            "folder, or install the CUDA toolkit of CUDA 12 and set CUDA_PATH to its folder",
        ),
        (
            "curand",
            "cupy-cuda13x",
            "14.2.0",
            "cuRAND is missing, which CuPy 14.2.0 needs; pip install 'nvidia-curand>=10.4,<11' (or "
            "all it needs: '.[cuda13]' in vdprune's folder)",
        ),
    ],
)
def test_library_that_is_found_missing_only_when_it_is_needed(
    monkeypatch: pytest.MonkeyPatch, missing: str, name: str, version: str, trouble: str
) -> None:
    fake_cupy(monkeypatch, missing=missing, name=name, version=version)
    assert get_trouble() == trouble


@pytest.mark.parametrize("fails", [False, True])
def test_device_is_made_the_current_one(monkeypatch: pytest.MonkeyPatch, fails: bool) -> None:
    used = []

    def use() -> None:
        if fails:
            raise CUDARuntimeError("cudaErrorDevicesUnavailable: all CUDA-capable devices are busy")
        used.append(1)

    def get(name: str) -> Any:
        return SimpleNamespace(name=name, use=use)

    fake_cupy(monkeypatch, FakeRuntime(count=2))
    monkeypatch.setattr("chainer.get_device", get)
    if fails:
        assert get_trouble(1) == (
            "cudaErrorDevicesUnavailable: all CUDA-capable devices are busy; see whether nvidia-smi "
            "shows it ready and free"
        )
    else:
        assert get_device(1).name == "@cupy:1"
        assert used == [1]


def test_installed_packages_are_found_by_their_metadata(
    monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("packages")
    for name, version in (("CuPy_cuda11x", "13.6.0"), ("cupy-xarray", "0.1"), ("amd_cupy", "14.0")):
        info = folder / f"{name.replace('-', '_')}-{version}.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
    monkeypatch.setattr("sys.path", [str(folder)])
    assert devices._find_installed() == {"cupy-cuda11x": "13.6.0", "amd-cupy": "14.0"}
