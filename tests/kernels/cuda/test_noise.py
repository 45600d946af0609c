"""Standard normal numbers on a GPU."""

from typing import Any

import numpy
import pytest

from tests.kernels import reference
from vdprune import kernels

pytestmark = pytest.mark.gpu


@pytest.mark.parametrize("shape", [(), (3,), (2, 5), (4, 4)])
def test_normals_are_a_function_of_the_key(gpu: Any, shape: tuple[int, ...]) -> None:
    """Number k + q * j, q being a quarter of all, is the draw j of counter k."""
    drawn = kernels.cuda.normals(shape, "f8", (5, 4_000_000_000)).get()
    size = int(numpy.prod(shape))
    quarter = -(-size // 4)
    # the columns of the reference are counters, its rows the four draws of each
    expected = reference.normals(4, list(range(quarter)), (5, 4_000_000_000))
    numpy.testing.assert_allclose(drawn.ravel(), expected.ravel()[:size], rtol=2e-6, atol=2e-6)


def test_normals_are_normal(gpu: Any) -> None:
    drawn = kernels.cuda.normals((100_000,), "f4", (1, 2)).get()
    assert abs(drawn.mean()) < 0.02
    assert abs(drawn.std() - 1) < 0.02
    assert abs((drawn > 1.96).mean() - 0.025) < 0.003
