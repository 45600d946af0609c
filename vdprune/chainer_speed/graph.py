"""Chainer's bookkeeping of the graph for NumPy arrays, at a quarter of the cost.

Chainer keeps ready, at each function, for hooks, for ChainerX, for memory layouts and for devices to
be made current. In a step of a small network that takes longer than the mathematics. Here is what is
left to do for NumPy arrays without any of those; all other cases are left to Chainer.
"""

import operator
import weakref
from typing import Any

import chainer
import numpy
from chainer import FunctionNode, Variable, config
from chainer.functions.activation.relu import ReLU
from chainer.variable import VariableNode

from vdprune.chainer_speed.postponed import Postponed
from vdprune.chainer_speed.relu import relu

_CHECKS_NOTHING = FunctionNode.check_type_forward

_rank = operator.attrgetter("_rank")
_requires_grad = operator.attrgetter("_requires_grad")
_ARRAYS = {numpy.ndarray}

# Chainer's functions that are computed here.
_ON_ARRAYS = {ReLU: relu}

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
    is_unobserved = _is_unobserved(function)
    if is_unobserved and type(function) is ReLU and type(inputs[0]) is Postponed:
        postponed = inputs[0].promise.rectified() if config.enable_backprop else None
        if postponed is not None:
            return (postponed,)
    variables = _plain_variables(inputs) if is_unobserved else None
    if variables is None:
        return original(function, inputs)
    return _apply(function, variables)


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
    return not (function._n_local_function_hooks or is_watched())


def is_watched() -> bool:
    """Tell whether somebody watches functions at work: by hooks, in debugging, for a static graph."""
    return bool(chainer.get_function_hooks() or config.debug or config.schedule_func is not None)


def _apply(function: Any, variables: list[Any]) -> tuple[Any, ...]:
    arrays = tuple([x._data[0] for x in variables])
    function._input_layouts = (None,) * len(arrays)
    function._input_indexes_to_retain = function._output_indexes_to_retain = None
    on_arrays = _ON_ARRAYS.get(type(function))
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
