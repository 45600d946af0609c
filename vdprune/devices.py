"""The device that a network runs on."""

import contextlib
import importlib.metadata
import re
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import chainer
from chainer.backend import Device
from chainer.backends import cuda

from vdprune.errors import DeviceError

_OLDEST_CUPY = 13
_FIRST_WITH_WHEELS = 14  # of NVIDIA's libraries, which it finds by itself
_ELSE = "or leave --gpu out to run on the CPU"
_EXTRAS = (
    "pip install '.[cuda12]' in vdprune's folder (cuda11 or cuda13 in its place, if that is the CUDA "
    "version that nvidia-smi shows)"
)


class _Library(NamedTuple):
    """A part of CUDA that CuPy loads, and NVIDIA's wheel of it."""

    name: str
    wheel: str
    bounds: str = ">=13,<14"  # of the wheel for CUDA 13, whose name doesn't say it
    is_missing: str = "is missing"


_CUBLAS = _Library("cuBLAS", "nvidia-cublas")
_CURAND = _Library("cuRAND", "nvidia-curand", ">=10.4,<11")
_NVRTC = _Library("NVRTC, CUDA's run-time compiler,", "nvidia-cuda-nvrtc")
_HEADERS = _Library(
    "the header files of CUDA's runtime", "nvidia-cuda-runtime", is_missing="are missing"
)


def get_device(gpu: int | None) -> Device:
    """Find a device.

    Args:
        gpu: Number of the GPU; None for the CPU.

    Returns:
        Chainer's device.

    Raises:
        DeviceError: There is no such GPU, or no CuPy to use it with.
    """
    if gpu is None:
        return chainer.get_device("@numpy")
    trouble = _find_trouble_with_cupy() or _find_trouble_with_driver()
    if trouble:
        raise DeviceError(f"GPU {gpu} can't be used: {trouble}, {_ELSE}")
    count = cuda.cupy.cuda.runtime.getDeviceCount()
    if not 0 <= gpu < count:
        raise DeviceError(
            f"there is no GPU {gpu}: this machine has {count}, counted from 0; give one of them "
            "with --gpu, or leave it out to run on the CPU"
        )
    trouble = _find_missing_library()
    if trouble:
        raise DeviceError(f"GPU {gpu} can't be used: {trouble}, {_ELSE}")
    device = chainer.get_device(f"@cupy:{gpu}")
    try:
        device.use()
    except cuda.cupy.cuda.runtime.CUDARuntimeError as error:
        raise DeviceError(
            f"GPU {gpu} can't be used: {_first_line(error)}; see whether nvidia-smi shows it ready "
            f"and free, {_ELSE}"
        ) from error
    return device


def _find_trouble_with_cupy() -> str | None:
    """Say what is wrong with CuPy, and what to do; None where it is there and whole."""
    installed = _find_installed()
    error = getattr(cuda, "_resolution_error", None)
    if not cuda.available and not installed and getattr(error, "name", "cupy") == "cupy":
        return f"CuPy is not installed; {_EXTRAS}"
    if len(installed) > 1:
        return (
            f"{len(installed)} packages of CuPy are installed, {' and '.join(sorted(installed))}, "
            f"which overwrite each other; pip uninstall {' '.join(sorted(installed))}, then {_EXTRAS}"
        )
    version = _get_version()
    if version and _get_major(version) < _OLDEST_CUPY:
        return f"{_name_cupy()} is too old, vdprune needs {_OLDEST_CUPY} or later; {_EXTRAS}"
    if cuda.available:
        return None
    reason = _first_line(error)
    if "cublas" in reason.lower() and re.search("(?i)no such file|not found|cannot open", reason):
        return _say_missing(_CUBLAS)
    return (
        f"{_name_cupy()} can't be imported ({reason}); pip uninstall "
        f"{next(iter(installed), 'cupy')}, then {_EXTRAS}"
    )


def _find_trouble_with_driver() -> str | None:
    """Say what is wrong with NVIDIA's driver, and what to do; None where it counts the GPUs."""
    runtime = cuda.cupy.cuda.runtime
    try:
        runtime.getDeviceCount()
    except runtime.CUDARuntimeError as error:
        if "cudaErrorNoDevice" in str(error):
            return (
                "NVIDIA's driver finds no GPU; see whether nvidia-smi shows one, and whether "
                "CUDA_VISIBLE_DEVICES hides it"
            )
        if "cudaErrorInsufficientDriver" not in str(error):
            return f"{_first_line(error)}; see whether nvidia-smi shows it"
        driver = runtime.driverGetVersion()
        if not driver:
            return (
                f"{_name_cupy()} is there, but NVIDIA's driver is missing; install it (in a "
                "container: start that with access to the GPUs), until nvidia-smi shows the GPU"
            )
        major, minor = driver // 1000, driver % 1000 // 10
        cupy = _get_cuda_version()
        other = ""
        if cupy is not None and 11 <= major < cupy:
            (name,) = _find_installed()
            other = (
                f", or pip uninstall {name} and pip install '.[cuda{major}]' in vdprune's folder"
            )
        return (
            f"NVIDIA's driver supports CUDA {major}.{minor}, too old for {_name_cupy()}"
            f"{f', made for CUDA {cupy}' if cupy else ''}; install a newer driver{other}"
        )
    return None


