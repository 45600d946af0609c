"""Taking a network into a phase of its training."""

from typing import Any

import chainer
from chainer import Optimizer, as_array

from vdprune.chain import VariationalDropoutChain
from vdprune.kernels.constants import LOG_ALPHA_MIN
from vdprune.recipes.phase import Phase
from vdprune.training.adam import Adam


def make_optimizer(phase: Phase, model: VariationalDropoutChain) -> Optimizer:
    """Make a phase's optimizer.

    Args:
        phase: The phase.
        model: The network.

    Returns:
        The optimizer, set up for the network.
    """
    rate = phase.learning_rate.at(0)
    if phase.optimizer == "adam":
        optimizer = Adam(alpha=rate)
    else:
        optimizer = chainer.optimizers.MomentumSGD(lr=rate, momentum=0.9)
    return optimizer.setup(model)


def learning_rate_of(optimizer: Optimizer) -> float:
    """Return the step size of an optimizer of `make_optimizer`."""
    return float(getattr(optimizer, _rate_name(optimizer)))


def set_learning_rate(optimizer: Optimizer, rate: float) -> None:
    """Set the step size of an optimizer of `make_optimizer`."""
    setattr(optimizer, _rate_name(optimizer), rate)


def _rate_name(optimizer: Optimizer) -> str:
    return "alpha" if isinstance(optimizer, Adam) else "lr"


def configure_links(model: VariationalDropoutChain, phase: Phase) -> None:
    """Give the variational layers what a phase says of them; as often as one likes.

    Args:
        model: The network.
        phase: The phase.
    """
    for _, link in model.named_variational_links():
        link.prior = phase.prior
        link.mask_variance = (
            link.masks_variance_by_default if phase.mask_variance is None else phase.mask_variance
        )


def enter_phase(
    model: VariationalDropoutChain,
    phases: tuple[Phase, ...],
    number: int,
    initial_log_sigma2: float,
) -> None:
    """Take a network from one phase into the next, once.

    Args:
        model: The network, on its device, its optimizer set up.
        phases: The phases of the run.
        number: Which of them begins, counted from 0.
        initial_log_sigma2: Where log_sigma2 starts after a phase that is dense.
    """
    phase = phases[number]
    model.compact({})
    for _, link in model.named_variational_links():
        if phase.kind == "variational":
            _make_noisy(link, None if _had_noise(phases[:number]) else initial_log_sigma2)
        else:
            is_dense = phase.kind == "dense"
            link.fix_log_alpha(LOG_ALPHA_MIN if is_dense else as_array(link.log_alpha()))


def _had_noise(phases: tuple[Phase, ...]) -> bool:
    """Tell whether log alpha was learned in phases; one that is dense makes an end of it."""
    kinds = [phase.kind for phase in phases if phase.kind != "fine-tune"]
    return kinds[-1:] == ["variational"]


def _make_noisy(link: Any, initial_log_sigma2: float | None) -> None:
    """Let a link train with noise, from log alpha as it was before noise was taken away, or anew."""
    if link.fixed is None:
        return
    has_none = link.fixed.log_alpha <= LOG_ALPHA_MIN
    link.release_log_alpha()
    if initial_log_sigma2 is not None:
        link.log_sigma2.array[has_none] = initial_log_sigma2
