import sys
from typing import Any

import chainer
import chainer.functions as F
import numpy
import pytest
from chainer import Variable, gradient_check
from chainer.backends import cuda
from chainer.functions.connection.convolution_2d import Convolution2DFunction as ChainersFunction
from chainer.utils.type_check import InvalidType
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from vdprune import threads
from vdprune.errors import ArgumentError
from vdprune.functions import convolution_2d, convolution_products
from vdprune.functions.convolution_2d import Convolution2DFunction
from vdprune.threads import Team

MODULE = sys.modules[Convolution2DFunction.__module__]

sizes = st.tuples(st.integers(1, 9), st.integers(1, 9))
steps = st.tuples(st.integers(1, 3), st.integers(1, 3))


def make_inputs(
    x_shape: tuple[int, ...], W_shape: tuple[int, ...], has_bias: bool = True, dtype: str = "f8"
) -> list[numpy.ndarray]:
    shapes = [x_shape, W_shape, W_shape[:1]][: 3 if has_bias else 2]
    return [numpy.random.randn(*shape).astype(dtype) for shape in shapes]


def go_through(function: Any, arrays: list[numpy.ndarray], **arguments: Any) -> list[numpy.ndarray]:
    """Outputs, and gradients of all inputs for gradients of the outputs that are always the same."""
    variables = [Variable(array) for array in arrays]
    y = function(*variables, **arguments)
    y.grad = numpy.random.default_rng(0).standard_normal(y.shape).astype(y.dtype)
    y.backward()
    return [y.array, *(v.grad for v in variables)]


def assert_same_as_chainers(arrays: list[numpy.ndarray], **arguments: Any) -> None:
    expected = go_through(F.convolution_2d, arrays, **arguments)
    found = go_through(convolution_2d, arrays, **arguments)
    for one, other in zip(found, expected, strict=True):
        assert one.dtype == other.dtype
        tolerance = {"f": 1e-4, "d": 1e-10}[one.dtype.char]
        numpy.testing.assert_allclose(one, other, rtol=tolerance, atol=tolerance)


@pytest.fixture
def only_fused(monkeypatch: pytest.MonkeyPatch) -> None:
    """Chainer's own way is closed."""
    monkeypatch.setattr(MODULE, "F", None)


