"""Compiling the text of kernels with g++ and loading the result, once per text and machine."""

import ctypes
import functools
import hashlib
import os
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path

from cupy._errors import CompileException

_HEADERS = ("_device_code.h", "_device_math.h", "_device_threads.h")
_OPTIONS = (
    "-std=c++17",
    "-O1",
    "-finline-small-functions",
    "-ffp-contract=off",  # else results would differ from NumPy's
    "-fPIC",
    "-w",
    "-U_FORTIFY_SOURCE",  # it takes a jump from one fiber to another for an attack
)


def load_library(text: str, name: str, options: Sequence[str] = ()) -> ctypes.CDLL:
    """Compile a text, or find what has been compiled before.

    Args:
        text: C++ which begins without the header of the device code.
        name: Name of the kernel, for messages.
        options: More options for the compiler.

    Returns:
        The library. Python's lock is held during its functions, which are not for several threads.

    Raises:
        CompileException: The text is not right.
        RuntimeError: There is no compiler.
    """
    folder = _prepare_headers()
    key = hashlib.sha256("\0".join((text, *options)).encode()).hexdigest()[:32]
    library = folder / f"{key}.so"
    if not library.exists():
        source = folder / f"{key}.{os.getpid()}.cpp"
        source.write_text(f'#include "_device_code.h"\n{text}')
        _run_compiler(source, library, name, (*options, "-shared", f"-I{folder}"))
        source.unlink()
    return ctypes.PyDLL(str(library))


def _run_compiler(source: Path, result: Path, name: str, options: Sequence[str]) -> None:
    """Compile into a file that other processes see only when it is complete."""
    unfinished = result.with_name(f"{result.name}.{os.getpid()}")
    command = ["g++", *_OPTIONS, *options, "-o", unfinished, source]
    run = subprocess.run(command, capture_output=True, text=True)
    if run.returncode:
        raise CompileException(f"kernel {name} does not compile:\n{run.stderr[:4000]}")
    unfinished.replace(result)


@functools.cache
def _get_compiler_version() -> str:
    try:
        command = ["g++", "-dumpfullversion", "-dumpmachine"]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout
    except (OSError, subprocess.CalledProcessError) as error:
        raise RuntimeError(
            "the tests of the GPU path need a C++ compiler named g++: install one, as in "
            "apt-get install g++"
        ) from error


@functools.cache
def _prepare_headers() -> Path:
    """Copy the headers to a folder for them and this compiler, and precompile them there."""
    texts = {name: Path(__file__).with_name(name).read_text() for name in _HEADERS}
    described = "\0".join((*texts.values(), *_OPTIONS, _get_compiler_version()))
    key = hashlib.sha256(described.encode()).hexdigest()[:16]
    folder = Path(tempfile.gettempdir()) / f"vdprune-stand-in-{os.getuid()}" / key
    precompiled = folder / f"{_HEADERS[0]}.gch"
    if not precompiled.exists():
        folder.mkdir(parents=True, exist_ok=True)
        for name, text in texts.items():
            unfinished = folder / f"{name}.{os.getpid()}"
            unfinished.write_text(text)
            unfinished.replace(folder / name)
        _run_compiler(folder / _HEADERS[0], precompiled, _HEADERS[0], ("-x", "c++-header"))
    return folder
