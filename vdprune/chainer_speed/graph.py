"""Chainer's bookkeeping of the graph for NumPy arrays, at a quarter of the cost.

Chainer keeps ready, at each function, for hooks, for ChainerX, for memory layouts and for devices to be made
current. In a step of a small network that takes longer than the mathematics. Here is what is
left to do for NumPy arrays without any of those; all other cases are left to Chainer, and what comes out is
the same.
"""

import heapq
import operator
import weakref
from typing import Any

import chainer
import numpy
from chainer import Variable, config
from chainer._backprop_utils import GradTable, backprop_step
from chainer.variable import _check_grad_type

_rank = operator.attrgetter("_rank")


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


def backpropagate(original: Any, outputs: Any, retain_grad: bool, loss_scale: Any) -> None:
    """Do what ``Variable.backward`` does, which is in ``chainer._backprop._backprop_to_all``.

    Args:
        original: That function.
        outputs: Pairs of a node and its gradient.
        retain_grad: Whether gradients of intermediate variables are kept.
        loss_scale: What the gradients were multiplied by.
    """
    is_plain = not (retain_grad or chainer.is_debug() or chainer.get_function_hooks())
    if is_plain and all(type(g.raw_array) is numpy.ndarray for _, g in outputs if g is not None):
        _backpropagate(outputs, loss_scale)
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
    return Variable._init_unchecked(array, requires_grad=requires_grad, is_chainerx_array=False)


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
    if config.type_check:
        function._check_data_type_forward(arrays)
    function._input_indexes_to_retain = function._output_indexes_to_retain = None
    outputs = function.forward(arrays)
    _check_outputs(function, outputs)
    if function._output_layouts is None:
        function._output_layouts = (None,) * len(outputs)
    function._output_count = len(outputs)
    requires_grad = any([x._requires_grad for x in variables])
    results = tuple([plain_variable(y, requires_grad) for y in outputs])
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
        if y is not None and not isinstance(y, numpy.ndarray):
            raise TypeError(f"{function.label}: forward must return NumPy arrays, not {type(y)}")
    if function.is_elementwise and any(y.shape != outputs[0].shape for y in outputs):
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


class _Pending:
    """Functions whose gradients are to be computed, last in the graph first."""

    def __init__(self) -> None:
        self._heap: list[Any] = []
        self._seen: set[Any] = set()

    def add(self, function: Any) -> None:
        if function not in self._seen:
            heapq.heappush(self._heap, (-function.rank, len(self._seen), function))
            self._seen.add(function)

    def __bool__(self) -> bool:
        return bool(self._heap)

    def pop(self) -> Any:
        return heapq.heappop(self._heap)[2]


def _backpropagate(outputs: Any, loss_scale: Any) -> None:
    """Do what ``chainer._backprop._backprop_to_all`` does."""
    pending, leaves = _Pending(), set()
    grads = GradTable(accumulate_grad_inputs=True)
    for y, g in outputs:
        grads.accumulate(y, g)
        if y.creator_node is None:
            leaves.add(y)
        else:
            pending.add(y.creator_node)
    while pending:
        for x in _step(pending.pop(), grads):
            if x.creator_node is None:
                leaves.add(x)
            else:
                pending.add(x.creator_node)
    for x in leaves:
        variable, g = x.get_variable_or_none(), grads.pop(x)
        if variable is not None:
            variable._set_grad_var_without_check(g)
            variable._loss_scale = loss_scale
    grads.assert_no_grads()


def _step(function: Any, grads: Any) -> list[Any]:
    """Compute gradients of a function's inputs, and return the nodes that have got one."""
    wanted = tuple([i for i, x in enumerate(function.inputs) if x._requires_grad])
    nodes = [output() for output in function.outputs]
    g_outputs = tuple(
        [grads.pop(y) if y is not None and y._creator_node is not None else None for y in nodes]
    )
    if not wanted:
        return []
    g_inputs: dict[Any, Any] = {}
    for i in wanted:
        x = function.inputs[i]
        if x not in g_inputs:
            g_inputs[x] = grads.get_as_list(x)
    arrays = [g.raw_array for g in g_outputs if g is not None]
    if function._n_local_function_hooks:
        _call_hooks(function, "backward_preprocess", g_outputs)
    if all([type(array) is numpy.ndarray for array in arrays]):
        backprop_step(function, wanted, g_outputs, g_inputs, False)
    else:
        with chainer.using_device(chainer.backend.get_device_from_array(*arrays)):
            backprop_step(function, wanted, g_outputs, g_inputs, False)
    if function._n_local_function_hooks:
        _call_hooks(function, "backward_postprocess", g_outputs)
    for x, found in g_inputs.items():
        for g in found:
            if g is not None:
                _check_gradient(function, x, g.raw_array)
    return [x for x, found in g_inputs.items() if found]


def _call_hooks(function: Any, method: str, g_outputs: tuple[Any, ...]) -> None:
    """Call hooks of one function; those of all functions have led the other way from the start."""
    arrays = tuple(None if g is None else g.raw_array for g in g_outputs)
    for hook in function.local_function_hooks.values():
        getattr(hook, method)(function, tuple(x.data for x in function.inputs), arrays)


def _check_gradient(function: Any, x: Any, g: Any) -> None:
    """Leave to Chainer the message on a gradient that does not fit."""
    if type(g) is not numpy.ndarray or g.dtype != x.dtype or g.shape != x.shape:
        _check_grad_type(function, x, True, g)
