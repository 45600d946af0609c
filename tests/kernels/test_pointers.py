"""Addresses of arrays, and arrays at addresses."""

from typing import Any

import numpy
import pytest

from vdprune.kernels.addresses import get_address
from vdprune.kernels.compiled import compiled
from vdprune.kernels.pointers import array_at


@compiled
def add_up(address: int, rows: int, columns: int, like: Any) -> float:
    return float(array_at(address, (rows, columns), like)[1].sum())


@pytest.mark.parametrize("dtype", ["f4", "f8", "i4", "i8"])
def test_an_array_is_found_by_its_address(dtype: str) -> None:
    array = numpy.arange(12).astype(dtype).reshape(3, 4)
    assert add_up(get_address(array), 3, 4, array) == 4 + 5 + 6 + 7
    assert add_up(get_address(array[1:]), 2, 4, array) == 8 + 9 + 10 + 11


def test_addresses() -> None:
    array = numpy.arange(6.0)
    frozen = array.copy()
    frozen.flags.writeable = False
    for case in (array, array[2:], array.reshape(2, 3), frozen, numpy.zeros((0, 3)), array[::-1]):
        assert get_address(case) == case.ctypes.data
