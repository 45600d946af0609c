"""What runs the networks: vdprune.runtime, onnxruntime, PyTorch and SciPy, each at its best."""

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy
import onnxruntime
import scipy.sparse
import torch
import torch.nn.functional as F

from vdprune.export import build_chain
from vdprune.export.onnx_file import write_onnx
from vdprune.formats import Weights
from vdprune.graph import Node
from vdprune.runtime import make_network

Predict = Callable[[numpy.ndarray], Any]

OURS, DENSE = "vdprune", "vdprune, all dense"


def make_contenders(weights: Weights, threads: int) -> dict[str, Predict]:
    """Make all that can run a network.

    Args:
        weights: The network.
        threads: How many threads each may use; SciPy uses one.

    Returns:
        Each by its name.
    """
    torch.set_num_threads(threads)
    return {
        OURS: make_network(weights, threads).logits,
        DENSE: make_network(weights, threads, "dense").logits,
        "onnxruntime, dense": _make_onnxruntime(weights, threads),
        "PyTorch, dense": _Torch(weights, is_sparse=False),
        "PyTorch, sparse CSR": _Torch(weights, is_sparse=True),
        "SciPy, CSR": _Scipy(weights),
    }


def _make_onnxruntime(weights: Weights, threads: int) -> Predict:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "network.onnx"
        write_onnx(path, build_chain(weights), weights.graph.input_shape)
        session = onnxruntime.InferenceSession(
            str(path), options, providers=["CPUExecutionProvider"]
        )
    return lambda x: session.run(None, {"input": x})[0]


class _Torch:
    """Runs a graph with PyTorch; sparse are its linear layers, for convolutions can not be."""

    def __init__(self, weights: Weights, is_sparse: bool) -> None:
        self._nodes = weights.graph.nodes
        arrays = {**weights.others, **weights.weights}
        self._arrays = {path: torch.tensor(array.astype("f4")) for path, array in arrays.items()}
        self._sparse = {}
        for node in self._nodes:
            if is_sparse and node.operation == "linear":
                path = node.arrays["W"].path
                self._sparse[path] = self._arrays[path].to_sparse_csr()

    def __call__(self, x: numpy.ndarray) -> Any:
        with torch.inference_mode():
            values = [torch.from_numpy(x)]
            for node in self._nodes:
                values.append(self._run(node, *(values[i] for i in node.inputs)))
            return values[-1].numpy()

    def _run(self, node: Node, x: Any) -> Any:
        own = {role: self._arrays[array.path] for role, array in node.arrays.items()}
        a = node.attributes
        if node.operation == "scaling":
            return x * own["scale"] - own["mean"]
        if node.operation == "linear":
            W = self._sparse.get(node.arrays["W"].path)
            if W is None:
                return F.linear(x, own["W"], own.get("b"))
            y = (W @ x.T).T
            return y + own["b"] if "b" in own else y
        if node.operation == "convolution_2d":
            b = own.get("b")
            return F.conv2d(x, own["W"], b, a["stride"], a["pad"], a["dilate"], a["groups"])
        if node.operation == "batch_normalization":
            statistics = own["mean"], own["var"], own["gamma"], own["beta"]
            return F.batch_norm(x, *statistics, eps=a["eps"])
        if node.operation == "max_pooling_2d":
            return F.max_pool2d(x, a["ksize"], a["stride"], a["pad"], ceil_mode=a["cover_all"])
        if node.operation == "reshape":
            return x.reshape(len(x), *a["shape"])
        assert node.operation == "relu", node.operation
        return F.relu(x)


class _Scipy:
    """Runs a graph with NumPy and SciPy's sparse products; convolutions on unfolded images."""

    def __init__(self, weights: Weights) -> None:
        self._nodes = weights.graph.nodes
        self._arrays = {
            path: array.astype("f4")
            for path, array in {**weights.others, **weights.weights}.items()
        }
        self._sparse = {
            path: scipy.sparse.csr_matrix(array.reshape(len(array), -1))
            for path, array in self._arrays.items()
            if path.endswith("/W")
        }

    def __call__(self, x: numpy.ndarray) -> Any:
        values = [x]
        for node in self._nodes:
            values.append(self._run(node, *(values[i] for i in node.inputs)))
        return values[-1]

    def _run(self, node: Node, x: Any) -> Any:
        own = {role: self._arrays[array.path] for role, array in node.arrays.items()}
        if node.operation == "scaling":
            return x * own["scale"] - own["mean"]
        if node.operation == "linear":
            return (self._sparse[node.arrays["W"].path] @ x.T).T + own.get("b", 0)
        if node.operation == "convolution_2d":
            return self._convolve(node, own, x)
        if node.operation == "batch_normalization":
            shape = (-1, *(1,) * (x.ndim - 2))
            scale = own["gamma"] / numpy.sqrt(own["var"] + numpy.float32(node.attributes["eps"]))
            shift = own["beta"] - own["mean"] * scale
            return x * scale.reshape(shape) + shift.reshape(shape)
        if node.operation == "max_pooling_2d":
            assert node.attributes["ksize"] == node.attributes["stride"] == [2, 2]
            even = x[:, :, : x.shape[2] // 2 * 2, : x.shape[3] // 2 * 2]
            rows = numpy.maximum(even[:, :, ::2], even[:, :, 1::2])
            return numpy.maximum(rows[..., ::2], rows[..., 1::2])
        if node.operation == "reshape":
            return x.reshape(len(x), *node.attributes["shape"])
        assert node.operation == "relu", node.operation
        return numpy.maximum(x, 0)

    def _convolve(self, node: Node, own: Any, x: Any) -> Any:
        attributes, ksize = node.attributes, own["W"].shape[2:]
        assert attributes["stride"] == attributes["dilate"] == [1, 1]
        top, left = attributes["pad"]
        x = numpy.pad(x, ((0, 0), (0, 0), (top, top), (left, left)))
        windows = numpy.lib.stride_tricks.sliding_window_view(x, ksize, (2, 3))
        n, _, height, width = windows.shape[:4]
        columns = windows.transpose(1, 4, 5, 0, 2, 3).reshape(-1, n * height * width)
        y = self._sparse[node.arrays["W"].path] @ columns
        y = y.reshape(-1, n, height, width).transpose(1, 0, 2, 3)
        return y + own["b"][:, None, None] if "b" in own else y