def _find_missing_library() -> str | None:
    """Say which part of CUDA is missing that CuPy loads only when it first needs it."""
    cupy = cuda.cupy
    nvrtc = getattr(cupy.cuda, "nvrtc", None)
    if nvrtc is not None:
        try:
            nvrtc.getVersion()
        except Exception:  # of a class that each version of CuPy has another of
            return _say_missing(_NVRTC)
    # CuPy's own search for the headers; private, so it may be gone from a later CuPy
    core = getattr(getattr(cupy, "_core", None), "core", None)
    find_headers = getattr(core, "assemble_cupy_compiler_options", None)
    if find_headers is not None:
        try:
            find_headers(())
        except RuntimeError:
            return _say_missing(_HEADERS)
    try:
        getattr(cupy.cuda, "curand", None)  # imports it
    except ImportError:
        return _say_missing(_CURAND)
    return None


def _say_missing(library: _Library) -> str:
    cupy, version = _get_cuda_version(), _get_version()
    found = f"{library.name} {library.is_missing}, which {_name_cupy()} needs"
    toolkit = f"the CUDA toolkit{f' of CUDA {cupy}' if cupy else ' that it was built for'}"
    if library is _HEADERS:
        toolkit += " and set CUDA_PATH to its folder"
    else:
        toolkit += ", its lib64 in LD_LIBRARY_PATH"
    if cupy is None or cupy < 12:
        return f"{found}; install {toolkit}"
    if _get_major(version) < _FIRST_WITH_WHEELS:
        return (
            f"{found}; get CuPy {_FIRST_WITH_WHEELS} and all it needs with pip install -U "
            f"'.[cuda{cupy}]' 'cupy-cuda{cupy}x>=14' 'numpy>=2' in vdprune's folder, or install "
            f"{toolkit}"
        )
    wheel = f"{library.wheel}-cu12" if cupy == 12 else f"'{library.wheel}{library.bounds}'"
    return f"{found}; pip install {wheel} (or all it needs: '.[cuda{cupy}]' in vdprune's folder)"


def _find_installed() -> dict[str, str]:
    """List the installed packages that bring the module ``cupy``, with their versions."""
    found = {}
    for distribution in importlib.metadata.distributions():
        name = (distribution.metadata["Name"] or "").lower().replace("_", "-")
        if re.fullmatch(r"(amd-)?cupy|cupy-(cuda|rocm).+", name):
            found[name] = distribution.version
    return found


def _name_cupy() -> str:
    return f"CuPy {_get_version()}".rstrip()


def _get_version() -> str:
    """CuPy's version; empty where neither the module nor one package tells it."""
    version = getattr(cuda.cupy, "__version__", None)
    return version or next(iter(_find_installed().values()), "")


def _get_major(version: str) -> int:
    found = re.match(r"\d+", version)
    return int(found[0]) if found else 0


def _get_cuda_version() -> int | None:
    """The CUDA version that the installed CuPy is made for, if its package's name says it."""
    for name in _find_installed():
        found = re.fullmatch(r"cupy-cuda(\d\d)[x\d]", name)
        if found:
            return int(found[1])
    return None


def _first_line(error: Any) -> str:
    """The first line of the error at the bottom of a chain; CuPy wraps the one that tells in many."""
    while getattr(error, "__cause__", None) is not None:
        error = error.__cause__
    lines = [line.strip() for line in str(error).splitlines() if line.strip(" =\t")]
    return lines[0] if lines else type(error).__name__


@contextlib.contextmanager
def gpu_errors(advice: str = "", kept: Callable[[], str] = lambda: "") -> Iterator[None]:
    """Turn what CuPy raises when a GPU fails into errors of ours.

    Args:
        advice: What else than freeing memory helps where it runs out.
        kept: Says what is not lost; asked when it is needed.

    Returns:
        Context that raises DeviceError in the place of CuPy's errors.
    """
    try:
        yield
    except Exception as error:
        if not is_gpu_error(error):
            raise
        reason = _first_line(error)
        if isinstance(error, MemoryError):
            trouble = (
                f"the GPU is out of memory ({reason.rstrip('.')}): free what other programs hold of it, "
                f"which nvidia-smi shows{advice}"
            )
        else:
            trouble = f"the GPU failed ({reason}): see whether nvidia-smi still shows it"
        raise DeviceError(trouble + kept()) from error


def is_gpu_error(error: BaseException) -> bool:
    """Tell whether an error is one that CuPy raises when a GPU, or a library of its, fails.

    Args:
        error: The error.

    Returns:
        Whether its class is one of CuPy's own.
    """
    return type(error).__module__.partition(".")[0] in ("cupy", "cupy_backends")
