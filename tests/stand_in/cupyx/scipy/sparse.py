"""Sparse matrices on the GPU: nothing is needed of them but that programs that use CuPy find them."""


class spmatrix:  # noqa: N801  CuPy's names
    """Any of them."""


class csr_matrix(spmatrix):  # noqa: N801
    """Compressed rows."""


class csc_matrix(spmatrix):  # noqa: N801
    """Compressed columns."""
