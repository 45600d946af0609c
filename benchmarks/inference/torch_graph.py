"""Networks in PyTorch, dense and with its sparse matrices."""

import warnings
from typing import Any

import numpy
import torch
import torch.nn.functional as F

from vdprune.formats import Weights
from vdprune.graph import Node


class TorchGraph:
    """Runs a graph with PyTorch.

    Args:
        weights: The network.
        is_sparse: Whether the weights of linear layers are sparse; PyTorch has no such convolutions.
    """

    def __init__(self, weights: Weights, is_sparse: bool) -> None:
        self._nodes = weights.graph.nodes
        arrays = {**weights.others, **weights.weights}
        self._arrays = {path: torch.tensor(array.astype("f4")) for path, array in arrays.items()}
        self._sparse = {}
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "Sparse CSR tensor support is in beta")
            for node in self._nodes:
                if is_sparse and node.operation == "linear":
                    path = node.arrays["W"].path
                    self._sparse[path] = self._arrays[path].to_sparse_csr()

    def __call__(self, x: numpy.ndarray) -> numpy.ndarray:
        """Run the network on examples, shape (batch, *input_shape)."""
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
