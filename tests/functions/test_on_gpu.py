"""The fused functions on a GPU, against those on the CPU, in float64."""

import sys
from collections.abc import Callable
from typing import Any

import chainer
import chainer.functions as F
import numpy
import pytest
from chainer import Variable

from vdprune import kernels
from vdprune.errors import ArgumentError
from vdprune.functions import (
    cross_entropy,
    joint_objective,
    variational_dropout_convolution_2d,
    variational_dropout_linear,
)
from vdprune.functions.cuda_variational_dropout_convolution_2d import (
    CudaVariationalDropoutConvolution2D,
)
from vdprune.functions.variational_layer import Alive

pytestmark = pytest.mark.gpu

Function = Callable[..., tuple[Variable, Variable]]


def run(
    function: Function, arrays: list[numpy.ndarray], noise: numpy.ndarray | None, device: Any
) -> list[Any]:
    """Return both results and the gradients of all arrays, of both results together."""
    numpy.random.seed(3)
    variables = [Variable(device.send(array)) for array in arrays]
    y, divergence = function(*variables, noise=noise if noise is None else device.send(noise))
    weights = numpy.random.RandomState(4).randn(*y.shape).astype(y.dtype)
    objective = F.sum(y * device.send(weights)) + 0.3 * divergence
    objective.backward()
    results = [y.array, divergence.array, *(v.grad for v in variables)]
    return [chainer.get_device("@numpy").send(array) for array in results]


def assert_same_on_both(
    function: Function,
    arrays: list[numpy.ndarray],
    noise: numpy.ndarray | None,
    gpu: Any,
    tolerance: float,
) -> None:
    expected = run(function, arrays, noise, chainer.get_device("@numpy"))
    found = run(function, arrays, noise, gpu)
    for mine, theirs in zip(found, expected, strict=True):
        numpy.testing.assert_allclose(mine, theirs, rtol=0, atol=tolerance * abs(theirs).max())


def make_weights(shape: tuple[int, ...]) -> list[numpy.ndarray]:
    W = numpy.random.randn(*shape) * 0.1
    return [W, numpy.log(W**2) + numpy.random.uniform(-9, 9, shape)]


noises = pytest.mark.parametrize("is_given", [True, False], ids=["given", "drawn"])
masks = pytest.mark.parametrize("mask_variance", [True, False])
OPTIONS: list[dict[str, Any]] = [{}, {"prior": "ard", "noise_scale": 0.3}]
options = pytest.mark.parametrize("options", OPTIONS, ids=str)
# draws are made in float32, the rest is done in float64
TOLERANCES = {True: 1e-12, False: 2e-6}


@noises
@masks
@pytest.mark.parametrize("nobias", [True, False])
@options
def test_linear(
    gpu: Any, options: dict[str, Any], nobias: bool, mask_variance: bool, is_given: bool
) -> None:
    arrays = [numpy.random.randn(13, 17), *make_weights((11, 17))]
    arrays += [] if nobias else [numpy.random.randn(11)]

    def function(x: Any, W: Any, log_sigma2: Any, b: Any = None, noise: Any = None) -> Any:
        return variational_dropout_linear(
            x, W, log_sigma2, b, mask_variance=mask_variance, noise=noise, **options
        )

    noise = numpy.random.randn(13, 11) if is_given else None
    assert_same_on_both(function, arrays, noise, gpu, TOLERANCES[is_given])


def test_linear_of_several_batch_axes(gpu: Any) -> None:
    arrays = [numpy.random.randn(2, 3, 5), *make_weights((4, 5)), numpy.random.randn(4)]

    def function(x: Any, W: Any, log_sigma2: Any, b: Any, noise: Any) -> Any:
        return variational_dropout_linear(x, W, log_sigma2, b, n_batch_axes=2, noise=noise)

    assert_same_on_both(function, arrays, numpy.random.randn(2, 3, 4), gpu, 1e-12)


@noises
def test_linear_of_what_is_alive(gpu: Any, is_given: bool) -> None:
    alive = Alive(numpy.array([1, 3, 4, 8]), numpy.array([0, 2, 5, 16]), (11, 17))
    arrays = [numpy.random.randn(13, 17), *make_weights((4, 4)), numpy.random.randn(11)]

    def function(x: Any, W: Any, log_sigma2: Any, b: Any, noise: Any) -> Any:
        return variational_dropout_linear(x, W, log_sigma2, b, noise=noise, alive=alive)

    noise = numpy.random.randn(13, 11) if is_given else None
    assert_same_on_both(function, arrays, noise, gpu, TOLERANCES[is_given])


