import numpy
import pytest
from threadpoolctl import threadpool_info

from vdprune import threads
from vdprune.errors import ArgumentError
from vdprune.threads import limited_threads


def blas_threads() -> set[int]:
    return {pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas"}


def test_the_limit_holds_inside() -> None:
    numpy.ones((2, 2)).dot(numpy.ones((2, 2)))
    before = blas_threads()
    with limited_threads(1):
        assert blas_threads() == {1}
    assert blas_threads() == before


@pytest.mark.parametrize("count", [0, -1, 10**6])
def test_threads_that_are_not_there_are_refused(count: int) -> None:
    with pytest.raises(ArgumentError, match=f"threads is {count}: this machine lets us have 1 to"):
        limited_threads(count)


@pytest.mark.parametrize(("processors", "expected"), [(1, 1), (2, 2), (64, 2)])
def test_two_threads_are_the_default(
    monkeypatch: pytest.MonkeyPatch, processors: int, expected: int
) -> None:
    monkeypatch.setattr(threads, "_available_processors", lambda: processors)
    with limited_threads():
        assert blas_threads() == {expected}
