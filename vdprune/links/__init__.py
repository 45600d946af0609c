"""Layers that own parameters and call functions."""

from vdprune.links.input_scaling import InputScaling
from vdprune.links.sparse_convolution_2d import SparseConvolution2D
from vdprune.links.sparse_linear import SparseLinear
from vdprune.links.variational_dropout import VariationalDropout
from vdprune.links.variational_dropout_convolution_2d import VariationalDropoutConvolution2D
from vdprune.links.variational_dropout_linear import VariationalDropoutLinear

__all__ = [
    "InputScaling",
    "SparseConvolution2D",
    "SparseLinear",
    "VariationalDropout",
    "VariationalDropoutConvolution2D",
    "VariationalDropoutLinear",
]
