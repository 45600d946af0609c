"""Weights as compressed sparse rows, laid out as AnnData lays out a csr_matrix on disk."""

from typing import Any

import numpy
import scipy.sparse

MEMBERS = ("data", "indices", "indptr")


def encode(W: numpy.ndarray) -> tuple[dict[str, Any], dict[str, numpy.ndarray]]:
    """Encode a weight array; its first axis are the rows, all others together the columns.

    Args:
        W: Weights, shape (out, ...).

    Returns:
        Attributes and member arrays.

    Source: AnnData, "On-disk format", sparse arrays, encoding version 0.1.0.
    """
    matrix = scipy.sparse.csr_matrix(W.reshape(len(W), -1))
    attributes = {
        "encoding-type": "csr_matrix",
        "encoding-version": "0.1.0",
        "shape": list(matrix.shape),
        "weight_shape": list(W.shape),
    }
    return attributes, {name: getattr(matrix, name) for name in MEMBERS}


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
    rows = shape[0]
    columns = int(numpy.prod(shape[1:]))
    kinds = {"data": "f", "indices": "iu", "indptr": "iu"}
    for name, kind in kinds.items():
        if members[name].ndim != 1 or members[name].dtype.kind not in kind:
            raise ValueError(
                f"{name} is an array of {members[name].dtype} of shape {members[name].shape}"
            )
    matrix = scipy.sparse.csr_matrix(
        tuple(members[name] for name in MEMBERS), shape=(rows, columns)
    )
    matrix.check_format(full_check=True)
    return matrix.toarray().reshape(shape)
