"""A network in onnxruntime, for comparison."""

import importlib
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy

from vdprune.errors import ArgumentError
from vdprune.export.building import build_chain
from vdprune.export.onnx_file import INPUT, export_onnx
from vdprune.formats import Weights


def make_onnx_session(weights: Weights, threads: int) -> Callable[[numpy.ndarray], numpy.ndarray]:
    """Make what runs a network in onnxruntime, on the CPU, with the zeros among its weights.

    Args:
        weights: The network.
        threads: How many threads share the work of a layer.

    Returns:
        What takes examples of float32, shape (batch, *input_shape), and returns the network's results.

    Raises:
        ArgumentError: onnx or onnxruntime is not installed, or the network can't be written as ONNX.
    """
    onnxruntime = _load_onnxruntime()
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "network.onnx"
        export_onnx(build_chain(weights), weights.graph.input_shape, path)
        session = onnxruntime.InferenceSession(
            str(path), options, providers=["CPUExecutionProvider"]
        )
    return lambda x: session.run(None, {INPUT: x})[0]


def _load_onnxruntime() -> Any:
    try:
        return importlib.import_module("onnxruntime")
    except ImportError:
        raise ArgumentError(
            "the package onnxruntime is not installed: "
            f"{sys.executable} -m pip install onnx onnxruntime"
        ) from None