@pytest.fixture
def many_tasks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Small batches are cut, too: into two tasks, and these into blocks of an image."""
    monkeypatch.setattr(threads, "_LEAST_WORK", 1)
    monkeypatch.setattr(convolution_products, "_MOST_TASKS", 2)
    monkeypatch.setattr(convolution_products, "_BLOCK_BYTES", 1)


@given(
    images=st.integers(0, 4),
    channels=st.tuples(st.integers(1, 3), st.integers(1, 3)),
    groups=st.integers(1, 3),
    size=sizes,
    ksize=steps,
    stride=steps,
    pad=st.tuples(st.integers(0, 3), st.integers(0, 3)),
    dilate=steps,
    has_bias=st.booleans(),
    block_bytes=st.sampled_from([1, 2**12, 2**20]),
    dtype=st.sampled_from(["f4", "f8"]),
)
@settings(deadline=None)
def test_it_is_chainers(
    images: int,
    channels: tuple[int, int],
    groups: int,
    size: tuple[int, int],
    ksize: tuple[int, int],
    stride: tuple[int, int],
    pad: tuple[int, int],
    dilate: tuple[int, int],
    has_bias: bool,
    block_bytes: int,
    dtype: str,
) -> None:
    for n, k, p, d in zip(size, ksize, pad, dilate, strict=True):
        assume(n + 2 * p >= (k - 1) * d + 1)
    x_shape = images, groups * channels[0], *size
    W_shape = groups * channels[1], channels[0], *ksize
    arrays = make_inputs(x_shape, W_shape, has_bias, dtype)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(threads, "_LEAST_WORK", 1)
        patch.setattr(convolution_products, "_MOST_TASKS", 2)
        patch.setattr(convolution_products, "_BLOCK_BYTES", block_bytes)
        assert_same_as_chainers(arrays, stride=stride, pad=pad, dilate=dilate, groups=groups)


@pytest.mark.parametrize("has_bias", [False, True])
@pytest.mark.parametrize("pad", [0, 1, (2, 0)])
@pytest.mark.parametrize("size", [(3, 3), (6, 5), (7, 8)])
def test_winograds_way_is_chainers(
    many_tasks: None, size: tuple[int, int], pad: Any, has_bias: bool
) -> None:
    arrays = make_inputs((3, 16, *size), (17, 16, 3, 3), has_bias)
    assert_same_as_chainers(arrays, pad=pad)


@pytest.mark.parametrize(
    ("W_shape", "arguments"),
    [
        ((4, 2, 3, 3), {}),
        ((4, 2, 3, 2), {"stride": (1, 2), "pad": (2, 0)}),
        ((4, 1, 2, 2), {"dilate": 2, "groups": 2}),
        ((16, 16, 3, 3), {"pad": 1}),
    ],
    ids=str,
)
def test_gradient(
    only_fused: None, many_tasks: None, W_shape: tuple[int, ...], arguments: dict[str, Any]
) -> None:
    channels = W_shape[1] * arguments.get("groups", 1)
    arrays = make_inputs((2, channels, 6, 5), W_shape)
    shape = convolution_2d(*arrays, **arguments).shape
    gradient_check.check_backward(
        lambda *inputs: convolution_2d(*inputs, **arguments),
        tuple(arrays),
        numpy.random.randn(*shape),
        dtype="d",
        atol=1e-6,
    )


@pytest.mark.parametrize("W_shape", [(4, 2, 5, 5), (16, 16, 3, 3)])
def test_two_threads(
    only_fused: None, many_tasks: None, monkeypatch: pytest.MonkeyPatch, W_shape: tuple[int, ...]
) -> None:
    arrays = make_inputs((20, W_shape[1], 8, 7), W_shape, dtype="f4")
    counts: list[int] = []
    results = []
    for size in (1, 2):
        team = Team(size)
        share = team._run

        def count(tasks: Any, share: Any = share) -> list[Any]:
            counts.append(len(tasks))
            return share(tasks)

        monkeypatch.setattr(team, "_run", count)
        monkeypatch.setattr(MODULE, "get_team", lambda team=team: team)
        results.append(go_through(convolution_2d, arrays))
    assert len(counts) == 2 and min(counts) > 1  # forward and back
    for one, two in zip(*results, strict=True):
        numpy.testing.assert_array_equal(one, two)


@pytest.mark.parametrize("W_shape", [(4, 2, 3, 2), (16, 16, 3, 3)])
def test_arrays_that_are_not_contiguous(only_fused: None, W_shape: tuple[int, ...]) -> None:
    x, W, b = make_inputs((3, W_shape[1], 6, 5), W_shape)
    expected = go_through(convolution_2d, [x, W, b])
    strided = [numpy.repeat(x, 2, axis=3)[..., ::2], numpy.asfortranarray(W), b.repeat(2)[::2]]
    assert not any(array.flags.c_contiguous for array in strided)
    for one, other in zip(go_through(convolution_2d, strided), expected, strict=True):
        numpy.testing.assert_allclose(one, other, rtol=1e-12, atol=1e-12)


def test_gradient_of_the_outputs_that_is_not_contiguous(only_fused: None) -> None:
    """A sum's gradient is one number, spread out."""
    x, W, b = map(Variable, make_inputs((3, 2, 6, 5), (4, 2, 3, 2)))
    F.sum(convolution_2d(x, W, b)).backward()
    numpy.testing.assert_allclose(b.grad, numpy.full(4, 3 * 4 * 4))
    numpy.testing.assert_allclose(W.grad[0], W.grad[1])


