"""The priors of the weights, of which the KL divergence is."""

from vdprune.errors import ArgumentError
from vdprune.kernels.constants import K1

LOG_UNIFORM = "log-uniform"

# Both divergences are k1 * sigmoid(-(k2 + k3 * log_alpha)) + 0.5 * log1p(exp(-log_alpha)) for a weight.
_K1 = {LOG_UNIFORM: K1, "ard": 0.0}


def k1_of(prior: str) -> float:
    """Look up what a prior makes of the KL divergence.

    Args:
        prior: ``"log-uniform"``, approximated as Molchanov et al. do, or ``"ard"``, a normal
            distribution of mean 0 and of the variance that makes the divergence smallest.

    Returns:
        Weight k1 of the sigmoid in the divergence.

    Raises:
        ArgumentError: There is no such prior.
    """
    if prior not in _K1:
        names = " or ".join(f"{name!r}" for name in _K1)
        raise ArgumentError(f"prior is {prior!r}: it must be {names}")
    return _K1[prior]
