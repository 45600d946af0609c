"""Chainer's bookkeeping of the graph for NumPy arrays, at a quarter of the cost.

Chainer keeps ready, at each function, for hooks, for ChainerX, for memory layouts and for devices to
be made current. In a step of a small network that takes longer than the mathematics. Here is what is
left to do for NumPy arrays without any of those; all other cases are left to Chainer. What comes out is
the same, to the rounding of sums of more than two gradients.
"""

import heapq
import operator
import weakref
from collections.abc import Iterator
from typing import Any

import chainer
import numpy
from chainer import FunctionNode, Variable, config
from chainer._backprop_utils import backprop_step
from chainer.functions.activation.relu import ReLU
from chainer.variable import VariableNode, _check_grad_type

from vdprune.chainer_speed.relu import relu, relu_gradient

_CHECKS_NOTHING = FunctionNode.check_type_forward

_rank = operator.attrgetter("_rank")
_requires_grad = operator.attrgetter("_requires_grad")
_ARRAYS = {numpy.ndarray}

# Chainer's functions that are computed here, forward and back.
_FORWARD = {ReLU: relu}
_BACKWARD = {ReLU: relu_gradient}

# What Chainer's initializer of a Variable sets, but for what is each one's own.
_PLAIN_VARIABLE = {
    name: value
    for name, value in vars(Variable(numpy.zeros(()))).items()
    if name not in ("_requires_grad", "_data", "_node")
}


def apply(original: Any, function: Any, inputs: Any) -> Any:
    """Do what ``FunctionNode.apply`` does.

    Args:
        original: That method.
        function: The function.
        inputs: Arrays and Variables.

    Returns:
        Variables, as the original returns them.
    """
    variables = _plain_variables(inputs)
    if variables is None or not _is_unobserved(function):
        return original(function, inputs)
    return _apply(function, variables)


def backward(original: Any, variable: Any, *arguments: Any, **named: Any) -> None:
    """Do what ``Variable.backward`` does.

    Args:
        original: That method.
        variable: The variable.
        *arguments: Its arguments; with any, or where the gradient is set, it is done the long way.
        **named: More of them.
    """
    array: Any = None if variable._has_chainerx_array else variable._data[0]
    is_plain = (
        type(array) is numpy.ndarray
        and array.shape == ()
        and variable._grad is None
        and variable._grad_var is None
        and variable._layout is None
        and not arguments
        and not any(value is not None for value in named.values())
        and not config.debug
        and not chainer.get_function_hooks()
    )
    if not is_plain:
        original(variable, *arguments, **named)
        return
    with chainer.using_config("enable_backprop", False):
        _backpropagate([(variable._node, numpy.ones((), array.dtype))], None)


def backpropagate(original: Any, outputs: Any, retain_grad: bool, loss_scale: Any) -> None:
    """Do what ``chainer._backprop._backprop_to_all`` does, by which all other gradients go.

    Args:
        original: That function.
        outputs: Pairs of a node and its gradient.
        retain_grad: Whether gradients of intermediate variables are kept.
        loss_scale: What the gradients were multiplied by.
    """
    is_plain = not (
        retain_grad
        or config.enable_backprop  # for second derivatives
        or config.debug
        or chainer.get_function_hooks()
    )
    if is_plain and all(type(g.raw_array) is numpy.ndarray for _, g in outputs if g is not None):
        _backpropagate(
            [(node, None if g is None else g.raw_array) for node, g in outputs], loss_scale
        )
    else:
        original(outputs, retain_grad, loss_scale)


def plain_variable(array: Any, requires_grad: bool = True) -> Any:
    """Make a Variable of a NumPy or CuPy array without checking that it is one.

    Args:
        array: The array.
        requires_grad: Whether it takes part in backpropagation.

    Returns:
        The variable.
    """
    variable, node = Variable.__new__(Variable), VariableNode.__new__(VariableNode)
    vars(variable).update(_PLAIN_VARIABLE)
    variable._requires_grad, variable._data, variable._node = requires_grad, [array], node
    node._variable, node.name = weakref.ref(variable), None
    node._requires_grad, node._layout = requires_grad, None
    if array is None:
        node.dtype = node.shape = None
    else:
        node.dtype, node.shape = array.dtype, array.shape
    return variable


