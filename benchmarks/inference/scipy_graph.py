"""Networks in NumPy and SciPy."""

from typing import Any

import numpy
import scipy.sparse

from vdprune.formats import Weights
from vdprune.graph import Node


class ScipyGraph:
    """Runs a graph with NumPy and SciPy's sparse products; convolutions on unfolded images.

    Args:
        weights: The network.
    """

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

    def __call__(self, x: numpy.ndarray) -> numpy.ndarray:
        """Run the network on examples, shape (batch, *input_shape)."""
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
