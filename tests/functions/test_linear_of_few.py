from typing import Any

import chainer
import chainer.functions as F
import numpy
import pytest
from chainer import Variable
from hypothesis import given
from hypothesis import strategies as st

from vdprune.functions import linear_of_few
from vdprune.links import VariationalDropoutLinear


def make_arrays(
    batch: int, inputs: int, outputs: int, density: float, dtype: str = "f8"
) -> tuple[Any, Any, Any]:
    random = numpy.random.default_rng(0)
    W = random.standard_normal((outputs, inputs)).astype(dtype)
    W *= random.random(outputs)[:, None] < density
    W *= random.random(inputs) < density
    x = random.standard_normal((batch, inputs)).astype(dtype)
    return x, W, random.standard_normal(outputs).astype(dtype)


@given(
    sizes=st.tuples(st.integers(0, 5), st.integers(1, 9), st.integers(1, 9)),
    density=st.sampled_from([0.0, 0.3, 0.7, 1.0]),
    has_biases=st.booleans(),
    dtype=st.sampled_from(["f4", "f8"]),
)
def test_results_are_those_of_chainers(
    sizes: tuple[int, int, int], density: float, has_biases: bool, dtype: str
) -> None:
    x, W, b = make_arrays(*sizes, density, dtype)
    with chainer.no_backprop_mode():
        for given_x in (x, Variable(x)):
            y = linear_of_few(given_x, Variable(W), Variable(b) if has_biases else None)
            expected = F.linear(x, W, b if has_biases else None)
            assert y.dtype == expected.dtype
            numpy.testing.assert_allclose(y.array, expected.array, rtol=1e-4, atol=1e-5)


def test_what_no_weight_reads_is_not_multiplied() -> None:
    x, W, b = make_arrays(4, 9, 6, 0.3)
    is_read = W.any(axis=0)
    assert is_read.any() and not is_read.all()
    x[:, ~is_read] = numpy.nan
    with chainer.no_backprop_mode():
        assert numpy.isfinite(linear_of_few(x, W, b).array).all()
        assert numpy.isnan(F.linear(x, W, b).array).all()


def test_images_are_flattened() -> None:
    x, W, b = make_arrays(4, 12, 6, 0.3)
    with chainer.no_backprop_mode():
        y = linear_of_few(x.reshape(4, 3, 2, 2), W, b)
    numpy.testing.assert_allclose(y.array, x @ W.T + b)


@pytest.mark.parametrize("shape", [(4, 8), (2, 2, 13)])
def test_chainer_refuses_inputs_that_do_not_fit(shape: tuple[int, ...]) -> None:
    _, W, b = make_arrays(4, 12, 6, 0.3)
    with chainer.no_backprop_mode(), pytest.raises(chainer.utils.type_check.InvalidType):
        linear_of_few(numpy.zeros(shape), W, b)


@pytest.mark.parametrize("shape", [(2, 3), (6, 1)])
def test_more_batch_axes(shape: tuple[int, int]) -> None:
    x, W, b = make_arrays(6, 12, 6, 0.3)
    with chainer.no_backprop_mode():
        y = linear_of_few(x.reshape(*shape, 12), W, b, n_batch_axes=2)
    numpy.testing.assert_allclose(y.array, (x @ W.T + b).reshape(*shape, 6))


def test_there_are_gradients_where_there_is_a_graph() -> None:
    x, W, b = make_arrays(4, 9, 6, 0.3)
    W = Variable(W)
    F.sum(linear_of_few(x, W, b)).backward()
    numpy.testing.assert_allclose(W.grad, numpy.tile(x.sum(axis=0), (6, 1)))


@pytest.mark.parametrize("has_biases", [False, True])
@pytest.mark.parametrize("dtype", ["f4", "f8"])
def test_gradients_of_weights_that_are_kept(
    monkeypatch: pytest.MonkeyPatch, dtype: str, has_biases: bool
) -> None:
    arrays = make_arrays(4, 9, 6, 0.3, dtype)[: 3 if has_biases else 2]
    kept = arrays[1] != 0
    assert kept.any()
    images = arrays[0].reshape(4, 1, 3, 3)
    expected = go_through(F.linear, images, *arrays[1:])
    monkeypatch.delattr(F, "linear")  # is not needed
    found = go_through(linear_of_few, images, *arrays[1:], kept=kept)
    expected[2] *= kept
    found[2] *= kept  # the others' are not wanted
    for one, other in zip(found, expected, strict=True):
        assert one.dtype == other.dtype and one.shape == other.shape
        numpy.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-5)


def test_only_gradients_that_are_asked_for() -> None:
    x, W, b = make_arrays(4, 9, 6, 0.3)
    expected = go_through(linear_of_few, x, W, b, kept=W != 0)
    found = go_through(lambda b: linear_of_few(x, W, b, kept=W != 0), b)
    numpy.testing.assert_array_equal(found[1], expected[3])


def go_through(function: Any, *arrays: Any, **arguments: Any) -> list[Any]:
    """Outputs, and gradients of all inputs for gradients of the outputs that are always the same."""
    variables = [Variable(array) for array in arrays]
    y = function(*variables, **arguments)
    y.grad = numpy.random.default_rng(0).standard_normal(y.shape).astype(y.dtype)
    y.backward()
    return [y.array, *(v.grad for v in variables)]


def test_a_layer_in_evaluation(monkeypatch: pytest.MonkeyPatch) -> None:
    layer = VariationalDropoutLinear(20, 10)
    layer.log_sigma2.array[...] = 9
    layer.log_sigma2.array[2, 3] = -9
    x = numpy.random.default_rng(0).random((5, 20), "f4")
    expected = numpy.zeros((5, 10), "f4")
    expected[:, 2] = x[:, 3] * layer.W.array[2, 3]
    monkeypatch.delattr(F, "linear")  # is not needed
    with chainer.using_config("train", False), chainer.no_backprop_mode():
        numpy.testing.assert_allclose(layer(x).array, expected + layer.b.array, rtol=1e-6)
