"""Cutting weights by their log alpha."""

import math
from dataclasses import replace
from typing import Any

import numpy
from chainer import as_array, get_device

from vdprune.chain import VariationalDropoutChain
from vdprune.checkpoint import Checkpoint
from vdprune.errors import ArgumentError
from vdprune.kernels.constants import LOG_ALPHA_MAX, LOG_ALPHA_MIN
from vdprune.links.cutting import set_to_zero
from vdprune.threshold import check_loga_threshold


def prune(checkpoint: Checkpoint, threshold: float | None = None) -> Checkpoint:
    """Set the weights with a log alpha above a threshold to zero, in place.

    What was cut before stays cut, so that of its threshold and this one the lower counts.

    Args:
        checkpoint: A trained network.
        threshold: The log alpha; None for the one that it was trained with.

    Returns:
        The pruned checkpoint, around the same network.

    Raises:
        ArgumentError: It is no checkpoint; or the threshold is out of all range, or one is given
            for a network that was trained without noise.
    """
    if not isinstance(checkpoint, Checkpoint):
        raise ArgumentError(
            "prune takes a Checkpoint, as load_checkpoint returns it, not a "
            f"{type(checkpoint).__name__}: in a model of your own set loga_threshold of each of "
            "vdprune.named_variational_links(model); export_chain leaves out what is above it"
        )
    if threshold is None:
        threshold = checkpoint.threshold
    else:
        check_loga_threshold(threshold)
        check_knows_noise(checkpoint.model)
        if checkpoint.pruned:
            threshold = min(threshold, checkpoint.threshold)
    checkpoint.model.compact({})
    for _, link in checkpoint.model.named_variational_links():
        link.loga_threshold = threshold
        dead = ~link.kept()
        if checkpoint.pruned:
            dead |= link.W.array == 0
        set_to_zero(link, dead)  # log_sigma2, too, or a higher threshold would bring them back
    return replace(checkpoint, threshold=threshold, pruned=True)


def threshold_for_sparsity(model: VariationalDropoutChain, target: float) -> float:
    """Find the log alpha threshold that leaves no more weights than a sparsity allows.

    Args:
        model: The network.
        target: The sparsity wanted, 0 to 1, over all variational layers together.

    Returns:
        The highest threshold that cuts at least this share of the weights.

    Raises:
        ArgumentError: The target does not lie between 0 and 1, or leaves no weight; or the network was
            trained without noise.
    """
    if not 0 <= target < 1:
        raise ArgumentError(f"the target sparsity is {target}: it must be at least 0 and below 1")
    check_knows_noise(model)
    log_alpha = sorted_log_alpha(model)
    keep = count_left(log_alpha.size, target)
    least = int((log_alpha == log_alpha.min(initial=numpy.inf)).sum())
    if keep < least:
        most = math.floor(1e7 * (1 - least / log_alpha.size)) / 1e7
        raise ArgumentError(
            f"the target sparsity is {target}: it leaves none of the {log_alpha.size:,} weights; up to "
            f"{most} leaves some"
        )
    if keep == log_alpha.size:
        return float(log_alpha[-1])
    # Ties are cut together, so the threshold lies just below the first weight that must go.
    return float(numpy.nextafter(log_alpha[keep], numpy.float32(-numpy.inf)))


def count_left(weights: int, sparsity: float) -> int:
    """Count the weights that a sparsity leaves.

    Args:
        weights: How many there are.
        sparsity: Share of them that is zero, 0 to 1.

    Returns:
        The number of the others, rounded down.
    """
    return math.floor(weights * (1 - sparsity) + 1e-9)


def knows_noise(model: VariationalDropoutChain) -> bool:
    """Tell whether a network's log alpha says which weights can go: see `FixedLogAlpha`.

    Args:
        model: The network.

    Returns:
        False where the log alpha of each weight that is not cut is the least there is.
    """
    log_alpha = sorted_log_alpha(model)
    is_least = log_alpha <= LOG_ALPHA_MIN + 1e-3
    return not (is_least.any() and (is_least | (log_alpha >= LOG_ALPHA_MAX)).all())


def noise_threshold(model: VariationalDropoutChain, threshold: float) -> float | None:
    """Tell by which log alpha a network's weights are cut, if by any.

    Args:
        model: The network.
        threshold: Its threshold.

    Returns:
        The threshold; None for a network whose log alpha does not say which weights can go.
    """
    return threshold if knows_noise(model) else None


def check_knows_noise(model: VariationalDropoutChain) -> None:
    """Refuse a network whose log alpha says nothing of its weights.

    Args:
        model: The network.

    Raises:
        ArgumentError: See `knows_noise`.
    """
    if not knows_noise(model):
        raise ArgumentError(
            "the network was trained without noise, so its log alpha does not say which weights can "
            "go: train one from it with --init, or cut weights by their magnitude with `vdprune train "
            "--method magnitude`; what its recipe has cut stays cut, in `vdprune prune` without a "
            "threshold and in `vdprune export`"
        )


def sorted_log_alpha(model: VariationalDropoutChain) -> Any:
    """Sort the log alpha of a network's weights.

    Args:
        model: The network.

    Returns:
        NumPy array of one axis, ascending; empty without variational layers.
    """
    model.expand()
    cpu = get_device("@numpy")
    found = [
        cpu.send(as_array(link.log_alpha())).ravel() for _, link in model.named_variational_links()
    ]
    return numpy.sort(numpy.concatenate(found)) if found else numpy.empty(0, numpy.float32)
