from typing import Any

import numpy
import pytest
from chainer import Variable, gradient_check
from chainer.backends import cuda
from scipy.special import log_softmax

from vdprune.errors import ArgumentError
from vdprune.functions import distillation


def make_logits(dtype: str = "f8", size: float = 3.0) -> tuple[numpy.ndarray, numpy.ndarray]:
    y, teacher = size * numpy.random.randn(2, 20, 5)
    return y.astype(dtype), teacher.astype(dtype)


def expected_divergence(y: Any, teacher: Any, temperature: float) -> float:
    log_q = log_softmax(y.astype("f8") / temperature, axis=1)
    log_p = log_softmax(teacher.astype("f8") / temperature, axis=1)
    return temperature**2 * (numpy.exp(log_p) * (log_p - log_q)).sum(axis=1).mean()


@pytest.mark.parametrize("temperature", [0.5, 1, 3.0])
@pytest.mark.parametrize("dtype", ["f2", "f4", "f8"])
def test_it_is_the_formula(dtype: str, temperature: float) -> None:
    y, teacher = make_logits(dtype)
    loss = distillation(y, teacher, temperature)
    assert (loss.shape, loss.dtype) == ((), dtype)
    tolerance = {"f2": 1e-2, "f4": 1e-5, "f8": 1e-12}[dtype]
    assert float(loss.array) == pytest.approx(
        expected_divergence(y, teacher, temperature), rel=tolerance
    )


@pytest.mark.parametrize("temperature", [1.0, 4.0])
def test_gradient(temperature: float) -> None:
    y, teacher = make_logits()
    gradient_check.check_backward(
        lambda y: distillation(y, teacher, temperature), y, numpy.array(0.7), dtype="d", atol=1e-6
    )


def test_gradient_goes_through_y_only() -> None:
    y, teacher = map(Variable, make_logits("f4"))
    distillation(y, teacher, 2.0).backward()
    assert teacher.grad is None
    assert (y.grad.shape, y.grad.dtype) == (y.shape, y.dtype)


def test_arrays_stay_as_they_are() -> None:
    y, teacher = make_logits("f4")
    before = y.copy(), teacher.copy()
    loss = distillation(Variable(y), teacher, 2.0)
    loss.backward()
    numpy.testing.assert_array_equal((y, teacher), before)


def test_the_teacher_itself_has_nothing_to_learn() -> None:
    _, teacher = make_logits("f4")
    y = Variable(teacher.copy())
    loss = distillation(y, teacher, 3.0)
    loss.backward()
    assert float(loss.array) == 0
    assert not y.grad.any()


@pytest.mark.parametrize("dtype", ["f4", "f8"])
def test_extreme_logits(dtype: str) -> None:
    signs = numpy.random.choice([-1.0, 0.0, 1.0], (2, 30, 4))
    y, teacher = (1e4 * signs).astype(dtype)
    variable = Variable(y)
    loss = distillation(variable, teacher, 1.0)
    loss.backward()
    assert float(loss.array) == pytest.approx(expected_divergence(y, teacher, 1.0), rel=1e-5)
    assert numpy.isfinite(variable.grad).all()


def test_a_teacher_of_higher_precision() -> None:
    y, teacher = make_logits()
    variable = Variable(y.astype("f4"))
    loss = distillation(variable, teacher, 2.0)
    loss.backward()
    assert (loss.dtype, variable.grad.dtype) == ("f4", "f4")
    assert float(loss.array) == pytest.approx(expected_divergence(y, teacher, 2.0), rel=1e-5)


@pytest.mark.skipif(not cuda.available, reason="needs CuPy, or its stand-in")
def test_cupy_is_numpy() -> None:
    y, teacher = make_logits()
    expected, found = Variable(y), Variable(cuda.to_gpu(y))
    on_cpu = distillation(expected, teacher, 3.0)
    on_gpu = distillation(found, cuda.to_gpu(teacher), 3.0)
    on_cpu.backward()
    on_gpu.backward()
    assert isinstance(on_gpu.array, cuda.ndarray)
    assert float(on_gpu.array) == pytest.approx(float(on_cpu.array), rel=1e-12)
    numpy.testing.assert_allclose(cuda.to_cpu(found.grad), expected.grad, atol=1e-12)
    with pytest.raises(ArgumentError, match="different devices"):
        distillation(found, teacher, 3.0)


ROWS = numpy.zeros((4, 3), "f4")


@pytest.mark.parametrize(
    ("y", "teacher", "temperature", "message"),
    [
        (ROWS, ROWS[:3], 1.0, r"teacher_logits have shape \(3, 3\), y \(4, 3\)"),
        (ROWS, ROWS[:, :1], 1.0, "teacher with as many classes"),
        (ROWS[0], ROWS[0], 1.0, r"of shape \(3,\): distillation takes"),
        (ROWS[:0], ROWS[:0], 1.0, r"of shape \(0, 3\)"),
        (ROWS.astype("i4"), ROWS, 1.0, "array of int32"),
        (ROWS, ROWS, 0.0, "temperature is 0.0: it must be a finite number above 0"),
        (ROWS, ROWS, -1.0, "temperature"),
        (ROWS, ROWS, float("inf"), "temperature"),
        (ROWS, ROWS, float("nan"), "temperature"),
    ],
)
def test_wrong_input(y: Any, teacher: Any, temperature: float, message: str) -> None:
    with pytest.raises(ArgumentError, match=message):
        distillation(y, teacher, temperature)
