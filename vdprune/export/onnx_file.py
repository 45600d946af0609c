"""A Chainer model as an ONNX file."""

import importlib
import sys
from pathlib import Path
from typing import Any

import chainer
import numpy
from chainer import Chain, Variable

from vdprune.conversion import named_variational_links, to_ordinary
from vdprune.errors import ArgumentError
from vdprune.export.tracing import check_input_shape
from vdprune.storage import MARK, check_marked, check_writable, write_atomically
from vdprune.version import __version__

OPSET = 11  # the newest that onnx_chainer writes
INPUT, OUTPUT, BATCH = "input", "output", "batch"

_BATCHES = 2, 3  # what differs between a model of two examples and one of three is the batch's size
_TOLERANCE = 1e-4  # of the largest number of a result


def export_onnx(
    chain: Chain, input_shape: tuple[int, ...], path: str | Path, sparse: bool = False
) -> None:
    """Write a Chainer model as an ONNX file of opset 11; the batch is of any size.

    Its ``input`` are raw examples in float32, its ``output`` is what the model returns in evaluation.
    The model is traced by onnx_chainer, which is a part of Chainer. What it made is checked by
    onnx's checker and run by onnx's reference evaluator, before anything is written.

    Sparse weights are entries of ``sparse_initializer`` with indices into the flattened array, twelve
    bytes for each weight that is left; a dense array has four for each there is. onnxruntime takes
    them wherever a layer has weights (Gemm, MatMul, Conv) and makes them dense as it loads the file.
    onnx's checker takes them too, but not with ``full_check``, nor does onnx's shape inference: to
    them such weights are no tensors.

    Args:
        chain: The model; weights above their layer's threshold are written as zero, or not at all.
        input_shape: Shape of one example.
        path: The file.
        sparse: Whether the variational layers' weights are written without their zeros.

    Raises:
        ArgumentError: onnx is not installed, ``path`` does not end in .onnx, ``input_shape`` is none, or
            the model does what onnx_chainer can't write, or can't write for a batch of any size.
        FileWriteError: The file can't be written, or one that vdprune did not write is in its place.
    """
    check_input_shape(input_shape)
    onnx, path = load_onnx(), Path(path)
    if path.suffix != ".onnx":
        raise ArgumentError(
            f"{path} ends in {path.suffix or 'nothing'}: an ONNX file ends in .onnx"
        )
    check_writable(path)
    check_marked(path)
    model = chain.copy("copy")
    model.to_device("@numpy")
    layers = [name for name, _ in named_variational_links(model)]
    to_ordinary(model)
    random = numpy.random.default_rng(0)
    runs = [_run(model, random.normal(size=(n, *input_shape))) for n in _BATCHES]
    two, three = (_trace(onnx, model, x) for x, _ in runs)
    _free_batch(onnx, two, three)
    _check(onnx, two, runs)
    if sparse:
        # as onnx_chainer names them
        _make_sparse(onnx, two, {f"param_{layer.replace('/', '_')}_W" for layer in layers})
        onnx.checker.check_model(two)
    write_atomically(path, two.SerializeToString(deterministic=True))


def load_onnx() -> Any:
    """Import onnx.

    Returns:
        The module.

    Raises:
        ArgumentError: It is not installed.
    """
    try:
        return importlib.import_module("onnx")
    except ImportError:
        raise ArgumentError(
            "ONNX files need the package onnx, which is not installed: "
            f"{sys.executable} -m pip install onnx"
        ) from None


def _run(model: Chain, examples: numpy.ndarray) -> tuple[numpy.ndarray, numpy.ndarray]:
    x = examples.astype(numpy.float32)
    with chainer.using_config("train", False), chainer.no_backprop_mode():
        y = model(x)
    if not isinstance(y, Variable):
        raise ArgumentError(f"the model returns {type(y).__name__}: it must return one Variable")
    if y.shape[:1] != x.shape[:1]:
        raise ArgumentError(
            f"the model returns an array of shape {y.shape} for {len(x)} examples: its first axis "
            "must be the batch"
        )
    return x, y.array


def _trace(onnx: Any, model: Chain, x: numpy.ndarray) -> Any:
    """Make an ONNX model for one size of the batch."""
    export = importlib.import_module("onnx_chainer").export
    try:
        traced = export(
            model,
            x,
            graph_name=type(model).__name__,
            opset_version=OPSET,
            input_names=[INPUT],
            output_names=[OUTPUT],
            no_testcase=True,
        )
    except Exception as error:  # its converters raise whatever they come upon
        found = str(error) or type(error).__name__
        raise ArgumentError(
            f"{type(model).__name__} can't be written as ONNX, says onnx_chainer: {found}"
        ) from error
    traced.producer_name, traced.producer_version = MARK, __version__
    traced.ir_version = onnx.helper.find_min_ir_version_for(traced.opset_import)
    _tidy(traced.graph)
    return traced


