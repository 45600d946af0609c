"""Chainer's Adam, its update of a parameter in one pass on the CPU, of all in one launch on a GPU."""

import math
from functools import partial
from typing import Any

import chainer.optimizers
import numpy
from chainer import Parameter
from chainer.optimizers import adam

from vdprune import kernels
from vdprune.functions.choice import Fused, choose_fused
from vdprune.threads import get_team

_WORK = 20  # multiplications that take as long as the update of a weight


class _Settings:
    """What the kernel needs of the hyperparameters; computed once a step for all parameters.

    On a GPU parameters wait here until all can be updated in one launch.
    """

    def __init__(self) -> None:
        self._key: Any = None
        self._settings: tuple[float, ...] | None = None
        self._waiting: dict[Any, list[Any]] = {}
        self.is_collecting = False

    def update_on_gpu(self, arrays: tuple[Any, ...], settings: tuple[float, ...]) -> None:
        """Update a parameter, or let it wait for `update_waiting`."""
        device = arrays[0].device
        self._waiting.setdefault((device.id, arrays[0].dtype, settings), []).append(arrays)
        if not self.is_collecting:
            self.update_waiting()

    def update_waiting(self) -> None:
        """Update what waits."""
        waiting, self._waiting = self._waiting, {}
        for (_, _, settings), parameters in waiting.items():
            with parameters[0][0].device:
                kernels.cuda.adam(parameters, *settings)

    def at(self, hyperparam: Any, t: int) -> tuple[float, ...] | None:
        """Return beta1, beta2, epsilon and the step size of a step; None if it is not a plain one."""
        values = hyperparam.get_dict() if len(vars(hyperparam)) > 1 else vars(hyperparam.parent)
        key = (t, *values.values())
        if key != self._key:
            self._key, self._settings = key, self._compute(values, t)
        return self._settings

    def _compute(self, values: dict[str, Any], t: int) -> tuple[float, ...] | None:
        if values["weight_decay_rate"] or values["amsgrad"] or values["adabound"]:
            return None
        if values["eps"] and not numpy.float32(values["eps"]):
            return None  # Chainer refuses it
        beta1, beta2 = values["beta1"], values["beta2"]
        rate = values["eta"] * values["alpha"] * math.sqrt(1 - beta2**t) / (1 - beta1**t)
        return beta1, beta2, values["eps"], rate


class AdamRule(adam.AdamRule):
    """Update rule of `Adam`.

    Args:
        parent: The optimizer's hyperparameters.
        settings: What the rules of the optimizer share.
    """

    def __init__(self, parent: Any, settings: _Settings) -> None:
        super().__init__(parent)
        self._settings = settings

    def update(self, param: Parameter) -> None:
        """Update a parameter in place.

        Args:
            param: The parameter; what has hooks, a scaled loss, weight decay, AMSGrad or AdaBound, and
                what is not in float32 or float64, is left to Chainer's own rule.
        """
        data, gradient = param._data[0], param._grad
        fused = None if self._is_watched(param) else _choose(data, gradient)
        if fused is None:
            super().update(param)
            return
        if self._state is None or (
            # it was loaded, or the parameter has moved
            fused == "cuda" and getattr(self._state["m"], "device", None) != data.device
        ):
            self._init_states(param)
        settings = self._settings.at(self.hyperparam, self.t + 1)
        arrays = data, gradient, self._state["m"], self._state["v"]
        if settings is None or _choose(*arrays) != fused:
            super().update(param)
            return
        self.t += 1
        if fused == "cuda":
            self._settings.update_on_gpu(arrays, settings)
            return
        flat = [array.reshape(-1) for array in arrays]
        team = get_team()
        parts = team.split(data.size, _WORK * data.size)
        if len(parts) == 1:
            kernels.cpu.adam(*flat, *settings)
        else:
            team.run(
                [partial(kernels.cpu.adam, *(a[part] for a in flat), *settings) for part in parts]
            )

    def _is_watched(self, param: Parameter) -> bool:
        hooks = self._hookable
        return not self.enabled or bool(
            param._loss_scale is not None
            or self._use_fp32_update
            or hooks._pre_update_hooks
            or hooks._post_update_hooks
        )


def _choose(*arrays: Any) -> Fused | None:
    for array in arrays:
        if array is None or not array.flags.c_contiguous:
            return None
    return choose_fused(*arrays)


class Adam(chainer.optimizers.Adam):
    """``chainer.optimizers.Adam`` with the same arguments, results and saved state, and faster."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._settings = _Settings()

    def create_update_rule(self) -> AdamRule:
        """Make a parameter's update rule."""
        return AdamRule(self.hyperparam, self._settings)

    def update(self, lossfun: Any = None, *args: Any, **kwds: Any) -> None:
        """Update the parameters, as Chainer's method does."""
        self._settings.is_collecting = True
        try:
            super().update(lossfun, *args, **kwds)
        finally:
            self._settings.is_collecting = False
            self._settings.update_waiting()  # of an update that was interrupted

    def reallocate_cleared_grads(self) -> None:
        """Give parameters without a gradient zeros, as Chainer's method does, if there are such.

        Chainer calls it before hooks, too, so those see the parameters updated.
        """
        self._settings.update_waiting()
        if any(param._grad is None for param in self.target.params()):
            super().reallocate_cleared_grads()