def _plain_variables(inputs: Any) -> list[Any] | None:
    """Make Variables of inputs if all are NumPy arrays without a layout."""
    variables = []
    for x in inputs:
        if type(x) is numpy.ndarray:
            x = plain_variable(x, requires_grad=False)
        elif (
            not isinstance(x, Variable)
            or type(x._data[0]) is not numpy.ndarray
            or x._layout is not None
        ):
            return None
        variables.append(x)
    return variables or None


def _is_unobserved(function: Any) -> bool:
    """Whether nobody watches a function: no hook, no debugging, no static graph."""
    return (
        not function._n_local_function_hooks
        and not chainer.get_function_hooks()
        and not config.debug
        and config.schedule_func is None
    )


def _apply(function: Any, variables: list[Any]) -> tuple[Any, ...]:
    arrays = tuple([x._data[0] for x in variables])
    function._input_layouts = (None,) * len(arrays)
    function._input_indexes_to_retain = function._output_indexes_to_retain = None
    on_arrays = _FORWARD.get(type(function))
    outputs = None if on_arrays is None else on_arrays(function, arrays)
    if outputs is None:
        if config.type_check and type(function).check_type_forward is not _CHECKS_NOTHING:
            function._check_data_type_forward(arrays)
        outputs = function.forward(arrays)
    if type(outputs) is not tuple or set(map(type, outputs)) != _ARRAYS or function.is_elementwise:
        _check_outputs(function, outputs)
    function._output_count = len(outputs)
    requires_grad = any(map(_requires_grad, variables))
    results = tuple([plain_variable(y, requires_grad) for y in outputs])
    if function._output_layouts is None:
        function._output_layouts = (None,) * len(outputs)
    else:
        for result, layout in zip(results, function._output_layouts, strict=True):
            if layout is not None:
                result._layout = result._node._layout = layout
    if config.enable_backprop:
        _connect(function, variables, outputs, results, config.lazy_grad_sum)
    return results


def _check_outputs(function: Any, outputs: Any) -> None:
    if not isinstance(outputs, tuple):
        raise TypeError(f"{function.label}: forward must return a tuple, not {type(outputs)}")
    for y in outputs:
        if y is not None and not isinstance(y, chainer.get_array_types()):
            raise TypeError(f"{function.label}: forward must return arrays, not {type(y)}")
    if function.is_elementwise and any(y.shape != outputs[0].shape for y in outputs[1:]):
        shapes = ", ".join(str(y.shape) for y in outputs)
        raise RuntimeError(f"{function.label} is elementwise and returned shapes {shapes}")


def _connect(
    function: Any,
    variables: list[Any],
    outputs: tuple[Any, ...],
    results: tuple[Any, ...],
    lazy_grad_sum: bool,
) -> None:
    """Make edges between a function, its inputs and its results, as ``FunctionNode.apply`` does."""
    function.inputs = tuple([x._node for x in variables])
    function.rank = max(map(_rank, function.inputs))
    for result in results:
        result._node._creator_node = function
        result._node._rank = function.rank + 1
    function.outputs = tuple([weakref.ref(result._node) for result in results])
    for index in function._input_indexes_to_retain or ():
        variables[index].retain_data()
    if function._output_indexes_to_retain is not None:
        for index in function._output_indexes_to_retain:
            results[index].retain_data()
        function._retained_output_data = tuple(
            [outputs[index] for index in function._output_indexes_to_retain]
        )
    function.lazy_grad_sum = lazy_grad_sum


