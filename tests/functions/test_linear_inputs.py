"""A teacher's logits, compared with at one go and layer by layer."""

import numpy
import pytest
from chainer.function_hooks import TimerHook

from tests.functions.test_linear_objective import Net, assert_same, make_batch, take_step
from vdprune import Distillation
from vdprune.errors import ArgumentError


@pytest.mark.parametrize("dtype", ["f4", "f8"])
def test_a_teacher_is_listened_to_as_layer_by_layer(dtype: str) -> None:
    model = Net()
    model.distillation = Distillation(2.0, 0.4)
    logits = numpy.random.default_rng(3).normal(0, 3, (10, 4)).astype(dtype)
    batch = (*make_batch(), logits)
    found, expected = take_step(model, batch), take_step(model, batch, TimerHook())
    assert (found["at once"], expected["at once"]) == (dtype == "f4", False)
    assert_same(found, expected)


@pytest.mark.parametrize("temperature", [0.0, -1.0, numpy.inf, numpy.nan])
def test_a_temperature_that_is_none(temperature: float) -> None:
    model = Net()
    model.distillation = Distillation(temperature, 0.4)
    with pytest.raises(ArgumentError, match="temperature"):
        model.calc_loss(*make_batch(), numpy.zeros((10, 4), "f4"))


def test_logits_of_another_shape() -> None:
    model = Net()
    model.distillation = Distillation()
    with pytest.raises(ArgumentError, match=r"\(10, 5\)"):
        model.calc_loss(*make_batch(), numpy.zeros((10, 5), "f4"))
