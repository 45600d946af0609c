"""Going back through one function that is all there is, and where it is not all."""

from collections.abc import Callable
from typing import Any

import chainer
import chainer.functions as F
import numpy
import pytest
from chainer import FunctionHook, FunctionNode, Variable

from vdprune.functions.first_order import FirstOrderFunction

VALUES = numpy.array([1.0, 2.0, 3.0])


class SumOfProducts(FirstOrderFunction):
    """The sum of a * b, with gradients that are computed on arrays."""

    def forward(self, inputs: tuple[Any, ...]) -> tuple[Any, ...]:
        self.retain_inputs((0, 1))
        a, b = inputs
        return (numpy.asarray((a * b).sum()),)

    def backward_arrays(
        self, indexes: tuple[int, ...], grad_outputs: tuple[Any, ...]
    ) -> tuple[Any, ...]:
        a, b = (variable.array for variable in self.get_retained_inputs())
        gradients = grad_outputs[0] * b, grad_outputs[0] * a  # of shape () they are no arrays
        return tuple([gradients[index] for index in indexes])


class WithTwo(SumOfProducts):
    """A second result beside it."""

    def forward(self, inputs: tuple[Any, ...]) -> tuple[Any, ...]:
        return (*super().forward(inputs), numpy.zeros(()))

    def backward_arrays(
        self, indexes: tuple[int, ...], grad_outputs: tuple[Any, ...]
    ) -> tuple[Any, ...]:
        g, nothing = grad_outputs
        assert nothing is None
        return super().backward_arrays(indexes, (g,))


class Hook(FunctionHook):
    def __init__(self) -> None:
        self.seen: list[FunctionNode] = []

    def backward_preprocess(self, function: FunctionNode, *_: Any) -> None:
        self.seen.append(function)


def apply(a: Variable, b: Variable) -> Any:
    return SumOfProducts().apply((a, b))[0]


def a_result(a: Variable, b: Variable) -> Any:
    x = F.exp(a)
    y = apply(x, b)
    y.inputs_are_kept = x
    return y


def with_gradients(a: Variable, b: Variable) -> Any:
    a.grad = 10 * VALUES
    return apply(a, b)


def the_same_twice(a: Variable, b: Variable) -> Any:
    return apply(a, a)


def two_results(a: Variable, b: Variable) -> Any:
    return WithTwo().apply((a, b))[0]


def one_wanted(a: Variable, b: Variable) -> Any:
    return apply(a, Variable(b.array, requires_grad=False))


def numbers(a: Variable, b: Variable) -> Any:
    return apply(F.sum(a), F.sum(b))


def gradients_of(make: Callable[..., Any]) -> list[Any]:
    a, b = Variable(VALUES), Variable(VALUES[::-1].copy())
    make(a, b).backward()
    for variable in (a, b):
        assert variable.grad is None or type(variable.grad) is numpy.ndarray
    return [a.grad, b.grad]


@pytest.mark.parametrize(
    ("make", "expected"),
    [
        (apply, [VALUES[::-1], VALUES]),
        (a_result, [numpy.exp(VALUES) * VALUES[::-1], numpy.exp(VALUES)]),
        (with_gradients, [10 * VALUES + VALUES[::-1], VALUES]),
        (the_same_twice, [2 * VALUES, None]),
        (two_results, [VALUES[::-1], VALUES]),
        (one_wanted, [VALUES[::-1], None]),
        (numbers, [6 * numpy.ones(3), 6 * numpy.ones(3)]),
    ],
)
def test_gradients(make: Callable[..., Any], expected: list[Any]) -> None:
    for found, value in zip(gradients_of(make), expected, strict=True):
        if value is None:
            assert found is None
        else:
            numpy.testing.assert_allclose(found, value)


def test_gradients_of_numbers_are_arrays() -> None:
    a, b = Variable(numpy.array(2.0)), Variable(numpy.array(3.0))
    apply(a, b).backward()
    assert type(a.grad) is type(b.grad) is numpy.ndarray
    assert (a.grad, b.grad) == (3, 2)


def test_one_that_is_gone_gets_none() -> None:
    a = Variable(VALUES)
    y = apply(a, Variable(VALUES))
    y.backward()
    numpy.testing.assert_array_equal(a.grad, VALUES)


def test_hooks_of_the_function_are_called() -> None:
    hook, function = Hook(), SumOfProducts()
    function.add_hook(hook)
    inputs = Variable(VALUES), Variable(VALUES)
    (y,) = function.apply(inputs)
    y.backward()
    assert hook.seen == [function]


def test_a_gradient_of_the_loss_itself_counts() -> None:
    a, b = Variable(VALUES), Variable(VALUES)
    y = apply(a, b)
    y.grad = numpy.array(2.0)
    y.backward()
    numpy.testing.assert_array_equal(a.grad, 2 * VALUES)


def test_hooks_of_all_functions_are_called() -> None:
    hook = Hook()
    y = apply(Variable(VALUES), Variable(VALUES))
    with hook:
        y.backward()
    assert len(hook.seen) == 1


def test_nothing_to_go_back_through() -> None:
    y = chainer.Variable(numpy.array(2.0))
    y.backward()
    assert y.grad == 1
