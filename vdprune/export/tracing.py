"""The graph of a Chainer model, found by running it on an example."""

from collections.abc import Sequence
from numbers import Integral
from typing import Any

import chainer
import numpy
from chainer import Chain, FunctionHook, LinkHook, Variable, as_array
from chainer.utils.type_check import InvalidType

from vdprune.conversion import to_ordinary
from vdprune.errors import ArgumentError
from vdprune.export.chainer_functions import describe_function
from vdprune.graph import Graph, Node, find_shapes
from vdprune.graph.graph import Array
from vdprune.links import InputScaling

_BATCH = 2  # so that a shape with the batch in it is told from one without


def check_input_shape(input_shape: tuple[int, ...]) -> None:
    """Make sure that what is given for the shape of one example can be one.

    Args:
        input_shape: The shape.

    Raises:
        ArgumentError: It is something else.
    """
    is_shape = isinstance(input_shape, Sequence) and all(
        isinstance(size, Integral) and size > 0 for size in input_shape
    )
    if not is_shape:
        raise ArgumentError(
            f"input_shape is {input_shape!r}: it must be the shape of one example, as (784,)"
        )


def trace(model: Chain, input_shape: tuple[int, ...]) -> tuple[Graph, dict[str, numpy.ndarray]]:
    """Find out what a model computes in evaluation.

    Args:
        model: The model, on the CPU; it stays as it is. Weights that are masked count as zero.
        input_shape: Shape of one example.

    Returns:
        Its graph, and the arrays that are named there, copies. Those that are parameters or persistent
        values of the model have the names that Chainer's serializers give them.

    Raises:
        ArgumentError: It does what a graph can't say, or can't be run on an example of that shape.
    """
    copied = model.copy("copy")
    to_ordinary(copied)
    x = Variable(numpy.zeros((_BATCH, *input_shape), numpy.float32))
    functions, scalings = _Functions(), _Scalings()
    testing = chainer.using_config("train", False)
    with testing, chainer.force_backprop_mode(), functions, scalings:
        try:
            y = copied(x)
        except InvalidType as error:
            raise ArgumentError(
                f"the model can't be run on an example of shape {input_shape}: Chainer expects "
                f"{error.expect}, and finds {error.actual}"
            ) from error
    if not isinstance(y, Variable):
        raise ArgumentError(f"the model returns {type(y).__name__}: it must return one Variable")
    tracer = _Tracer(copied, x, functions, scalings)
    tracer.visit(y.node)
    graph = Graph(input_shape, tuple(tracer.nodes))
    if not graph.nodes:
        raise ArgumentError("the model returns its input: there is nothing to export")
    try:
        find_shapes(graph)
    except ValueError as error:
        raise ArgumentError(f"the model can't be written as a graph: {error}") from error
    return graph, tracer.arrays


class _Functions(FunctionHook):
    """Keeps the arrays that each function is called with; Chainer lets go of them."""

    name = "VdpruneTracing"

    def __init__(self) -> None:
        self.inputs: dict[Any, tuple[Any, ...]] = {}

    def forward_preprocess(self, function: Any, in_data: tuple[Any, ...]) -> None:
        self.inputs[function] = in_data


class _Scalings(LinkHook):
    """Keeps what goes into an `InputScaling` and comes out of it."""

    name = "VdpruneTracing"

    def __init__(self) -> None:
        self.calls: dict[Any, tuple[Any, Any]] = {}

    def forward_postprocess(self, args: Any) -> None:
        if isinstance(args.link, InputScaling) and isinstance(args.out, Variable):
            self.calls[args.out.node] = args.link, args.args[0].node


class _Tracer:
    """Walks from a model's result to its input."""

    def __init__(self, model: Chain, x: Variable, functions: Any, scalings: Any) -> None:
        self.nodes: list[Node] = []
        self.arrays: dict[str, numpy.ndarray] = {}
        self._values = {x.node: 0}
        self._functions = functions.inputs
        self._scalings = scalings.calls
        self._paths = _name_arrays(model)
        self._links = {id(link): prefix.lstrip("/") for prefix, link in model.namedlinks()}

    def visit(self, result: Any) -> None:
        """Number a value, after all that it is computed from."""
        waiting = [result]
        while waiting:
            value = waiting[-1]
            if value in self._values:
                waiting.pop()
                continue
            sources = self._sources(value)
            missing = [source for source in sources if source not in self._values]
            if missing:
                waiting += reversed(missing)
            else:
                self._add(value, sources)

    def _sources(self, value: Any) -> list[Any]:
        if value in self._scalings:
            return [self._scalings[value][1]]
        function = value.creator_node
        if function is None:
            raise ArgumentError(
                "the model's result does not come from its input alone: a graph has no inputs but one"
            )
        count = describe_function(function).values
        return list(function.inputs if count is None else function.inputs[:count])

    def _add(self, value: Any, sources: list[Any]) -> None:
        inputs = tuple(self._values[source] for source in sources)
        if value in self._scalings:
            link = self._scalings[value][0]
            path = f"{self._links[id(link)]}/scale"
            scale = self.arrays[path] = numpy.array(link.scale)
            arrays = {"mean": self._name("mean", link.mean), "scale": Array(path, scale.shape)}
            node = Node("scaling", inputs, {}, arrays)
        else:
            function = value.creator_node
            described = describe_function(function)
            if any(node.creator_node is not None for node in function.inputs[len(sources) :]):
                raise ArgumentError(
                    f"the model computes what {type(function).__name__} takes beside its input, which a "
                    "graph can't say: weights have to be parameters"
                )
            rest = self._functions[function][len(sources) :]
            arrays = {
                role: self._name(role, array)
                for role, array in zip(described.roles, rest, strict=False)
            }
            node = Node(described.operation, inputs, described.attributes, arrays)
        self.nodes.append(node)
        self._values[value] = len(self.nodes)

    def _name(self, role: str, array: Any) -> Array:
        """Name an array as the model does; one that it makes as it runs gets a number."""
        path = self._paths.get(id(array))
        if path is None:
            path = f"constants/{len(self.arrays)}/{role}"
        self.arrays[path] = numpy.array(array)
        return Array(path, array.shape)


def _name_arrays(model: Chain) -> dict[int, str]:
    """Name a model's arrays by their identity."""
    names: dict[int, str] = {}
    for prefix, link in model.namedlinks():
        for name in sorted(link._params | link._persistent):
            value = getattr(link, name)
            array = as_array(value) if isinstance(value, Variable) else value
            if isinstance(array, numpy.ndarray):
                names.setdefault(id(array), f"{prefix.lstrip('/')}/{name}".lstrip("/"))
    return names
