"""The BLAS libraries of this process, and how many threads they use."""

import importlib
import importlib.util
import sys
from importlib.machinery import PathFinder
from pathlib import Path
from typing import Any

# What compiled kernels call: Numba asks for it by this name.
_KERNELS_BLAS = "scipy.linalg.cython_blas"

_libraries: list[Any] = []


def find_blas_libraries() -> list[Any]:
    """List the libraries that NumPy and compiled kernels multiply matrices with."""
    from threadpoolctl import ThreadpoolController

    _load_kernels_blas()  # or the first product would, when libraries have been counted
    return ThreadpoolController().select(user_api="blas").lib_controllers


def _load_kernels_blas() -> None:
    """Import it, without all else of its package, which takes a fifth of a second, if that works."""
    import scipy

    folder = str(Path(scipy.__file__).parent / "linalg")
    spec = PathFinder.find_spec(_KERNELS_BLAS, [folder])
    if spec is not None and spec.loader is not None and not _is_imported():
        module = importlib.util.module_from_spec(spec)
        sys.modules[_KERNELS_BLAS] = module
        try:
            spec.loader.exec_module(module)
        except ImportError:
            del sys.modules[_KERNELS_BLAS]
    importlib.import_module(_KERNELS_BLAS)


def _is_imported() -> bool:
    return _KERNELS_BLAS in sys.modules or "scipy.linalg" in sys.modules


class OneBlasThread:
    """Context that holds the BLAS libraries to one thread, at the cost of a few calls of theirs."""

    def __enter__(self) -> None:
        if not _libraries:
            _libraries.extend(find_blas_libraries())
        self._changed: list[tuple[Any, int]] = []
        for library in _libraries:
            count = library.get_num_threads()
            if count != 1:
                self._changed.append((library, count))
                library.set_num_threads(1)

    def __exit__(self, *error: object) -> None:
        for library, count in self._changed:
            library.set_num_threads(count)
