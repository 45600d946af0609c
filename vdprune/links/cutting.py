"""Weights that are set to zero for good, whatever the data say of them."""

from typing import Any

import chainer

from vdprune.errors import ArgumentError
from vdprune.functions.log_alpha import is_kept
from vdprune.kernels.constants import LOG_ALPHA_MAX


def cut(link: Any, dead: Any) -> None:
    """Set weights of a variational link to zero, and make training leave them there.

    Their means and log sigma^2 become 0: log alpha is then clipped, and no gradient passes. What the
    optimizer remembers of them becomes 0, too.

    Args:
        link: The link, not compacted and its log alpha not fixed.
        dead: Which weights, array of bool, shape of ``W``.

    Raises:
        ArgumentError: The link is compacted, fixed or has no weights yet; the array has another shape;
            or the threshold is so high that no weight counts as zero.
    """
    check_expanded(link)
    if link.fixed is not None:
        raise ArgumentError(
            f"the log alpha of {type(link).__name__} is fixed, and decides what is cut: call "
            "fix_log_alpha again, with more of it above the threshold"
        )
    if dead.shape != link.log_alpha().shape:
        raise ArgumentError(
            f"dead has shape {dead.shape}, W has {link.W.shape}: say of each weight whether it is cut"
        )
    if is_kept(LOG_ALPHA_MAX, link.loga_threshold):
        raise ArgumentError(
            f"loga_threshold is {link.loga_threshold} and log alpha is at most {LOG_ALPHA_MAX}: give "
            "the layer a lower threshold, so that weights can be cut"
        )
    with chainer.using_device(link.device):
        set_to_zero(link, link.device.send(dead))


def set_to_zero(link: Any, dead: Any) -> None:
    """Set parameters of weights, and the optimizer's state of them, to zero.

    Args:
        link: A variational link; its device is the current one.
        dead: Which weights, array of bool on that device.
    """
    for param in (link.W, link.log_sigma2):
        param.array[dead] = 0
        state = state_of(param)
        for key, array in state.items():
            state[key] = param.device.send(array)  # one that was loaded is on the CPU
            state[key][dead] = 0


def check_expanded(link: Any) -> None:
    """Make sure that a link has its whole size.

    Args:
        link: The link.

    Raises:
        ArgumentError: It is compacted.
    """
    if link.whole is not None:
        raise ArgumentError(
            f"{type(link).__name__} is compacted, and weights are cut in whole layers: call expand of "
            "the chain first"
        )


def state_of(param: Any) -> dict[str, Any]:
    """Look up what the optimizer remembers of a parameter.

    Args:
        param: The parameter.

    Returns:
        The optimizer's own dict of arrays; an empty one where there is none yet.
    """
    rule = param.update_rule
    return {} if rule is None or rule.state is None else rule.state
