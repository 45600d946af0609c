"""Chainer's Adam, its update of a parameter in one pass on the CPU."""

from functools import partial

import chainer.optimizers
import numpy
from chainer import Parameter
from chainer.optimizers import adam

from vdprune import kernels
from vdprune.threads import get_team

_WORK = 20  # multiplications that take as long as the update of a weight


class AdamRule(adam.AdamRule):
    """Update rule of `Adam`."""

    def update(self, param: Parameter) -> None:
        """Update a parameter in place.

        Args:
            param: The parameter; what has hooks, a scaled loss, weight decay, AMSGrad or AdaBound, and what
                is not on the CPU in float32 or float64, is left to Chainer's own rule.
        """
        if not self.enabled or not self._is_plain(param):
            super().update(param)
            return
        self._init_states(param)
        self.t += 1
        hyperparam = self.hyperparam
        arrays = [
            array.reshape(-1)
            for array in (param.array, param.grad, self.state["m"], self.state["v"])
        ]
        settings = hyperparam.beta1, hyperparam.beta2, hyperparam.eps, hyperparam.eta * self.alpha_t
        team = get_team()
        parts = team.split(param.size, _WORK * param.size)
        team.run(
            [partial(kernels.cpu.adam, *(a[part] for a in arrays), *settings) for part in parts]
        )

    def _is_plain(self, param: Parameter) -> bool:
        hyperparam, data, gradient = self.hyperparam, param.array, param.grad
        return (
            data is not None
            and gradient is not None
            and param._loss_scale is None
            and not self._hookable._pre_update_hooks
            and not self._hookable._post_update_hooks
            and not hyperparam.weight_decay_rate
            and not hyperparam.amsgrad
            and not hyperparam.adabound
            and data.dtype in (numpy.float32, numpy.float64)
            and all(
                isinstance(array, numpy.ndarray)
                and array.dtype == data.dtype
                and array.flags.c_contiguous
                for array in (data, gradient, *(self.state or {}).values())
            )
        )


class Adam(chainer.optimizers.Adam):
    """``chainer.optimizers.Adam`` with the same arguments, results and saved state, and faster."""

    def create_update_rule(self) -> AdamRule:
        """Make a parameter's update rule."""
        return AdamRule(self.hyperparam)

    def reallocate_cleared_grads(self) -> None:
        """Give parameters that have no gradient zeros, as Chainer's method does."""
        if any(param._grad is None for param in self.target.params(False)):
            super().reallocate_cleared_grads()
