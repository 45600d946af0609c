import numpy
import pytest
from chainer import gradient_check

from vdprune.functions import joint_objective


def make_inputs() -> list[numpy.ndarray]:
    return [numpy.array(value) for value in numpy.random.uniform(1, 9, 4)]


@pytest.mark.parametrize("dtype", ["f4", "f8"])
def test_values(dtype: str) -> None:
    class_loss, *divergences = (value.astype(dtype) for value in make_inputs())
    loss, kl = joint_objective(class_loss, divergences, 0.3, 50)
    assert loss.dtype == kl.dtype == dtype
    assert float(kl.array) == pytest.approx(sum(divergences) / 50)
    assert float(loss.array) == pytest.approx(class_loss + 0.3 * sum(divergences) / 50)


@pytest.mark.parametrize("output", [0, 1, slice(0, 2)], ids=["loss", "kl", "both"])
def test_gradient(output: int | slice) -> None:
    gradients = [numpy.array(value) for value in numpy.random.randn(2)]
    gradient_check.check_backward(
        lambda class_loss, *divergences: joint_objective(
            class_loss + 0 * divergences[0], divergences, 0.3, 50
        )[output],
        make_inputs(),
        gradients[output],
        dtype="d",
    )
