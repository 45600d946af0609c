"""Weights as plain arrays with their zeros, under the same names as in the CSR files."""

from typing import Any

import numpy

MEMBERS = ("",)


def encode(W: numpy.ndarray) -> tuple[dict[str, Any], dict[str, numpy.ndarray]]:
    """Encode a weight array.

    Args:
        W: Weights, any shape.

    Returns:
        Attributes and the one member array.

    Source: AnnData, "On-disk format", dense arrays, encoding version 0.2.0.
    """
    attributes = {"encoding-type": "array", "encoding-version": "0.2.0"}
    return attributes, {"": W}


def decode(members: dict[str, numpy.ndarray], shape: tuple[int, ...]) -> numpy.ndarray:
    """Decode what `encode` made.

    Args:
        members: The one member array.
        shape: Shape that it must have.

    Returns:
        The weights.

    Raises:
        ValueError: It has another shape.
    """
    if members[""].shape != shape:
        raise ValueError(f"the array has shape {members[''].shape}, expected {shape}")
    return members[""]
