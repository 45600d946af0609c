"""From logits to the joint objective on a GPU, and what is noted on the way."""

from typing import Any

import numpy
import pytest

from tests.kernels import reference
from vdprune import kernels

pytestmark = pytest.mark.gpu


@pytest.mark.parametrize(("rows", "classes"), [(1, 1), (7, 3), (300, 10)])
def test_cross_entropy(gpu: Any, rows: int, classes: int) -> None:
    y = numpy.random.randn(rows, classes) * 5
    t = numpy.random.randint(0, classes, rows).astype("i4")
    loss, accuracy, gradient = kernels.cuda.cross_entropy(gpu.xp.asarray(y), gpu.xp.asarray(t))
    total, right, expected = reference.cross_entropy(y, t)
    assert float(loss) == pytest.approx(total / rows, rel=1e-13)
    assert float(accuracy) == right / rows
    numpy.testing.assert_allclose(gradient.get(), expected / rows, rtol=1e-12, atol=1e-15)


def test_cross_entropy_leaves_out_labels_that_do_not_count(gpu: Any) -> None:
    y, t = numpy.random.randn(6, 4), numpy.array([0, -1, 2, 3, -1, 1], "i4")
    loss, accuracy, gradient = kernels.cuda.cross_entropy(gpu.xp.asarray(y), gpu.xp.asarray(t))
    total, right, expected = reference.cross_entropy(y[t >= 0], t[t >= 0])
    assert float(loss) == pytest.approx(total / 4)
    assert float(accuracy) == right / 4
    numpy.testing.assert_allclose(gradient.get()[t >= 0], expected / 4)
    assert not gradient.get()[t < 0].any()


@pytest.mark.parametrize("largest", [100, 1000])
def test_cross_entropy_of_large_logits_does_not_cancel(gpu: Any, largest: float) -> None:
    y, t = numpy.array([[largest, largest - 12, 0]], "f4"), numpy.array([0], "i4")
    loss = float(kernels.cuda.cross_entropy(gpu.xp.asarray(y), gpu.xp.asarray(t))[0])
    assert loss == pytest.approx(numpy.log1p(numpy.exp(-12.0)), rel=0.02)


@pytest.mark.parametrize("label", [-2, 4])
def test_cross_entropy_of_what_is_no_class_is_no_number(gpu: Any, label: int) -> None:
    y, t = numpy.random.randn(3, 4), numpy.array([0, label, 2], "i4")
    assert numpy.isnan(float(kernels.cuda.cross_entropy(gpu.xp.asarray(y), gpu.xp.asarray(t))[0]))


@pytest.mark.parametrize("count", [1, 3])
def test_joint_objective(gpu: Any, count: int) -> None:
    divergences = [gpu.xp.asarray(numpy.array(float(k + 1))) for k in range(count)]
    loss, kl = kernels.cuda.joint_objective(
        gpu.xp.asarray(numpy.array(0.5)), divergences, 0.25, 60, 3.0
    )
    expected = (sum(range(1, count + 1)) + 3) / 60
    assert float(kl) == pytest.approx(expected)
    assert float(loss) == pytest.approx(0.5 + 0.25 * expected)


def test_the_first_loss_that_is_not_finite_is_noted(gpu: Any) -> None:
    first = gpu.xp.zeros((), "i8")
    for number, loss in enumerate([1.0, numpy.nan, 2.0, numpy.inf], 1):
        kernels.cuda.note_non_finite(gpu.xp.asarray(numpy.float32(loss)), number, first)
        assert int(first) == (0 if number == 1 else 2)


def test_add_up(gpu: Any) -> None:
    sums = gpu.xp.asarray(numpy.array([1.0, 2.0, 3.0]))
    values = [gpu.xp.asarray(numpy.float32(0.5)), 0.25, gpu.xp.asarray(numpy.float32(4))]
    kernels.cuda.add_up(values, sums)
    numpy.testing.assert_array_equal(sums.get(), [1.5, 2.25, 7])
