import math

import pytest

from vdprune.errors import ArgumentError
from vdprune.threshold import is_loga_threshold, resolve_threshold


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
    ("loga", "p"), [(-9e29, 0), (-1000, 0), (-2, 0.1192), (1000, 1), (9e29, 1)]
)
def test_low_and_high_thresholds(loga: float, p: float) -> None:
    assert resolve_threshold(None, loga) == (pytest.approx(p, abs=1e-4), loga)


@pytest.mark.parametrize("p", [0.0, 1.0, math.nan])
def test_what_is_no_dropout_rate_is_refused(p: float) -> None:
    with pytest.raises(ArgumentError, match="lies between 0 and 1"):
        resolve_threshold(p, None)


@pytest.mark.parametrize("number", [math.nan, math.inf, -math.inf, 1e30, -1e31, 10**400])
def test_what_can_be_no_threshold_is_refused(number: float) -> None:
    assert not is_loga_threshold(number)
    with pytest.raises(
        ArgumentError, match="it must be a log alpha between -1e.30 and 1e.30, as 3"
    ):
        resolve_threshold(None, number)
