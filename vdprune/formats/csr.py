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
        Attributes and member arrays; indices and indptr in the smallest unsigned type that holds them.

    Source: AnnData, "On-disk format", sparse arrays, encoding version 0.1.0.
    """
    matrix = scipy.sparse.csr_matrix(_known_to_scipy(W.reshape(len(W), -1)))
    attributes = {
        "encoding-type": "csr_matrix",
        "encoding-version": "0.1.0",
        "shape": list(matrix.shape),
        "weight_shape": list(W.shape),
    }
    members = {name: getattr(matrix, name) for name in MEMBERS}
    members["data"] = members["data"].astype(W.dtype)
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
    rows = shape[0]
    columns = int(numpy.prod(shape[1:]))
    kinds = {"data": "f", "indices": "iu", "indptr": "iu"}
    for name, kind in kinds.items():
        if members[name].ndim != 1 or members[name].dtype.kind not in kind:
            raise ValueError(
                f"{name} is an array of {members[name].dtype} of shape {members[name].shape}"
            )
    parts = _known_to_scipy(members["data"]), members["indices"], members["indptr"]
    matrix = scipy.sparse.csr_matrix(parts, shape=(rows, columns))
    matrix.check_format(full_check=True)
    return matrix.toarray().reshape(shape).astype(members["data"].dtype, copy=False)


def _known_to_scipy(array: numpy.ndarray) -> numpy.ndarray:
    """SciPy has no sparse matrices of float16."""
    return array.astype(numpy.float32) if array.dtype == numpy.float16 else array
