"""Training on what is left of a layer: outputs and inputs without weights drop out of its arrays."""

from typing import Any

import numpy
from chainer import as_array
from chainer import functions as F
from chainer.backend import get_array_module
from chainer.backends import cuda

from vdprune import functions
from vdprune.errors import ArgumentError
from vdprune.functions.choice import choose_fused
from vdprune.functions.variational_layer import Alive
from vdprune.links.cutting import state_of
from vdprune.links.variational_dropout import VariationalDropout, Whole

_NAMES = ("W", "log_sigma2")


def find_alive(link: VariationalDropout) -> Alive | None:
    """Find the outputs and inputs of a link that have weights left.

    Args:
        link: The link, not compacted.

    Returns:
        The two; None where nothing can be dropped: all are alive, none is, or the link is one that
        can't be compacted (in groups, of another dtype, not yet initialised, its log alpha fixed).
    """
    if (
        link.W.array is None
        or link.fixed is not None
        or link.log_sigma2.array is None
        or getattr(link, "groups", 1) != 1
        or choose_fused(link.W.array, link.log_sigma2.array) is None
    ):
        return None
    kept = link.kept().reshape(*link.W.shape[:2], -1).any(axis=2)
    outputs, inputs = (cuda.to_cpu(kept.any(axis=axis)) for axis in (1, 0))
    if not outputs.any() or (outputs.all() and inputs.all()):
        return None
    return Alive(numpy.flatnonzero(outputs), numpy.flatnonzero(inputs), kept.shape)


def compact(link: VariationalDropout, alive: Alive) -> None:
    """Shrink a link's parameters, and their optimizer's state, to what is alive.

    Args:
        link: The link, not compacted.
        alive: What `find_alive` found, now or before.

    Raises:
        ArgumentError: The link's log alpha is fixed.
    """
    if link.fixed is not None:
        raise ArgumentError(
            f"the log alpha of {type(link).__name__} is fixed, and such a layer is trained whole: call "
            "release_log_alpha of the layer, or compact({}) of the chain, first"
        )
    arrays = {name: param.array for name, param in _params(link)}
    states = {
        (name, key): param.device.send(state)  # one that was loaded is on the CPU
        for name, param in _params(link)
        for key, state in state_of(param).items()
    }
    divergence, p = _sum_dropped(link, alive)
    # From here on `expand` undoes whatever has been done when an exception comes in between.
    link.whole = Whole(alive, arrays, states, divergence, p)
    for name, param in _params(link):
        param.array = _cut(param.array, alive)
        param.cleargrad()
        for key in state_of(param):
            state_of(param)[key] = _cut(states[name, key], alive)


def _sum_dropped(link: VariationalDropout, alive: Alive) -> tuple[float, float]:
    """Sum divergence and dropout rates of what is dropped; of nothing else, which goes on changing."""
    log_alpha = as_array(link.log_alpha())
    xp = get_array_module(log_alpha)
    is_dropped = xp.ones(log_alpha.shape, bool)
    is_dropped[xp.asarray(alive.outputs)[:, None], xp.asarray(alive.inputs)] = False
    dropped = log_alpha[is_dropped]
    divergence = functions.kl_divergence(dropped, link.prior)
    return float(divergence.array), float(F.sigmoid(dropped).array.sum())


def expand(link: VariationalDropout) -> None:
    """Bring a link's parameters back to their whole size; one that is not compacted stays as it is.

    Args:
        link: The link.
    """
    whole = link.whole
    if whole is None:
        return
    for name, param in _params(link):
        param.array = _put_back(whole.arrays[name], param.array, whole.alive)
        param.cleargrad()
        for key, state in state_of(param).items():
            if (name, key) not in whole.states:  # the optimizer's first step came after `compact`
                whole.states[name, key] = get_array_module(param.array).zeros_like(
                    whole.arrays[name]
                )
            state_of(param)[key] = _put_back(whole.states[name, key], state, whole.alive)
    link.whole = None


def _params(link: Any) -> list[tuple[str, Any]]:
    return [(name, getattr(link, name)) for name in _NAMES]


def _cut(array: Any, alive: Alive) -> Any:
    array = as_array(array)
    xp = get_array_module(array)
    return xp.ascontiguousarray(array[xp.asarray(alive.outputs)][:, xp.asarray(alive.inputs)])


def _put_back(whole: Any, part: Any, alive: Alive) -> Any:
    if part.shape == whole.shape:
        return part
    xp = get_array_module(whole)
    whole[xp.asarray(alive.outputs)[:, None], xp.asarray(alive.inputs)] = part
    return whole
