"""Weights as compressed sparse rows, laid out as AnnData lays out a csr_matrix on disk."""

import math
from typing import Any

import numpy

from vdprune.sparse_rows import SparseRows, compress, expand

MEMBERS = SparseRows._fields


def encode(W: numpy.ndarray) -> tuple[dict[str, Any], dict[str, numpy.ndarray]]:
    """Encode a weight array; its first axis are the rows, all others together the columns.

    Args:
        W: Weights, shape (out, ...).

    Returns:
        Attributes and member arrays; indices and indptr in the smallest unsigned type that holds them.

    Source: AnnData, "On-disk format", sparse arrays, encoding version 0.1.0.
    """
    members = compress(W)._asdict()
    attributes = {
        "encoding-type": "csr_matrix",
        "encoding-version": "0.1.0",
        "shape": [len(W), math.prod(W.shape[1:])],
        "weight_shape": list(W.shape),
    }
    for name in ("indices", "indptr"):
        most = int(members[name].max(initial=0))
        members[name] = members[name].astype(numpy.min_scalar_type(most))
    return attributes, members


def decode(members: dict[str, numpy.ndarray], shape: tuple[int, ...]) -> numpy.ndarray:
    """Decode what `encode` made.

    Args:
        members: The member arrays.
        shape: Shape that the weight array must have.

    Returns:
        The weights, zeros filled in.

    Raises:
        ValueError: The members are not those of such an array.
    """
    kinds = {"data": "f", "indices": "iu", "indptr": "iu"}
    for name, kind in kinds.items():
        if members[name].ndim != 1 or members[name].dtype.kind not in kind:
            raise ValueError(
                f"{name} is an array of {members[name].dtype} of shape {members[name].shape}"
            )
    return expand(SparseRows(**members), shape)
