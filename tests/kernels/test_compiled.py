from typing import Any

import numba
import numpy
import pytest

from vdprune.kernels import compiled as module


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
