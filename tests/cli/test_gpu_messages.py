"""`--gpu` where there is no GPU, and CuPy where nobody asked for it: in new processes, as users."""

import ctypes
import importlib.metadata
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.conftest import run_vdprune

Prepare = Callable[[str], Path]
Message = Callable[[], str]

START = "vdprune: error: GPU 0 can't be used: "
INSTALL = (
    "pip install '.[cuda12]' in vdprune's folder (cuda11 or cuda13 in its place, if that is the CUDA "
    "version that nvidia-smi shows), or leave --gpu out to run on the CPU\n"
)
# Python runs a sitecustomize.py that is on its path before anything else.
WITHOUT_CUPY = """
import importlib.metadata, sys
distributions = importlib.metadata.distributions
importlib.metadata.distributions = lambda **named: (
    d for d in distributions(**named) if "cupy" not in d.metadata["Name"].lower()
)
class Finder:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ("cupy", "cupyx"):
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
sys.meta_path.insert(0, Finder())
"""
ON_LIBRARIES = """
import importlib.machinery, sys, types
class Finder:
    def find_spec(self, name, path=None, target=None):
        if name != "cupy_backends.cuda.libs":
            return None
        spec = importlib.machinery.PathFinder.find_spec(name, path, target)
        load = spec.loader.exec_module
        def exec_module(module):
            load(module)
            change(module)
        spec.loader.exec_module = exec_module
        return spec
sys.meta_path.insert(0, Finder())
"""
WITHOUT_CUBLAS = f"""{ON_LIBRARIES}
def change(module):
    find = module.__getattr__
    def __getattr__(name):
        if name == "cublas":
            missing = "libcublasLt.so.13 or libcublasLt.so.12"
            raise ImportError(f'Failure finding "{{missing}}": No such file: {{missing}}\\n')
        return find(name)
    module.__getattr__ = __getattr__
"""
WITH_CUBLAS = f"""{ON_LIBRARIES}
def change(module):
    module.cublas = types.ModuleType("cupy_backends.cuda.libs.cublas")
"""


def find_cupy() -> str:
    try:
        return importlib.metadata.version("cupy-cuda12x")
    except importlib.metadata.PackageNotFoundError:
        return ""


def has_driver() -> bool:
    try:
        ctypes.CDLL("libcuda.so.1")
    except OSError:
        return False
    return True


with_cupy = pytest.mark.skipif(
    not find_cupy().startswith("14."), reason="needs cupy-cuda12x 14: pip install '.[test]'"
)
without_driver = pytest.mark.skipif(has_driver(), reason="NVIDIA's driver is installed")


@pytest.fixture
def prepare(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Prepare:
    """Let Python run some code before vdprune; returns the folder that the code is in."""

    def prepare(code: str) -> Path:
        folder = tmp_path_factory.mktemp("site")
        (folder / "sitecustomize.py").write_text(code)
        monkeypatch.setenv("PYTHONPATH", str(folder), prepend=os.pathsep)
        return folder

    return prepare


@pytest.fixture(params=["train", "eval"])
def message(request: pytest.FixtureRequest, trained: Path, tmp_path: Path) -> Message:
    """Run a command on GPU 0, see that it fails with one line and writes nothing; returns the line."""
    command = {"train": ("train",), "eval": ("eval", trained / "checkpoint.h5")}[request.param]

    def message() -> str:
        result = run_vdprune(*command, "--gpu", 0, cwd=tmp_path)
        assert (result.returncode, result.stdout) == (1, "")
        assert result.stderr.count("\n") == 1
        assert list(tmp_path.iterdir()) == []
        return result.stderr

    return message


def test_no_cupy(prepare: Prepare, message: Message) -> None:
    prepare(WITHOUT_CUPY)
    assert message() == f"{START}CuPy is not installed; {INSTALL}"


@pytest.mark.parametrize(
    "command", [("train", "--dataset", "nothing"), ("eval", "nothing.h5")], ids=["train", "eval"]
)
def test_it_is_complained_of_first(
    prepare: Prepare, command: tuple[str, ...], tmp_path: Path
) -> None:
    prepare(WITHOUT_CUPY)
    result = run_vdprune(*command, "--gpu", 0, cwd=tmp_path)
    assert result.stderr == f"{START}CuPy is not installed; {INSTALL}"


@with_cupy
def test_no_cublas(prepare: Prepare, message: Message) -> None:
    prepare(WITHOUT_CUBLAS)
    assert message() == (
        f"{START}cuBLAS is missing, which CuPy {find_cupy()} needs; pip install nvidia-cublas-cu12 (or "
        "all it needs: '.[cuda12]' in vdprune's folder), or leave --gpu out to run on the CPU\n"
    )


@with_cupy
@without_driver
def test_no_driver(prepare: Prepare, message: Message) -> None:
    prepare(WITH_CUBLAS)
    assert message() == (
        f"{START}CuPy {find_cupy()} is there, but NVIDIA's driver is missing; install it (in a "
        "container: start that with access to the GPUs), until nvidia-smi shows the GPU, or leave "
        "--gpu out to run on the CPU\n"
    )


@with_cupy
def test_two_cupys(prepare: Prepare, message: Message) -> None:
    info = prepare(WITH_CUBLAS) / "cupy_cuda11x-13.6.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: cupy-cuda11x\nVersion: 13.6.0\n")
    assert message() == (
        f"{START}2 packages of CuPy are installed, cupy-cuda11x and cupy-cuda12x, which overwrite each "
        f"other; pip uninstall cupy-cuda11x cupy-cuda12x, then {INSTALL}"
    )


@with_cupy
@pytest.mark.parametrize("code", [WITH_CUBLAS, WITHOUT_CUBLAS])
def test_cupy_is_not_heard_of_on_the_cpu(
    prepare: Prepare, tiny_npz: Path, tmp_path: Path, code: str
) -> None:
    """Neither NCCL, nor cuDNN, nor a driver is there, and nobody asked."""
    prepare(code)
    warnings = {"PYTHONWARNINGS": "default"}
    for command in (
        ("train", "--dataset", tiny_npz, "--epochs", 1, "--quiet"),
        ("eval", "checkpoint.h5", "--quiet"),
        ("prune", "--quiet"),
        ("export", "--quiet"),
    ):
        result = run_vdprune(*command, cwd=tmp_path, env=warnings)
        assert (result.returncode, result.stderr) == (0, "")
