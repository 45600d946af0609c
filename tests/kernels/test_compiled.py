import hashlib
from pathlib import Path
from typing import Any

import numba
import numpy
import pytest

from vdprune.kernels import compiled as module
from vdprune.kernels import cpu


def double(x: Any) -> None:
    for i in range(x.size):
        x[i] *= 2


def test_is_kept_on_disk() -> None:
    function = module.compiled(double)
    assert type(function._cache).__name__ == "FunctionCache"


def test_works_where_nothing_can_be_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    def njit(cache: bool = False, **options: Any) -> Any:
        if cache:
            raise RuntimeError("cannot cache function 'double': no locator available")
        return numba.njit(**options)

    monkeypatch.setattr(module, "njit", njit)
    x = numpy.arange(3.0)
    function = module.compiled(double)
    function(x)
    assert x.tolist() == [0, 2, 4]
    assert type(function._cache).__name__ == "NullCache"


def test_what_is_kept_on_disk_goes_when_another_file_changes() -> None:
    folder = Path(cpu.__file__).parent
    texts = [(folder / f"{name}.py").read_bytes() for name in ("constants", "vector_math")]
    digest = hashlib.sha256(b"".join(texts)).hexdigest()[:16]
    assert digest == cpu._TAKEN_FROM_ELSEWHERE, f"set it to {digest!r}"
