"""What every weight file holds: a pruned network's arrays, what it computes, where it comes from."""

from dataclasses import dataclass, replace
from typing import Any

import numpy

from vdprune.errors import ArgumentError
from vdprune.graph import Graph
from vdprune.sparsity import NetworkSparsity, measure_sparsity

FORMAT = "vdprune-weights"
FORMAT_VERSION = 1
HEADER_FIELDS = ("arch", "arch_kwargs", "dataset", "input_shape", "threshold", "layers", "encoding")


@dataclass(frozen=True, repr=False)
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

    def __repr__(self) -> str:
        """Tell the network's name and counts; its arrays would fill the screen."""
        found = self.sparsity()
        arch = self.header.get("arch", "a network")
        return f"<Weights of {arch}: {found.nonzero:,} of {found.weights:,} nonzero>"

    def in_float16(self) -> "Weights":
        """Round all arrays to half the bytes, with 11 significant bits.

        Returns:
            The same network but for rounding; weights that are too small become zero.

        Raises:
            ArgumentError: A number is beyond 65,504, the largest that there is.
        """
        return replace(self, weights=_round(self.weights), others=_round(self.others))

    def in_float32(self) -> "Weights":
        """Widen what is in float16, so that what is made of it is not rounded to that again.

        Returns:
            The same network.
        """
        return replace(self, weights=_widen(self.weights), others=_widen(self.others))

    def sparsity(self) -> NetworkSparsity:
        """Count the weights.

        Returns:
            The counts per layer and in all.
        """
        return measure_sparsity(
            (path.removesuffix("/W"), W) for path, W in sorted(self.weights.items())
        )


def _widen(arrays: dict[str, numpy.ndarray]) -> dict[str, numpy.ndarray]:
    half = numpy.dtype(numpy.float16)
    return {
        path: array.astype(numpy.float32) if array.dtype == half else array
        for path, array in arrays.items()
    }


def _round(arrays: dict[str, numpy.ndarray]) -> dict[str, numpy.ndarray]:
    rounded = {}
    for path, array in arrays.items():
        is_rounded = array.dtype.kind == "f" and array.ndim > 0  # a number alone saves nothing
        with numpy.errstate(over="ignore"):
            rounded[path] = array.astype(numpy.float16) if is_rounded else array
        if (numpy.isfinite(array) & ~numpy.isfinite(rounded[path])).any():
            raise ArgumentError(
                f"{path} has numbers up to {abs(array).max():g}, float16 ends at 65,504: export it in "
                "float32"
            )
    return rounded
