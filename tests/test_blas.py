import pytest
from threadpoolctl import threadpool_limits

from tests.test_threads import blas_threads
from vdprune.blas import OneBlasThread, find_blas_libraries


def test_libraries_have_one_thread_inside_and_as_many_as_before_after_it() -> None:
    assert find_blas_libraries()
    with threadpool_limits(2, "blas"):
        with pytest.raises(ZeroDivisionError), OneBlasThread():
            assert blas_threads() == {1}
            raise ZeroDivisionError
        assert blas_threads() == {2}