class _Gradients:
    """Gradients of nodes, as arrays, and the functions that are to be asked for more, last first."""

    def __init__(self) -> None:
        self._arrays: dict[Any, Any] = {}
        self._functions: list[Any] = []
        self._seen: set[Any] = set()
        self._leaves: dict[Any, None] = {}

    def add(self, node: Any, array: Any) -> None:
        """Take in a gradient; None says that there is none by this way."""
        function = node._creator_node
        if function is not None:
            if array is not None:
                self.ask(function)
        elif node not in self._leaves:
            self._leaves[node] = None
            node._check_old_style_gradient()
            self._add(node, _take_gradient(node))
        self._add(node, array)

    def ask(self, function: Any) -> None:
        """Have a function asked for gradients of its inputs."""
        if function not in self._seen:
            heapq.heappush(self._functions, (-function.rank, len(self._seen), function))
            self._seen.add(function)

    def _add(self, node: Any, array: Any) -> None:
        other = self._arrays.get(node)
        if array is None:
            array = other
        elif other is not None:
            array = other + array
        if isinstance(array, numpy.generic):  # what NumPy makes of arrays of shape ()
            array = numpy.asarray(array)
        self._arrays[node] = array

    def take(self, node: Any) -> Any:
        """Return an intermediate node's gradient, or the one that its Variable was given."""
        if node is None or node._creator_node is None:
            return None
        return self._arrays.pop(node) if node in self._arrays else _take_gradient(node)

    def functions(self) -> Iterator[Any]:
        while self._functions:
            yield heapq.heappop(self._functions)[2]

    def hand_to_variables(self, loss_scale: Any) -> None:
        for node in self._leaves:
            variable = node.get_variable_or_none()
            if variable is not None:
                variable._grad_var, variable._grad = None, self._arrays.get(node)
                variable._loss_scale = loss_scale


def _take_gradient(node: Any) -> Any:
    variable = node.get_variable_or_none()
    if variable is None or variable._grad is None:
        return None
    array, variable._grad, variable._grad_var = variable._grad, None, None
    return array


def _backpropagate(outputs: Any, loss_scale: Any) -> None:
    """Do what ``chainer._backprop._backprop_to_all`` does, on arrays."""
    gradients = _Gradients()
    for node, g in outputs:
        gradients.add(node, g)
        if node._creator_node is not None:
            gradients.ask(node._creator_node)
    for function in gradients.functions():
        inputs = function.inputs
        wanted = tuple([i for i, x in enumerate(inputs) if x._requires_grad])
        g_outputs = tuple([gradients.take(output()) for output in function.outputs])
        if not wanted:
            continue
        if function._n_local_function_hooks:
            _call_hooks(function, "backward_preprocess", g_outputs)
        for node, g in _gradients_of_inputs(function, wanted, g_outputs):
            gradients.add(node, g)
        if function._n_local_function_hooks:
            _call_hooks(function, "backward_postprocess", g_outputs)
    gradients.hand_to_variables(loss_scale)


def _gradients_of_inputs(
    function: Any, wanted: tuple[int, ...], g_outputs: tuple[Any, ...]
) -> list[tuple[Any, Any]]:
    """Compute gradients of some inputs; those of one node may come in several parts."""
    on_arrays = getattr(function, "backward_arrays", None) or _BACKWARD.get(type(function))
    if on_arrays is not None and all(type(g) in _PLAIN for g in g_outputs):
        arrays = (
            on_arrays(wanted, g_outputs)
            if hasattr(on_arrays, "__self__")
            else on_arrays(function, g_outputs)
        )
        inputs = function.inputs
        return [(inputs[i], g) for i, g in zip(wanted, arrays, strict=True)]
    g_inputs: dict[Any, list[Any]] = {function.inputs[i]: [] for i in wanted}
    arrays = [g for g in g_outputs if g is not None]
    with chainer.using_device(chainer.backend.get_device_from_array(*arrays)):
        variables = tuple([None if g is None else Variable(g) for g in g_outputs])
        backprop_step(function, wanted, variables, g_inputs, False)
    found: list[tuple[Any, Any]] = []
    for node, parts in g_inputs.items():
        for g in parts or [None]:
            found.append((node, None if g is None else g.raw_array))
            if g is not None:
                _check_grad_type(function, node, True, g.raw_array)
    return found


_PLAIN = (numpy.ndarray, type(None))


def _call_hooks(function: Any, method: str, g_outputs: tuple[Any, ...]) -> None:
    """Call hooks of one function; those of all functions have led the other way from the start."""
    for hook in function.local_function_hooks.values():
        getattr(hook, method)(function, tuple(x.data for x in function.inputs), g_outputs)
