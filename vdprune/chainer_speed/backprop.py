"""Backpropagation through Chainer's graph for NumPy arrays, at a fraction of the cost.

See `vdprune.chainer_speed.graph`. What comes out is the same, to the rounding of sums of more than two
gradients.
"""

import heapq
from collections.abc import Iterator
from typing import Any

import chainer
import numpy
from chainer import Variable, config
from chainer._backprop_utils import backprop_step
from chainer.functions.activation.relu import ReLU
from chainer.variable import _check_grad_type

from vdprune.chainer_speed.relu import relu_gradient

# Chainer's functions whose gradients are computed here.
_ON_ARRAYS = {ReLU: relu_gradient}
_PLAIN = (numpy.ndarray, type(None))


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
    node, one = variable._node, numpy.ones((), array.dtype)
    with chainer.using_config("enable_backprop", False):
        if not _hand_to_leaves(node._creator_node, one):
            _backpropagate([(node, one)], None)


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


def _hand_to_leaves(function: Any, g: Any) -> bool:
    """Give gradients to inputs of a function that is all there is to go back through.

    Args:
        function: The function, or None.
        g: Gradient of its result.

    Returns:
        Whether it is: it has one result, and no input that a function has made, or that has a gradient
        already, or is there twice.
    """
    on_arrays = getattr(function, "backward_arrays", None)
    if on_arrays is None or len(function.outputs) > 1 or function._n_local_function_hooks:
        return False
    inputs, wanted, variables = function.inputs, [], []
    for i, node in enumerate(inputs):
        if node._requires_grad:
            variable = node.get_variable_or_none()
            if node._creator_node or variable is None or variable._grad is not None:
                return False
            node._check_old_style_gradient()
            wanted.append(i)
            variables.append(variable)
    if len(set(map(id, variables))) < len(variables):
        return False
    for variable, array in zip(variables, on_arrays(tuple(wanted), (g,)), strict=True):
        array = numpy.asarray(array) if isinstance(array, numpy.generic) else array
        variable._grad_var, variable._grad, variable._loss_scale = None, array, None
    return True


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
    on_arrays = getattr(function, "backward_arrays", None) or _ON_ARRAYS.get(type(function))
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


def _call_hooks(function: Any, method: str, g_outputs: tuple[Any, ...]) -> None:
    """Call hooks of one function; those of all functions have led the other way from the start."""
    for hook in function.local_function_hooks.values():
        getattr(hook, method)(function, tuple(x.data for x in function.inputs), g_outputs)
