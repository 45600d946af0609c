"""Inference from a weight file, fast because the network is sparse; it needs no Chainer."""

from pathlib import Path

from vdprune.formats import load_weights
from vdprune.garbage import paused_collector
from vdprune.runtime.network import Network, make_network

__all__ = ["Network", "load", "make_network"]


def load(path: str | Path, threads: int = 1) -> Network:
    """Make a network ready to run; each of its layers is tried sparse and dense, and the faster kept.

    Args:
        path: A weight file, as `vdprune export` writes it.
        threads: How many threads share the examples of a batch.

    Returns:
        The network.

    Raises:
        FileFormatError: The file is missing, damaged or something else.
        ArgumentError: The network does what the runtime can't do, or so many threads can't be had.
    """
    with paused_collector():
        return make_network(load_weights(path), threads)
