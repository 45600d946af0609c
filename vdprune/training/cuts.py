"""Cutting weights for good while a network is trained."""

import math
from typing import Any

import numpy
from chainer import as_array, get_device

from vdprune.chain import VariationalDropoutChain
from vdprune.kernels.constants import LOG_ALPHA_MAX
from vdprune.links.cutting import cut
from vdprune.training.phase import Cut, CutBy


def cut_weights(
    model: VariationalDropoutChain, plan: Cut, sparsity: float | None, threshold: float
) -> None:
    """Set the weights of a network that are worth least to zero; they stay there.

    Args:
        model: The network; it gets its whole size.
        plan: Which weights go first.
        sparsity: Share of all weights that shall be zero then, 0 to 1; None for those above the plan's
            threshold.
        threshold: Log alpha above which weights are cut in any case.
    """
    model.expand()
    links = [link for _, link in model.named_variational_links()]
    worth = [_rank(link, plan.by, threshold) for link in links]
    if sparsity is None:
        limit = -(math.inf if plan.threshold is None else plan.threshold)
    else:
        every = numpy.sort(numpy.concatenate([values.ravel() for values in worth]))[::-1]
        keep = math.floor(every.size * (1 - sparsity) + 1e-9)
        # of equal ones all are cut, so that no more are left than asked for
        limit = every[keep] if keep < every.size else -math.inf
    for link, values in zip(links, worth, strict=True):
        dead = (values < limit if sparsity is None else values <= limit) | (values == -numpy.inf)
        _cut(link, link.device.send(dead))


def _rank(link: Any, by: CutBy, threshold: float) -> numpy.ndarray:
    """Tell what each weight is worth, as NumPy array; what is cut in any case is worth -inf."""
    cpu = get_device("@numpy")
    log_alpha = cpu.send(as_array(link.log_alpha()))
    worth = -log_alpha if by == "log-alpha" else numpy.abs(cpu.send(link.W.array))
    return numpy.where(log_alpha > threshold, -numpy.inf, worth)


def _cut(link: Any, dead: Any) -> None:
    if link.fixed is None:
        cut(link, dead)
    else:
        log_alpha = link.fixed.log_alpha
        link.fix_log_alpha(link.xp.where(dead, LOG_ALPHA_MAX, log_alpha))
