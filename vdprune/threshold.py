"""The pruning threshold: what numbers it can be, and its two spellings."""

import math

from vdprune.errors import ArgumentError

DEFAULT_LOGA_THRESHOLD = 3.0
_LIMIT = 1e30  # far beyond any log alpha, and float32 can hold it


def is_loga_threshold(number: float) -> bool:
    """Tell whether a number can be a threshold, given or in a file.

    Args:
        number: It.

    Returns:
        Whether it lies between -1e30 and 1e30, which NaN does not.
    """
    return abs(number) < _LIMIT


def check_loga_threshold(number: float) -> None:
    """Refuse a threshold that no file could hold.

    Args:
        number: The log alpha above which weights are to be cut.

    Raises:
        ArgumentError: It can be none: see `is_loga_threshold`.
    """
    if not is_loga_threshold(number):
        raise ArgumentError(
            f"the threshold is {number}: it must be a log alpha between {-_LIMIT:g} and {_LIMIT:g}, as "
            f"{DEFAULT_LOGA_THRESHOLD}"
        )


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
    if loga_threshold is not None:
        check_loga_threshold(loga_threshold)
    if p_threshold is not None and not 0 < p_threshold < 1:
        raise ArgumentError(f"p_threshold is {p_threshold}: a dropout rate lies between 0 and 1")
    if loga_threshold is None:
        if p_threshold is None:
            return 0.95, DEFAULT_LOGA_THRESHOLD
        return p_threshold, math.log(p_threshold) - math.log1p(-p_threshold)
    # alpha / (1 + alpha), or 1 / (1 + 1 / alpha), so that exp is of nothing positive and can't overflow
    p = math.exp(min(loga_threshold, 0)) / (1 + math.exp(-abs(loga_threshold)))
    if p_threshold is None:
        return p, loga_threshold
    if abs(p - p_threshold) > 0.005:
        raise ArgumentError(
            f"p_threshold={p_threshold} and loga_threshold={loga_threshold} disagree: a log alpha "
            f"of {loga_threshold} is p = {p:.4f}; give one of them"
        )
    return p_threshold, loga_threshold