def _tidy(graph: Any) -> None:
    """Leave the graph one input and the arrays that it uses, under names that are always the same."""
    arrays = {array.name: array for array in graph.initializer}
    used: dict[str, str] = {}
    for node in graph.node:
        for i, name in enumerate(node.input):
            if name in arrays:
                # arrays that are no parameters have numbers that depend on where memory was free
                known = name if name.startswith("param_") else f"constant_{len(used)}"
                node.input[i] = used.setdefault(name, known)
        if node.op_type == "BatchNormalization":
            # Statistics that stay as they are: nothing to inference, but onnx's reference evaluator
            # takes less than 1 for training.
            next(a for a in node.attribute if a.name == "momentum").f = 1.0
    for name, new in used.items():
        arrays[name].name = new
    kept = [arrays[name] for name in used]
    del graph.initializer[:]
    graph.initializer.extend(kept)
    for value in [value for value in graph.input if value.name != INPUT]:
        graph.input.remove(value)


def _free_batch(onnx: Any, two: Any, three: Any) -> None:
    """Take the batch's size out of a model of two examples, with the help of one of three."""
    graph, other = two.graph, three.graph
    if len(graph.node) != len(other.node) or graph.initializer != other.initializer:
        raise _refuse_batch("it is made of other parts for three examples than for two")
    readers = {name: node for node in graph.node for name in node.input}
    for node, changed in zip(graph.node, other.node, strict=True):
        if node == changed:
            continue
        reader = readers.get(node.output[0], node)
        if node.op_type != "Constant" or reader.op_type not in ("Reshape", "Expand"):
            raise _refuse_batch(f"{reader.name} of its ONNX graph depends on it")
        shapes = [onnx.numpy_helper.to_array(n.attribute[0].t) for n in (node, changed)]
        shape = _free_shape(reader, *shapes)
        node.attribute[0].t.CopyFrom(onnx.numpy_helper.from_array(shape, node.output[0]))
    for value in (*graph.input, *graph.output):
        value.type.tensor_type.shape.dim[0].dim_param = BATCH


def _free_shape(reader: Any, two: numpy.ndarray, three: numpy.ndarray) -> numpy.ndarray:
    places = numpy.flatnonzero(two != three) if two.shape == three.shape else numpy.arange(0)
    is_taken = bool((two == -1).any())
    if len(places) != 1 or (is_taken and places[0] != 0):
        raise _refuse_batch(f"{reader.name} of its ONNX graph depends on it")
    shape = two.copy()
    if reader.op_type == "Expand":
        shape[places[0]] = 1  # as many as there are
    else:
        shape[places[0]] = 0 if is_taken else -1  # as many as before; as many as are left
    return shape


def _refuse_batch(found: str) -> ArgumentError:
    return ArgumentError(
        f"the model can't be written for a batch of any size: {found}; let each example be computed "
        "by itself"
    )


def _check(onnx: Any, model: Any, runs: list[tuple[numpy.ndarray, numpy.ndarray]]) -> None:
    """Make sure that a model is one, and computes what the Chainer model did."""
    reference = importlib.import_module("onnx.reference")
    try:
        onnx.checker.check_model(model, full_check=True)
        evaluator = reference.ReferenceEvaluator(model)
        with numpy.errstate(all="ignore"):
            results = [evaluator.run(None, {INPUT: x})[0] for x, _ in runs]
    except Exception as error:  # whatever onnx raises for what is none
        raise ArgumentError(
            f"what onnx_chainer made of {model.graph.name} is no ONNX model: {error}"
        ) from error
    for found, (_, expected) in zip(results, runs, strict=True):
        tolerance = _TOLERANCE * numpy.abs(expected).max()
        if found.shape != expected.shape or not numpy.allclose(
            found, expected, rtol=0, atol=tolerance, equal_nan=True
        ):
            raise ArgumentError(
                f"what onnx_chainer made of {model.graph.name} computes something else than the "
                "model itself: it has a function that ONNX does otherwise"
            )


def _make_sparse(onnx: Any, model: Any, names: set[str]) -> None:
    """Replace arrays by their nonzero numbers."""
    graph = model.graph
    for array in [array for array in graph.initializer if array.name in names]:
        W = onnx.numpy_helper.to_array(array)
        places = numpy.flatnonzero(W)
        values = onnx.numpy_helper.from_array(W.reshape(-1)[places], array.name)
        indices = onnx.numpy_helper.from_array(places.astype(numpy.int64), f"{array.name}_indices")
        graph.sparse_initializer.append(onnx.helper.make_sparse_tensor(values, indices, W.shape))
        graph.initializer.remove(array)
