"""Chainer's Adam, its update of a parameter in one pass on the CPU, of all in one launch on a GPU."""

import contextlib
import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import chainer.optimizers
import numpy
from chainer import Parameter
from chainer.optimizers import adam

from vdprune import kernels
from vdprune.functions.choice import Fused, choose_fused
from vdprune.kernels import order_layout as orders
from vdprune.kernels.addresses import get_address
from vdprune.threads import get_team

_WORK = 60  # multiplications that take as long as the update of a weight, which waits for memory


class _Updates:
    """What the rules of an optimizer share: the step's settings, and parameters that wait.

    While the optimizer goes through them, parameters wait here until all can be updated at once.
    """

    def __init__(self) -> None:
        self._t = 0
        self._settings: tuple[float, ...] | None = None
        self._waiting: dict[Any, list[Any]] = {}
        self._is_collecting = False
        self._on_cpu = _ParametersOnCpu()
        self._has_updated = False  # in the last step

    @contextlib.contextmanager
    def collecting(self) -> Iterator[None]:
        """Let parameters wait, until the end at the latest."""
        self._is_collecting, self._t, self._has_updated = True, 0, False
        try:
            yield
        finally:
            self._is_collecting = False
            self.update_waiting()

    def update(self, fused: Fused, arrays: tuple[Any, ...], settings: tuple[float, ...]) -> None:
        """Update a parameter, or let it wait for `update_waiting`."""
        device = arrays[0].device.id if fused == "cuda" else None
        self._waiting.setdefault((device, arrays[0].dtype, settings), []).append(arrays)
        if not self._is_collecting:
            self.update_waiting()

    def update_waiting(self) -> None:
        """Update what waits."""
        waiting, self._waiting = self._waiting, {}
        self._has_updated |= bool(waiting)
        for (device, _, settings), parameters in waiting.items():
            if device is None:
                self._on_cpu.update(parameters, settings)
                continue
            with parameters[0][0].device:
                kernels.cuda.adam(parameters, *settings)

    def find_last_order(self) -> "_ParametersOnCpu | None":
        """Return what was updated last in the last step, if anything was."""
        return self._on_cpu if self._has_updated else None

    def at(self, hyperparam: Any, t: int) -> tuple[float, ...] | None:
        """Return beta1, beta2, epsilon and the step size of a step; None if it is not a plain one."""
        if len(vars(hyperparam)) > 1:  # a parameter's own
            return self.compute(hyperparam.get_dict(), t)
        if self._t != t or not self._is_collecting:
            self._t, self._settings = t, self.compute(vars(hyperparam.parent), t)
        return self._settings

    def compute(self, values: Mapping[str, Any], t: int) -> tuple[float, ...] | None:
        if values["weight_decay_rate"] or values["amsgrad"] or values["adabound"]:
            return None
        if values["eps"] and not numpy.float32(values["eps"]):
            return None  # Chainer refuses it
        beta1, beta2 = values["beta1"], values["beta2"]
        rate = values["eta"] * values["alpha"] * math.sqrt(1 - beta2**t) / (1 - beta1**t)
        return beta1, beta2, values["eps"], rate


class _ParametersOnCpu:
    """Parameters as the kernel wants them: their addresses, most of which are those of the last step."""

    def __init__(self) -> None:
        self._known: list[Any] = []
        self.settings: tuple[float, ...] = ()
        self.table = numpy.zeros((0, orders.PARAMETER_FIELDS), numpy.int64)

    def update(self, parameters: list[Any], settings: tuple[float, ...]) -> None:
        """Update parameters: threads have a part each of those that are large enough.

        Args:
            parameters: Data, gradient and moments of each.
            settings: Those of the step.
        """
        if len(parameters) != len(self._known) or not all(map(_is_known, parameters, self._known)):
            addresses = [[*map(get_address, arrays), arrays[0].size] for arrays in parameters]
            self.table = numpy.array(addresses, numpy.int64)
        else:
            self.table[:, 1] = [get_address(arrays[1]) for arrays in parameters]
        self._known, self.settings = [(data, m, v) for data, _, m, v in parameters], settings
        order = numpy.zeros(orders.LENGTH, numpy.int64)
        order[[orders.KIND, orders.TABLE]] = orders.ADAM, get_address(self.table)
        order[orders.ROWS] = len(parameters)
        team = get_team()
        # A gradient in another processor's cache is far away, so threads that made it stay with it.
        count = max(team.count_for_layers, team.worth(_WORK * int(self.table[:, 4].sum())))
        team.carry_out(order, settings, parameters[0][0], count)

    def __reduce__(self) -> Any:
        return _ParametersOnCpu, ()  # a copy's parameters are elsewhere


