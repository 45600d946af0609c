"""``F.max_pooling_2d`` is the same as Chainer's own, and only where it can be does the kernel do it."""

from typing import Any

import chainer.functions as F
import numpy
import pytest
from chainer import Variable, gradient_check
from chainer.functions.pooling.max_pooling_nd import MaxPoolingND, MaxPoolingNDGrad

from vdprune import kernels


def pool_with_chainer(x: numpy.ndarray, g: Any, *arguments: Any) -> tuple[Any, Any, Any]:
    function = MaxPoolingND(2, *arguments)
    (y,) = MaxPoolingND.forward_cpu.__wrapped__(function, (x,))
    gradient = MaxPoolingNDGrad(function)
    (g_x,) = MaxPoolingNDGrad.forward_cpu.__wrapped__(
        gradient, (g[: len(y), :, : y.shape[2], : y.shape[3]],)
    )
    return y, function.indexes, g_x


@pytest.mark.parametrize(
    "arguments",
    [(2,), (2, 2, 0, False), (3, 2, 1), ((2, 3), (1, 2), (1, 1)), (5, 1, 2), ((1, 4), 3, 0, False)],
    ids=str,
)
@pytest.mark.parametrize("dtype", ["f4", "f8"])
def test_it_is_chainers(arguments: Any, dtype: str) -> None:
    array = numpy.random.randint(-3, 3, (2, 3, 9, 8)).astype(dtype)
    array[0, 0, 1] = numpy.nan
    g = numpy.random.randn(2, 3, 20, 20).astype(dtype)
    y, positions, g_x = pool_with_chainer(array, g, *arguments)
    x = Variable(array)
    mine, my_positions = F.max_pooling_2d(x, *arguments, return_indices=True)
    mine.grad = g[:, :, : mine.shape[2], : mine.shape[3]]
    mine.backward()
    numpy.testing.assert_array_equal(mine.array, y)
    numpy.testing.assert_array_equal(my_positions, positions)
    numpy.testing.assert_allclose(x.grad, g_x, rtol=1e-5, atol=1e-6)
    assert (mine.dtype, my_positions.dtype) == (dtype, positions.dtype)


def test_first_and_second_derivative() -> None:
    x = numpy.random.permutation(2 * 36.0 * numpy.ones(72).cumsum()).reshape(1, 2, 6, 6)
    gradient_check.check_backward(
        lambda x: F.max_pooling_2d(x, 2), x, numpy.random.randn(1, 2, 3, 3), dtype="d"
    )
    gradient_check.check_double_backward(
        lambda x: F.max_pooling_2d(x, 2) ** 2,
        x / 1000,
        numpy.random.randn(1, 2, 3, 3),
        numpy.random.randn(1, 2, 6, 6),
        dtype="d",
        eps=1e-5,
    )


def test_what_the_kernel_cannot_do_is_left_to_chainer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kernels.pooling, "max_pool", None)
    assert F.max_pooling_2d(numpy.ones((1, 1, 4, 4), "f2"), 2).shape == (1, 1, 2, 2)
    assert F.max_pooling_3d(numpy.ones((1, 1, 4, 4, 4), "f4"), 2).shape == (1, 1, 2, 2, 2)
    with pytest.raises(AssertionError):
        F.max_pooling_2d(numpy.ones((1, 1, 1, 1), "f4"), 3, 1, cover_all=False)
