"""The BLAS libraries of this process, and how many threads they use."""

from typing import Any

_libraries: list[Any] = []


def find_blas_libraries() -> list[Any]:
    """List the libraries that NumPy and compiled kernels multiply matrices with."""
    import scipy.linalg.cython_blas  # noqa: F401  the kernels' one, which is loaded on its first use
    from threadpoolctl import ThreadpoolController

    return ThreadpoolController().select(user_api="blas").lib_controllers


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
