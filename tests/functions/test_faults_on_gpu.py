"""Faults planted in the kernels for GPUs are found by the comparison with the CPU."""

from collections.abc import Callable
from typing import Any

import chainer
import numpy
import pytest
from chainer.backends import cuda

from tests.conftest import wants_real_gpu
from tests.functions.test_on_gpu import Function, assert_same_on_both, make_weights
from vdprune.functions import variational_dropout_convolution_2d, variational_dropout_linear
from vdprune.kernels.cuda import activations, text, weights

pytestmark = pytest.mark.gpu


def linear(x: Any, W: Any, log_sigma2: Any, b: Any, noise: Any) -> Any:
    return variational_dropout_linear(x, W, log_sigma2, b, noise=noise)


def convolution(x: Any, W: Any, log_sigma2: Any, b: Any, noise: Any) -> Any:
    return variational_dropout_convolution_2d(x, W, log_sigma2, b, noise=noise)


def compare(function: Function, gpu: Any) -> None:
    numpy.random.seed(0)
    shapes: tuple[tuple[int, ...], ...] = ((13, 17), (11, 17), (13, 11))
    if function is convolution:
        shapes = (2, 3, 5, 5), (4, 3, 3, 3), (2, 4, 3, 3)
    x, noise = numpy.random.randn(*shapes[0]), numpy.random.randn(*shapes[2])
    b = numpy.random.randn(shapes[1][0])
    assert_same_on_both(function, [x, *make_weights(shapes[1]), b], noise, gpu, 1e-12)


ELEMENTWISE = {
    "a wrong sign": ("through_variance - (T)2", "through_variance + (T)2", linear),
    "a term left out": ("value + bias", "value", linear),
    "a wrong factor": ("value = products[at] + (T)2", "value = products[at] + (T)1", linear),
    "a wrong index": ("columns[column * batch + row] = value;", "columns[at] = value;", linear),
    "what nobody writes": ("rows[batch * width + at] = value * value;", "", linear),
    "an image's edge": ("from_y / sy >= oh", "from_y / sy >= oh - 1", convolution),
    "a half too early": ("columns[half + index]", "columns[half + index - 1]", convolution),
    "beyond the end": ("parts[half + index]", "parts[half + index + 1]", convolution),
}


@pytest.mark.parametrize("name", ELEMENTWISE)
def test_in_elementwise_kernels(gpu: Any, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    old, new, function = ELEMENTWISE[name]
    elementwise, changed = cuda.elementwise, []

    def make(in_params: str, out_params: str, operation: str, *rest: Any, **kwargs: Any) -> Any:
        changed.append(operation.count(old))
        return elementwise(in_params, out_params, operation.replace(old, new), *rest, **kwargs)

    monkeypatch.setattr(cuda, "elementwise", make)
    with pytest.raises((AssertionError, IndexError)):
        compare(function, gpu)
    assert sum(changed)


RAW: dict[str, tuple[Any, str, str]] = {
    "a wrong constant": (weights, "(T)0.5 * log1p", "(T)0.4 * log1p"),
    "a sum of blocks without the last": (weights, "i < gridDim.x; i +=", "i < gridDim.x - 1; i +="),
    "a mask left out": (weights, "is_cut ? (T)0 : w", "w"),
    "a missing barrier": (activations, "__syncthreads();", ""),
    "a thread's part of a sum": (activations, f"k < {8}", "k < 7"),
}


@pytest.mark.parametrize("name", RAW)
def test_in_kernels_of_cuda(
    gpu: Any, name: str, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> None:
    if name == "a missing barrier" and wants_real_gpu(request.config):
        pytest.skip("threads may happen to run in the right order")
    module, old, new = RAW[name]
    changed = []

    def make(code: str, *rest: Any) -> Any:
        changed.append(code.count(old))
        return text.raw_kernel(code.replace(old, new), *rest)

    monkeypatch.setattr(module, "raw_kernel", make)
    with pytest.raises(AssertionError):
        compare(linear, gpu)
    assert sum(changed)


def give_noise_of_numpy(gpu: Any) -> None:
    x, W, log_sigma2 = map(gpu.send, (numpy.ones((3, 5)), *make_weights((4, 5))))
    variational_dropout_linear(x, W, log_sigma2, noise=numpy.ones((3, 4)))


def give_inputs_of_numpy(gpu: Any) -> None:
    W, log_sigma2 = map(gpu.send, make_weights((4, 5)))
    variational_dropout_linear(numpy.ones((3, 5)), W, log_sigma2)


def give_inputs_of_another_gpu(gpu: Any) -> None:
    W, log_sigma2 = map(gpu.send, make_weights((4, 5)))
    x = chainer.get_device("@cupy:1").send(numpy.ones((3, 5)))
    variational_dropout_linear(x, W, log_sigma2)


@pytest.mark.parametrize(
    "function",
    [give_noise_of_numpy, give_inputs_of_numpy, give_inputs_of_another_gpu],
    ids=lambda function: function.__name__,
)
def test_arrays_in_the_wrong_place(
    gpu: Any, function: Callable[[Any], None], request: pytest.FixtureRequest
) -> None:
    if function is give_inputs_of_another_gpu and wants_real_gpu(request.config):
        pytest.skip("GPUs may have access to each other's memory")
    with pytest.raises((TypeError, ValueError)):
        function(gpu)