def _is_known(arrays: Any, known: Any) -> bool:
    data, _, m, v = arrays
    return data is known[0] and m is known[1] and v is known[2]


class AdamRule(adam.AdamRule):
    """Update rule of `Adam`.

    Args:
        parent: The optimizer's hyperparameters.
        updates: What the rules of the optimizer share.
    """

    def __init__(self, parent: Any, updates: _Updates) -> None:
        super().__init__(parent)
        self._updates = updates
        self._known: tuple[Any, Any, Any, Fused] | None = None

    def update(self, param: Parameter) -> None:
        """Update a parameter in place.

        Args:
            param: The parameter; what has hooks, a scaled loss, weight decay, AMSGrad or AdaBound, and
                what is not in float32 or float64, is left to Chainer's own rule.
        """
        data, gradient = param._data[0], param._grad
        if gradient is None or self._is_watched(param):
            super().update(param)
            return
        if self._state is None or (
            # it was loaded, or the parameter has moved
            getattr(self._state["m"], "device", None) != getattr(data, "device", None)
        ):
            self._init_states(param)
        settings = self._updates.at(self.hyperparam, self.t + 1)
        arrays = data, gradient, self._state["m"], self._state["v"]
        fused = None if settings is None else self._choose(*arrays)
        if settings is None or fused is None:
            super().update(param)
            return
        self.t += 1
        self._updates.update(fused, arrays, settings)

    def _choose(self, data: Any, gradient: Any, m: Any, v: Any) -> Fused | None:
        """Choose as `choose_fused` does, once for the same arrays, but for the gradient."""
        known = self._known
        if (
            known is not None
            and data is known[0]
            and m is known[1]
            and v is known[2]
            and type(gradient) is type(data)
            and gradient.dtype == data.dtype
            and gradient.flags.c_contiguous
        ):
            return known[3]
        fused = _choose(data, gradient, m, v)
        self._known = None if fused is None else (data, m, v, fused)
        return fused

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


@dataclass(frozen=True)
class Step:
    """What an update of all parameters did.

    Args:
        parameters: The parameters, their gradients and moments: see `vdprune.kernels.order_layout`.
        settings: beta1, beta2 and epsilon.
        step_sizes: Returns those of the next steps, so many.
    """

    parameters: Any
    settings: tuple[float, ...]
    step_sizes: Callable[[int], list[float]]


class Adam(chainer.optimizers.Adam):
    """``chainer.optimizers.Adam`` with the same arguments, results and saved state, and faster."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._updates = _Updates()

    def create_update_rule(self) -> AdamRule:
        """Make a parameter's update rule."""
        return AdamRule(self.hyperparam, self._updates)

    def update(self, lossfun: Any = None, *args: Any, **kwds: Any) -> None:
        """Update the parameters, as Chainer's method does."""
        with self._updates.collecting():
            super().update(lossfun, *args, **kwds)

    def reallocate_cleared_grads(self) -> None:
        """Give parameters without a gradient zeros, as Chainer's method does, if there are such.

        Chainer calls it before hooks, too, so those see the parameters updated.
        """
        self._updates.update_waiting()
        if any([param._grad is None for param in self.target.params()]):  # noqa: C419, faster
            super().reallocate_cleared_grads()

    def find_step(self) -> Step | None:
        """Find out what the last update did, so that it can be done again without Chainer.

        Returns:
            That; None if it was not one order, on the CPU, for all parameters that are updated.
        """
        rules, order, hooks = self._enabled_rules(), self._updates.find_last_order(), self._hookable
        is_watched = hooks._pre_update_hooks or hooks._post_update_hooks or self._loss_scale
        if order is None or is_watched or len(rules) != len(order.table):
            return None
        hyperparam, t = vars(self.hyperparam), rules[0].t
        if order.settings != self._updates.compute(hyperparam, t):
            return None  # parameters have their own

        def step_sizes(steps: int) -> list[float]:
            settings = [self._updates.compute(hyperparam, t + 1 + step) for step in range(steps)]
            return [each[3] for each in settings if each is not None]

        return Step(order.table, order.settings[:3], step_sizes)

    def count_steps(self, steps: int) -> None:
        """Take notice of updates that were done without it.

        Args:
            steps: How many.
        """
        self.t += steps
        for rule in self._enabled_rules():
            rule.t += steps

    def _enabled_rules(self) -> list[Any]:
        rules = [parameter.update_rule for parameter in self.target.params()]
        return [rule for rule in rules if rule is not None and rule.enabled]