CONVOLUTIONS = {
    "plain": ({}, 4),
    "stride and pad": ({"stride": 2, "pad": 1}, 4),
    "pairs and dilation": ({"stride": (1, 2), "pad": (2, 1), "dilate": 2}, 4),
    "groups": ({"groups": 2}, 2),
    "ARD, less noise": ({"prior": "ard", "noise_scale": 0.3}, 4),
}


@noises
@pytest.mark.parametrize("name", CONVOLUTIONS)
@pytest.mark.parametrize("most_bytes", [1, 2**28], ids=["an image at a time", "all images"])
def test_convolution(
    gpu: Any, most_bytes: int, name: str, is_given: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = sys.modules[CudaVariationalDropoutConvolution2D.__module__]
    monkeypatch.setattr(module, "_MOST_BYTES", most_bytes)
    arguments, channels = CONVOLUTIONS[name]
    x = numpy.random.randn(3, 4, 9, 8)
    arrays = [x, *make_weights((6, channels, 3, 2)), numpy.random.randn(6)]

    def function(x: Any, W: Any, log_sigma2: Any, b: Any, noise: Any) -> Any:
        return variational_dropout_convolution_2d(x, W, log_sigma2, b, noise=noise, **arguments)

    shape = function(*arrays, noise=None)[0].shape
    noise = numpy.random.randn(*shape) if is_given else None
    assert_same_on_both(function, arrays, noise, gpu, TOLERANCES[is_given])


@noises
def test_convolution_of_what_is_alive(gpu: Any, is_given: bool) -> None:
    alive = Alive(numpy.array([1, 3, 5]), numpy.array([0, 2]), (6, 4))
    arrays = [numpy.random.randn(3, 4, 7, 6), *make_weights((3, 2, 3, 2)), numpy.random.randn(6)]

    def function(x: Any, W: Any, log_sigma2: Any, b: Any, noise: Any) -> Any:
        return variational_dropout_convolution_2d(x, W, log_sigma2, b, noise=noise, alive=alive)

    noise = numpy.random.randn(3, 6, 5, 5) if is_given else None
    assert_same_on_both(function, arrays, noise, gpu, TOLERANCES[is_given])


def test_cudnn_does_both_convolutions_where_it_is(
    gpu: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Through Chainer's own function, which calls cuDNN; the noise is given, so the results are one."""
    module = sys.modules[variational_dropout_convolution_2d.__module__]
    monkeypatch.setattr(module, "has_cudnn", lambda: True)
    called = []
    convolution = F.convolution_2d

    def convolution_2d(*args: Any, **kwargs: Any) -> Variable:
        called.append(args)
        return convolution(*args, **kwargs)

    monkeypatch.setattr(F, "convolution_2d", convolution_2d)
    arrays = [numpy.random.randn(2, 3, 5, 5), *make_weights((4, 3, 3, 3)), numpy.random.randn(4)]

    def function(x: Any, W: Any, log_sigma2: Any, b: Any, noise: Any) -> Any:
        return variational_dropout_convolution_2d(x, W, log_sigma2, b, noise=noise)

    assert_same_on_both(function, arrays, numpy.random.randn(2, 4, 3, 3), gpu, 1e-6)
    assert len(called) == 2


@pytest.mark.parametrize("output", [0, 1])
def test_gradient_of_one_of_the_two_results(gpu: Any, output: int) -> None:
    arrays = [numpy.random.randn(3, 5), *make_weights((4, 5))]
    noise = numpy.random.randn(3, 4)
    found = []
    for device in (chainer.get_device("@numpy"), gpu):
        variables = [Variable(device.send(array)) for array in arrays]
        result = variational_dropout_linear(*variables, noise=device.send(noise))[output]
        F.sum(result).backward()
        gradients = [variable.grad for variable in variables[1:]]
        found.append([chainer.get_device("@numpy").send(gradient) for gradient in gradients])
    numpy.testing.assert_allclose(found[1], found[0], rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("most", [10, 16], ids=["inputs", "outputs"])
def test_arrays_too_large_for_32_bits_go_another_way(
    gpu: Any, most: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("choice", "variational_dropout_linear"):
        monkeypatch.setattr(sys.modules[f"vdprune.functions.{name}"], "MOST_ON_GPU", most)
    monkeypatch.setattr(kernels.cuda, "sample", None)
    arrays = [numpy.random.randn(4, 3), *make_weights((5, 3))]

    def function(x: Any, W: Any, log_sigma2: Any, noise: Any) -> Any:
        return variational_dropout_linear(x, W, log_sigma2, noise=noise)

    assert_same_on_both(function, arrays, numpy.random.randn(4, 5), gpu, 1e-6)


def test_images_too_large_for_32_bits_go_another_way(
    gpu: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = sys.modules[variational_dropout_convolution_2d.__module__]
    monkeypatch.setattr(module, "MOST_ON_GPU", 100)
    monkeypatch.setattr(kernels.cuda, "unfold", None)
    arrays = [numpy.random.randn(2, 3, 5, 5), *make_weights((4, 3, 3, 3))]

    def function(x: Any, W: Any, log_sigma2: Any, noise: Any) -> Any:
        return variational_dropout_convolution_2d(x, W, log_sigma2, noise=noise)

    assert_same_on_both(function, arrays, numpy.random.randn(2, 4, 3, 3), gpu, 1e-6)


def test_a_batch_of_nothing_has_no_gradient(gpu: Any) -> None:
    W, log_sigma2 = map(Variable, map(gpu.send, make_weights((4, 3, 3, 3))))
    x = gpu.xp.zeros((0, 3, 5, 5))
    y, _ = variational_dropout_convolution_2d(x, W, log_sigma2)
    F.sum(y).backward()
    assert not W.grad.any()
    assert not log_sigma2.grad.any()


def test_draws_on_other_ways_depend_on_numpys_state_alone(gpu: Any) -> None:
    """In half precision, as Chainer's functions compute it."""
    arrays = [gpu.send(a.astype("f2")) for a in (numpy.ones((2, 3)), *make_weights((4, 3)))]
    drawn = []
    for seed in (1, 1, 2):
        numpy.random.seed(seed)
        gpu.xp.random.seed(len(drawn))
        drawn.append(variational_dropout_linear(*arrays)[0].array.get())
    numpy.testing.assert_array_equal(drawn[0], drawn[1])
    assert (drawn[0] != drawn[2]).any()


def test_many_logits_and_many_layers_go_another_way(
    gpu: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys.modules[cross_entropy.__module__], "_MOST_LOGITS", 5)
    monkeypatch.setattr(sys.modules[joint_objective.__module__], "_MOST_INPUTS", 2)
    for name in ("cross_entropy", "joint_objective"):
        monkeypatch.setattr(kernels.cuda, name, None)
    test_cross_entropy_and_joint_objective(gpu)


def test_no_second_derivatives(gpu: Any) -> None:
    arrays = [Variable(gpu.send(a)) for a in (numpy.ones((2, 3)), *make_weights((4, 3)))]
    y, _ = variational_dropout_linear(*arrays)
    with pytest.raises(ArgumentError, match="can't be differentiated twice"):
        chainer.grad([F.sum(y)], [arrays[1]], enable_double_backprop=True)


def test_cross_entropy_and_joint_objective(gpu: Any) -> None:
    logits, t = numpy.random.randn(9, 4), numpy.random.randint(-1, 4, 9).astype("i4")
    t[0] = -1
    found = []
    for device in (chainer.get_device("@numpy"), gpu):
        y = Variable(device.send(logits))
        divergences = [Variable(device.send(numpy.array(float(k)))) for k in (2, 3)]
        class_loss, accuracy = cross_entropy(y, device.send(t))
        loss, kl = joint_objective(class_loss, divergences, 0.5, 60, 1.0)
        loss.backward()
        results = [class_loss.array, accuracy, loss.array, kl.array]
        results += [y.grad, *(divergence.grad for divergence in divergences)]
        found.append([chainer.get_device("@numpy").send(result) for result in results])
    for mine, theirs in zip(found[1], found[0], strict=True):
        numpy.testing.assert_allclose(mine, theirs, rtol=1e-12, atol=1e-15)