def test_only_gradients_that_are_asked_for_are_computed(
    only_fused: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    x, W, b = make_inputs((3, 2, 6, 5), (4, 2, 3, 2))
    expected = go_through(convolution_2d, [x, W, b])
    monkeypatch.setattr(convolution_products.UnfoldedProducts, "inputs_gradient", None)
    found = go_through(lambda W, b: convolution_2d(x, W, b), [W, b])
    for one, other in zip(found, [expected[0], *expected[2:]], strict=True):
        numpy.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("requires_grad", [False, True])
def test_without_a_graph_nothing_is_kept(only_fused: None, requires_grad: bool) -> None:
    arrays = make_inputs((3, 2, 6, 5), (4, 2, 3, 2))
    expected = convolution_2d(*map(Variable, arrays))
    assert expected.creator.get_retained_inputs()
    inputs = [Variable(array, requires_grad=requires_grad) for array in arrays]
    with chainer.using_config("enable_backprop", not requires_grad):
        y = convolution_2d(*inputs)
    assert y.creator is None
    assert all(v.node.data is None for v in inputs)
    assert y.requires_grad == requires_grad
    numpy.testing.assert_array_equal(y.array, expected.array)


def test_arrays_stay_as_they_are(only_fused: None) -> None:
    arrays = make_inputs((3, 2, 6, 5), (4, 2, 3, 2))
    copies = [array.copy() for array in arrays]
    go_through(convolution_2d, arrays)
    for array, copy in zip(arrays, copies, strict=True):
        numpy.testing.assert_array_equal(array, copy)


def test_no_second_derivatives(only_fused: None) -> None:
    x, W = map(Variable, make_inputs((3, 2, 6, 5), (4, 2, 3, 2), has_bias=False))
    y = F.sum(convolution_2d(x, W))
    with pytest.raises(ArgumentError, match="can't be differentiated twice"):
        y.backward(enable_double_backprop=True)


@pytest.mark.parametrize("dtype", ["f2", ">f4"])
def test_other_dtypes_go_to_chainer(dtype: str) -> None:
    x, W = make_inputs((3, 2, 6, 5), (4, 2, 3, 2), has_bias=False, dtype=dtype)
    y = convolution_2d(Variable(x), W, pad=1)
    assert isinstance(y.creator, ChainersFunction)
    numpy.testing.assert_array_equal(y.array, F.convolution_2d(x, W, pad=1).array)


@pytest.mark.skipif(not cuda.available, reason="needs CuPy, or its stand-in")
def test_cupy_goes_to_chainer() -> None:
    x, W = map(cuda.to_gpu, make_inputs((3, 2, 6, 5), (4, 2, 3, 2), has_bias=False))
    y = convolution_2d(Variable(x), W)
    assert isinstance(y.creator, ChainersFunction)
    assert isinstance(y.array, cuda.ndarray)


@pytest.mark.parametrize(
    ("shapes", "arguments", "error"),
    [
        ([(2, 3, 6, 5), (4, 2, 3, 3)], {}, InvalidType),
        ([(2, 6, 5), (4, 2, 3, 3)], {}, InvalidType),
        ([(2, 2, 6, 5), (4, 2, 3)], {}, InvalidType),
        ([(2, 2, 6, 5), (4, 2, 3, 3), (3,)], {}, InvalidType),
        ([(2, 2, 6, 5), (4, 2, 3, 3), (4, 1)], {}, InvalidType),
        ([(2, 2, 6, 5), (3, 1, 3, 3)], {"groups": 2}, ValueError),
        ([(2, 2, 6, 5), (4, 2, 7, 7)], {}, AssertionError),
        ([(2, 2, 6, 5), (4, 2, 3, 3)], {"pad": (1, -1)}, ValueError),
        ([(2, 2, 6, 5), (4, 2, 3, 3)], {"stride": (1, 0)}, ZeroDivisionError),
        ([(2, 2, 6, 5), (4, 2, 7, 7)], {"stride": -1}, ValueError),
        ([(2, 2, 6, 5), (4, 2, 3, 3)], {"dilate": (0, 1)}, ValueError),
    ],
    ids=str,
)
def test_chainer_refuses_what_does_not_fit(
    shapes: list[tuple[int, ...]], arguments: dict[str, Any], error: type[Exception]
) -> None:
    arrays = [numpy.random.randn(*shape) for shape in shapes]
    with pytest.raises(error) as expected:
        F.convolution_2d(*arrays, **arguments)
    with pytest.raises(error) as found:
        convolution_2d(*arrays, **arguments)
    assert str(found.value) == str(expected.value)


@pytest.mark.parametrize("arguments", [{}, {"pad": (2, 1), "dilate": (1, 2)}], ids=str)
def test_weights_that_are_zero(only_fused: None, arguments: dict[str, Any]) -> None:
    """They are left out where no gradients are wanted; where some are, theirs are as any others'."""
    x, W, b = make_inputs((3, 2, 8, 7), (4, 2, 3, 2))
    W *= numpy.random.random(W.shape) < 0.1
    assert_same_as_chainers([x, W, b], **arguments)
    ways = []
    with pytest.MonkeyPatch.context() as patch, chainer.no_backprop_mode():
        choose = convolution_products.choose_products
        patch.setattr(MODULE, "choose_products", lambda *a: ways.append(choose(*a)) or ways[-1])
        y = convolution_2d(x, W, b, **arguments)
    assert isinstance(ways[0], convolution_products.SparseProducts)
    expected = F.convolution_2d(x, W, b, **arguments)
    numpy.testing.assert_allclose(y.array, expected.array, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("has_bias", [False, True])
@pytest.mark.parametrize("arguments", [{}, {"pad": (2, 1), "dilate": (1, 2)}], ids=str)
def test_gradients_of_weights_that_are_kept(
    only_fused: None, many_tasks: None, arguments: dict[str, Any], has_bias: bool
) -> None:
    """What is masked has no gradient, and is not multiplied."""
    arrays = make_inputs((3, 2, 8, 7), (4, 2, 3, 2), has_bias)
    kept = numpy.random.random(arrays[1].shape) < 0.1
    kept[0, 0, 0, 0] = True
    arrays[1] *= kept
    expected = go_through(F.convolution_2d, arrays, **arguments)
    expected[2] *= kept
    ways = []
    with pytest.MonkeyPatch.context() as patch:
        choose = convolution_products.choose_products
        patch.setattr(MODULE, "choose_products", lambda *a: ways.append(choose(*a)) or ways[-1])
        found = go_through(convolution_2d, arrays, **arguments, kept=kept)
    assert isinstance(ways[0], convolution_products.SparseProducts)
    for one, other in zip(found, expected, strict=True):
        numpy.testing.assert_allclose(one, other, rtol=1e-10, atol=1e-12)
