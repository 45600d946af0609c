"""Stateless differentiable maths, one function per file."""

from vdprune.functions.convolution_2d import convolution_2d
from vdprune.functions.cross_entropy import cross_entropy
from vdprune.functions.distillation import distillation
from vdprune.functions.joint_objective import joint_objective
from vdprune.functions.kl_divergence import kl_divergence
from vdprune.functions.linear_of_few import linear_of_few
from vdprune.functions.local_reparameterisation import local_reparameterisation
from vdprune.functions.log_alpha import is_kept, log_alpha
from vdprune.functions.variational_dropout_convolution_2d import variational_dropout_convolution_2d
from vdprune.functions.variational_dropout_linear import variational_dropout_linear
from vdprune.functions.weight_moments import weight_moments

__all__ = [
    "convolution_2d",
    "cross_entropy",
    "distillation",
    "is_kept",
    "joint_objective",
    "kl_divergence",
    "linear_of_few",
    "local_reparameterisation",
    "log_alpha",
    "variational_dropout_convolution_2d",
    "variational_dropout_linear",
    "weight_moments",
]
