import math

import pytest

from vdprune.errors import ArgumentError
from vdprune.links.threshold import resolve_threshold


def test_default_is_the_papers() -> None:
    assert resolve_threshold(None, None) == (0.95, 3.0)


def test_log_alpha_follows_from_p() -> None:
    assert resolve_threshold(0.5, None) == (0.5, 0.0)


def test_p_follows_from_log_alpha() -> None:
    p, loga = resolve_threshold(None, 2.0)
    assert (p, loga) == (pytest.approx(1 / (1 + math.exp(-2))), 2.0)


def test_both_may_be_given_if_they_agree() -> None:
    assert resolve_threshold(0.95, 3.0) == (0.95, 3.0)


def test_disagreement_is_refused() -> None:
    with pytest.raises(ArgumentError, match=r"p_threshold=0.9 and loga_threshold=3.0 disagree"):
        resolve_threshold(0.9, 3.0)


@pytest.mark.parametrize(
    ("p", "loga"), [(0.0, None), (1.0, None), (math.nan, None), (None, math.nan), (None, math.inf)]
)
def test_numbers_without_meaning_are_refused(p: float | None, loga: float | None) -> None:
    with pytest.raises(ArgumentError, match="must be a finite number|lies between 0 and 1"):
        resolve_threshold(p, loga)
