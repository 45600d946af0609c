"""The pruning threshold in its two spellings."""

import math

from vdprune.errors import ArgumentError

DEFAULT_LOGA_THRESHOLD = 3.0


def resolve_threshold(
    p_threshold: float | None, loga_threshold: float | None
) -> tuple[float, float]:
    """Complete the pair of thresholds of which one or none is given.

    Args:
        p_threshold: Dropout rate p = alpha / (1 + alpha) above which a weight is cut, or None.
        loga_threshold: The log alpha above which it is cut, or None.

    Returns:
        p_threshold and loga_threshold; 0.95 and 3.0 (that is p = 0.9526) if none is given.

    Raises:
        ArgumentError: One has no meaning, or both are given and differ by more than the rounding
            of p to two digits.
    """
    if loga_threshold is not None and not math.isfinite(loga_threshold):
        raise ArgumentError(f"loga_threshold is {loga_threshold}: it must be a finite number")
    if p_threshold is not None and not 0 < p_threshold < 1:
        raise ArgumentError(f"p_threshold is {p_threshold}: a dropout rate lies between 0 and 1")
    if loga_threshold is None:
        if p_threshold is None:
            return 0.95, DEFAULT_LOGA_THRESHOLD
        return p_threshold, math.log(p_threshold) - math.log1p(-p_threshold)
    p = 1 / (1 + math.exp(-loga_threshold))
    if p_threshold is None:
        return p, loga_threshold
    if abs(p - p_threshold) > 0.005:
        raise ArgumentError(
            f"p_threshold={p_threshold} and loga_threshold={loga_threshold} disagree: a log alpha "
            f"of {loga_threshold} is p = {p:.4f}; give one of them"
        )
    return p_threshold, loga_threshold
