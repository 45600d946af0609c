import copy
import gc
from typing import Any

import chainer.functions as F
import numpy
import pytest
from chainer import Variable

from vdprune.chainer_speed.postponed import Postponed, Promise, settle


class Doubled(Promise):
    """Twice a variable."""

    def __init__(self, x: Variable, promises: list[Promise]) -> None:
        super().__init__(None, promises)
        self.x, self.times = x, 0

    def compute(self) -> Variable:
        self.times += 1
        return self.x * 2


class Rectified(Promise):
    """ReLU of a promise."""

    def compute(self) -> Variable:
        assert self.source is not None
        return F.relu(self.source.variable())


def make() -> tuple[Variable, Doubled, Any]:
    x = Variable(numpy.array([1.0, -2.0], "f4"))
    promise = Doubled(x, [])
    return x, promise, promise.postpone()


USES = {
    "array": lambda y: y.array.tolist() == [2, -4],
    "data": lambda y: y.data.tolist() == [2, -4],
    "shape": lambda y: y.shape == (2,),
    "dtype": lambda y: y.dtype == "f4",
    "len": lambda y: len(y) == 2,
    "item": lambda y: float(y[1].array) == -4,
    "sum": lambda y: float((y + 1).array.sum()) == 0,
    "function": lambda y: F.tanh(y).shape == (2,),
    "repr": lambda y: "-4" in repr(y),
    "copy": lambda y: copy.copy(y).array.tolist() == [2, -4],
    "name": lambda y: y.name is None,
    "creator": lambda y: y.creator is not None,
    "grad": lambda y: y.grad is None and y.requires_grad,
    "numpy": lambda y: numpy.asarray(y.array).sum() == -2,
}


@pytest.mark.parametrize("use", USES)
def test_it_becomes_a_variable_when_it_is_used(use: str) -> None:
    _, promise, y = make()
    assert isinstance(y, Variable) and promise.times == 0
    assert USES[use](y)
    assert type(y) is Variable
    assert promise.times == 1


def test_gradients_go_through_it_and_it_keeps_its_own() -> None:
    x, _, y = make()
    F.sum(y * y).backward(retain_grad=True)
    assert y.grad.tolist() == [4, -8]
    assert x.grad.tolist() == [8, -16]


def test_an_attribute_that_variables_do_not_have() -> None:
    _, _, y = make()
    with pytest.raises(AttributeError, match="nothing"):
        y.nothing  # noqa: B018


def test_it_is_open_until_somebody_has_it() -> None:
    _, promise, y = make()
    assert not promise.is_open(0)  # y could be asked
    del y
    assert promise.is_open(0) and not promise.is_open(1)
    of_it = Rectified(promise, promise.promises)
    rectified = of_it.postpone()
    assert promise.is_open(1) and not promise.is_open(0)
    assert rectified.array.tolist() == [2, 0]
    assert not promise.is_open(1)  # its value is known
    assert promise.times == 1


def test_only_what_somebody_has_is_computed_in_the_end() -> None:
    x, promise, y = make()
    other = Doubled(x, promise.promises)
    other.postpone()
    gc.collect()
    settle(promise.promises)
    assert (promise.times, other.times) == (1, 0)
    assert type(y) is Variable
    settle(promise.promises)
    assert promise.times == 1


def test_relu_of_one_that_can_not_say_what_it_is() -> None:
    _, promise, y = make()
    found = F.relu(y)
    assert not isinstance(found, Postponed)
    assert found.array.tolist() == [2, 0]
    assert promise.times == 1


def test_what_goes_wrong_goes_wrong_again() -> None:
    class Broken(Promise):
        def compute(self) -> Variable:
            raise ValueError("broken")

    y = Broken(None, []).postpone()
    for _ in range(2):
        with pytest.raises(ValueError, match="broken"):
            y.array  # noqa: B018
