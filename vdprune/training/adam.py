"""Chainer's Adam, its update of a parameter in one pass on the CPU."""

from typing import Any

import chainer.optimizers
import numpy
from chainer import Parameter
from chainer.optimizers import adam


class AdamRule(adam.AdamRule):
    """Update rule of `Adam`."""

    def update_core_cpu(self, param: Parameter) -> None:
        """Update a parameter in place.

        Args:
            param: The parameter; weight decay, AMSGrad, AdaBound, and what is not float32 or float64
                are left to Chainer's own rule.
        """
        hyperparam, gradient = self.hyperparam, param.grad
        arrays = [param.array, gradient, self.state["m"], self.state["v"]]
        if (
            gradient is None
            or hyperparam.weight_decay_rate
            or hyperparam.amsgrad
            or hyperparam.adabound
            or not all(_is_plain(array, param.dtype) for array in arrays)
        ):
            super().update_core_cpu(param)
            return
        from vdprune.kernels import cpu

        cpu.adam(
            *(array.reshape(-1) for array in arrays),
            hyperparam.beta1,
            hyperparam.beta2,
            hyperparam.eps,
            hyperparam.eta * self.alpha_t,
        )


class Adam(chainer.optimizers.Adam):
    """``chainer.optimizers.Adam`` with the same arguments, results and saved state, and faster."""

    def create_update_rule(self) -> AdamRule:
        """Make a parameter's update rule."""
        return AdamRule(self.hyperparam)


def _is_plain(array: Any, dtype: Any) -> bool:
    return (
        dtype in (numpy.float32, numpy.float64)
        and array.dtype == dtype
        and array.flags.c_contiguous
    )
