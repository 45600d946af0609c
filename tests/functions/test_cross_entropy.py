from typing import Any

import chainer.functions as F
import numpy
import pytest
from chainer import Variable, gradient_check

from vdprune import kernels
from vdprune.errors import ArgumentError
from vdprune.functions import cross_entropy


def make_batch(dtype: str = "f4") -> tuple[numpy.ndarray, numpy.ndarray]:
    return 3 * numpy.random.randn(20, 5).astype(dtype), numpy.random.randint(0, 5, 20).astype("i4")


@pytest.mark.parametrize("dtype", ["f2", "f4", "f8"])
def test_it_is_chainers(dtype: str) -> None:
    y, t = make_batch(dtype)
    mine, theirs = Variable(y), Variable(y)
    loss, accuracy = cross_entropy(mine, t)
    expected = F.softmax_cross_entropy(theirs, t)
    tolerance = {"f2": 1e-2, "f4": 1e-6, "f8": 1e-13}[dtype]
    assert (loss.dtype, accuracy.dtype) == (dtype, dtype)
    assert float(loss.array) == pytest.approx(float(expected.array), rel=tolerance)
    assert float(accuracy) == pytest.approx(float(F.accuracy(y, t).array))
    loss.backward()
    expected.backward()
    numpy.testing.assert_allclose(mine.grad, theirs.grad, rtol=tolerance, atol=tolerance)


def test_gradient() -> None:
    y, t = make_batch("f8")
    gradient_check.check_backward(
        lambda y: cross_entropy(y, t)[0], y, numpy.array(0.7), dtype="d", atol=1e-6
    )


def test_the_kernel_does_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(F, "softmax_cross_entropy", None)
    cross_entropy(*make_batch())


def test_labels_that_do_not_count() -> None:
    y, t = make_batch()
    t[::3] = -1
    loss, accuracy = cross_entropy(y, t)
    assert float(loss.array) == pytest.approx(float(F.softmax_cross_entropy(y, t).array))
    counted = t >= 0
    assert float(accuracy) == pytest.approx((y.argmax(axis=1) == t)[counted].mean())


def label_per_pixel() -> tuple[Any, Any]:
    return numpy.random.randn(2, 3, 4, 4).astype("f4"), numpy.zeros((2, 4, 4), "i4")


def test_other_shapes_are_left_to_chainer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kernels.cpu, "cross_entropy", None)
    y, t = label_per_pixel()
    loss, _ = cross_entropy(y, t)
    assert float(loss.array) == pytest.approx(float(F.softmax_cross_entropy(y, t).array))


@pytest.mark.parametrize(
    ("t", "message"),
    [
        (
            numpy.zeros(19, "i4"),
            r"labels are int32 of shape \(19,\), the logits have shape \(20, 5\)",
        ),
        (numpy.zeros((20, 1), "i4"), r"give labels as int32, of shape \(20,\)"),
        (numpy.zeros(20), "the labels are float64"),
        (numpy.full(20, 9, "i4"), "a label 9, the logits are of 5 classes: labels go from 0 to 4"),
        (numpy.full(20, -2, "i4"), "a label -2, the logits"),
    ],
    ids=["too few", "two axes", "floats", "no class", "negative"],
)
def test_labels_that_do_not_fit_are_refused(t: numpy.ndarray, message: str) -> None:
    y, _ = make_batch()
    with pytest.raises(ArgumentError, match=message):
        cross_entropy(y, t)


def test_logits_of_one_axis_are_refused() -> None:
    with pytest.raises(
        ArgumentError, match=r"logits have shape \(5,\): they must have \(batch, cl"
    ):
        cross_entropy(numpy.zeros(5, "f4"), numpy.zeros(5, "i4"))


def test_labels_of_pixels_and_wide_ones_are_chainers() -> None:
    y, t = numpy.random.randn(2, 5, 3, 4).astype("f4"), numpy.random.randint(-1, 5, (2, 3, 4))
    loss, _ = cross_entropy(y, t.astype("i8"))
    expected = F.softmax_cross_entropy(y, t.astype("i8"))
    assert float(loss.array) == float(expected.array)
