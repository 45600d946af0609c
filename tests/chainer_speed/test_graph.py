"""The short way through Chainer's graph gives what the long way gives."""

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import chainer
import chainer.functions as F
import numpy
import pytest
from chainer import FunctionHook, FunctionNode, Variable

from vdprune.chainer_speed import graph


class Watcher(FunctionHook):
    """A hook, which makes Chainer go its own way."""

    name = "Watcher"

    def __init__(self) -> None:
        self.calls: list[str] = []

    def forward_postprocess(self, function: Any, in_data: Any) -> None:
        self.calls.append(f"forward {function.label}")

    def backward_postprocess(self, function: Any, in_data: Any, out_grad: Any) -> None:
        self.calls.append(f"backward {function.label}")


@contextlib.contextmanager
def long_way() -> Iterator[None]:
    with Watcher():
        yield


def branches(x: Variable) -> Variable:
    y = F.relu(x)
    return F.sum(y * y + F.tanh(x) * y) + F.sum(x)


def several_outputs(x: Variable) -> Variable:
    first, second, _ = F.split_axis(x, 3, axis=1)
    return F.sum(first * second)


def retained(x: Variable) -> Variable:
    return F.sum(F.exp(F.sigmoid(x)) / F.sqrt(x * x + 1))


def a_layer(x: Variable) -> Variable:
    numpy.random.seed(3)
    W = numpy.random.randn(2, 6).astype(x.dtype)
    return F.sum(F.linear(F.dropout(x, 0.5), W))


def unused_output(x: Variable) -> Variable:
    return F.sum(F.split_axis(x, 2, axis=1)[1])


@pytest.mark.parametrize(
    "function",
    [branches, several_outputs, retained, a_layer, unused_output],
    ids=lambda function: function.__name__,
)
@pytest.mark.parametrize("dtype", ["f4", "f8"])
def test_values_and_gradients(function: Callable[[Variable], Variable], dtype: str) -> None:
    array = numpy.random.randn(4, 6).astype(dtype)
    results = []
    for way in (contextlib.nullcontext, long_way):
        x = Variable(array)
        with way():
            y = function(x)
            y.backward()
        results.append((y, x.grad))
    (mine, my_gradient), (theirs, their_gradient) = results
    numpy.testing.assert_array_equal(mine.array, theirs.array)
    # more than two gradients of one variable may be added in another order
    rounding = 4 * numpy.finfo(dtype).eps
    numpy.testing.assert_allclose(my_gradient, their_gradient, rtol=rounding, atol=rounding)
    assert my_gradient.dtype == dtype
    assert (mine.rank, mine.dtype, mine.requires_grad) == (
        theirs.rank,
        theirs.dtype,
        theirs.requires_grad,
    )


@pytest.fixture
def taken(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Which functions took the short way."""
    labels: list[str] = []
    shorten = graph._apply

    def apply(function: Any, variables: Any) -> Any:
        labels.append(function.label)
        return shorten(function, variables)

    monkeypatch.setattr(graph, "_apply", apply)
    return labels


def test_the_short_way_is_taken(taken: list[str]) -> None:
    F.relu(numpy.ones(2, "f4"))
    assert taken == ["ReLU"]


def test_hooks_and_debugging_and_other_arrays_take_the_long_way(taken: list[str]) -> None:
    x = numpy.ones(2, "f4")
    with Watcher() as watcher:
        F.relu(x)
    with chainer.using_config("debug", True):
        F.relu(x)
    with pytest.raises(TypeError):
        F.relu("text")
    assert watcher.calls == ["forward ReLU"]
    assert taken == []


def test_a_hook_of_one_function_is_called_both_ways() -> None:
    watcher = Watcher()
    x = Variable(numpy.ones(2, "f4"))
    y = F.relu(x)
    y.creator_node.add_hook(watcher)
    F.sum(y).backward()
    assert watcher.calls == ["backward ReLU"]


def test_hooks_around_backward_only() -> None:
    x = Variable(numpy.ones(2, "f4"))
    y = F.sum(x)
    with Watcher() as watcher:
        y.backward()
    assert "backward Sum" in watcher.calls


def test_gradients_of_intermediate_variables_are_kept_on_request() -> None:
    x = Variable(numpy.ones(2, "f4"))
    y = 2 * x
    F.sum(3 * y).backward(retain_grad=True)
    assert y.grad.tolist() == [3, 3]
    assert x.grad.tolist() == [6, 6]


def test_gradients_add_up_over_two_calls() -> None:
    x = Variable(numpy.ones(2, "f4"))
    F.sum(2 * x).backward()
    F.sum(3 * x).backward()
    assert x.grad.tolist() == [5, 5]


def test_second_derivatives() -> None:
    x = Variable(numpy.array(3.0))
    y = x * x * x
    y.backward(enable_double_backprop=True)
    first = x.grad_var
    x.cleargrad()
    first.backward()
    assert float(x.grad) == pytest.approx(18)


def test_loss_scale_is_handed_on() -> None:
    x = Variable(numpy.ones(2, "f4"))
    F.sum(x).backward(loss_scale=8)
    assert x.grad.tolist() == [8, 8]
    assert x._loss_scale == 8


def test_no_graph_without_backprop() -> None:
    x = Variable(numpy.ones(2, "f4"))
    with chainer.no_backprop_mode():
        assert F.relu(x).creator_node is None


class Odd(FunctionNode):
    def __init__(self, result: Any, gradient: Any = None) -> None:
        super().__init__()
        self.result, self.gradient = result, gradient

    def forward(self, inputs: Any) -> Any:
        return self.result

    def backward(self, indexes: Any, g: Any) -> Any:
        return (Variable(self.gradient),)


@pytest.mark.parametrize(
    ("result", "message"),
    [
        (numpy.ones(2), "Odd: forward must return a tuple, not <class 'numpy.ndarray'>"),
        ((1.0,), "Odd: forward must return arrays, not <class 'float'>"),
    ],
)
def test_functions_that_return_something_else_are_told(result: Any, message: str) -> None:
    with pytest.raises(TypeError, match=message):
        Odd(result).apply((numpy.ones(2),))


@pytest.mark.parametrize(
    ("gradient", "error"), [(numpy.ones(3), ValueError), (numpy.ones(2, "f4"), TypeError)]
)
def test_a_gradient_that_does_not_fit_is_chainers_error(gradient: Any, error: Any) -> None:
    x = Variable(numpy.ones(2))
    (y,) = Odd((numpy.array(1.0),), gradient).apply((x,))
    with pytest.raises(error, match="data and grad mismatch"):
        y.backward()


def test_inputs_may_be_named() -> None:
    (y,) = Odd((numpy.array(1.0),)).apply(inputs=(numpy.ones(2),))
    assert float(y.array) == 1


def test_a_gradient_set_by_hand_is_not_used_where_a_function_has_none_to_give() -> None:
    class Constant(FunctionNode):
        def forward(self, inputs: Any) -> Any:
            return (inputs[0] * 2,)

        def backward(self, indexes: Any, g: Any) -> Any:
            return (None,)

    results = []
    for way in (contextlib.nullcontext, long_way):
        x = Variable(numpy.ones(4, "f4"))
        with way():
            first, second = F.split_axis(x, 2, axis=0)
            first.grad = numpy.ones(2, "f4")
            (F.sum(second) + F.sum(Constant().apply((first,))[0])).backward()
        results.append((x.grad.tolist(), first.grad.tolist()))
    assert results[0] == results[1] == ([0, 0, 1, 1], [1, 1])
