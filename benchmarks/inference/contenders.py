"""What runs the networks: vdprune.runtime, onnxruntime, PyTorch and SciPy."""

import importlib.util

from benchmarks.inference.scipy_graph import ScipyGraph
from vdprune.export.onnx_session import make_onnx_session
from vdprune.formats import Weights
from vdprune.runtime import make_network
from vdprune.runtime.bench import Predict

OURS, DENSE = "vdprune", "vdprune, all dense"

_PEERS = ("onnx", "onnxruntime", "torch")


def make_contenders(weights: Weights, threads: int) -> dict[str, Predict]:
    """Make all that can run a network.

    Args:
        weights: The network.
        threads: How many threads each may use; SciPy uses one.

    Returns:
        Each by its name, ours first.
    """
    import torch

    from benchmarks.inference.torch_graph import TorchGraph

    torch.set_num_threads(threads)
    return {
        OURS: make_network(weights, threads).logits,
        DENSE: make_network(weights, threads, "dense").logits,
        "onnxruntime, dense": make_onnx_session(weights, threads),
        "PyTorch, dense": TorchGraph(weights, is_sparse=False),
        "PyTorch, sparse CSR": TorchGraph(weights, is_sparse=True),
        "SciPy, CSR": ScipyGraph(weights),
    }


def missing_peers() -> list[str]:
    """Name the packages among the peers that are not installed."""
    return [package for package in _PEERS if importlib.util.find_spec(package) is None]
