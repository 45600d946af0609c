"""What every weight file holds: a pruned network's arrays, what it computes, where it comes from."""

from dataclasses import dataclass
from typing import Any

import numpy

from vdprune.graph import Graph
from vdprune.sparsity import NetworkSparsity, measure_sparsity

FORMAT = "vdprune-weights"
FORMAT_VERSION = 1
HEADER_FIELDS = ("arch", "arch_kwargs", "dataset", "input_shape", "threshold", "layers", "encoding")


@dataclass(frozen=True)
class Weights:
    """A pruned network's arrays.

    Args:
        header: Where it comes from: arch, arch_kwargs, dataset, input_shape, threshold, layers (paths
            of the variational layers) and, in a file, encoding.
        graph: What it computes.
        weights: Weight array of each variational layer by its path, as ``l1/W``; cut weights are
            zero.
        others: Everything else that inference needs: biases, statistics, input scaling.
    """

    header: dict[str, Any]
    graph: Graph
    weights: dict[str, numpy.ndarray]
    others: dict[str, numpy.ndarray]

    def sparsity(self) -> NetworkSparsity:
        """Count the weights.

        Returns:
            The counts per layer and in all.
        """
        return measure_sparsity(
            (path.removesuffix("/W"), W) for path, W in sorted(self.weights.items())
        )
