"""Cutting weights for good while a network is trained."""

import math
from collections.abc import Iterable
from typing import Any

import numpy
from chainer import as_array, get_device

from vdprune.chain import VariationalDropoutChain
from vdprune.kernels.constants import LOG_ALPHA_MAX
from vdprune.links.cutting import cut
from vdprune.recipes.phase import Cut, CutBy


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
    worth, magnitude = (
        _flat(_worth(link, plan.by, threshold) for link in links),
        _flat(abs(_on_cpu(link, link.W)) for link in links),
    )
    dead = worth == -numpy.inf
    if sparsity is None:
        dead |= worth < -(math.inf if plan.threshold is None else plan.threshold)
    else:
        keep = math.floor(worth.size * (1 - sparsity) + 1e-9)
        # of weights that are worth the same, as where log alpha is clipped, the smaller go first
        dead[numpy.lexsort((magnitude, worth))[: worth.size - keep]] = True
    ends = numpy.cumsum([link.W.size for link in links])[:-1]
    for link, part in zip(links, numpy.split(dead, ends), strict=True):
        _cut(link, link.device.send(part.reshape(link.W.shape)))


def _worth(link: Any, by: CutBy, threshold: float) -> numpy.ndarray:
    """Tell what each weight is worth; what is cut in any case is worth -inf."""
    log_alpha = _on_cpu(link, link.log_alpha())
    worth = -log_alpha if by == "log-alpha" else abs(_on_cpu(link, link.W))
    return numpy.where(log_alpha > threshold, -numpy.inf, worth)


def _on_cpu(link: Any, variable: Any) -> numpy.ndarray:
    return get_device("@numpy").send(as_array(variable))


def _flat(arrays: Iterable[numpy.ndarray]) -> numpy.ndarray:
    return numpy.concatenate([array.ravel() for array in arrays])


def _cut(link: Any, dead: Any) -> None:
    if link.fixed is None:
        cut(link, dead)
    else:
        log_alpha = link.fixed.log_alpha
        link.fix_log_alpha(link.xp.where(dead, LOG_ALPHA_MAX, log_alpha))
