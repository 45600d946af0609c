"""Timing that takes turns."""

from collections.abc import Callable

import numpy
import pytest

from vdprune.errors import VdpruneError
from vdprune.runtime import timing
from vdprune.runtime.bench import time_contenders

Array = numpy.ndarray


class Clock:
    """A clock that only calls move on."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now, self.calls = 0.0, ""
        monkeypatch.setattr(timing.time, "perf_counter", lambda: self.now)

    def make_call(self, name: str, first: float, others: float) -> Callable[..., Array]:
        """Make a call that takes so many seconds."""

        def call(*_: object) -> Array:
            self.now += others if name in self.calls else first
            self.calls += name
            return numpy.ones((2, 3))

        return call


def test_calls_take_turns_as_long_as_wanted(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock(monkeypatch)
    calls = clock.make_call("a", 0.5, 0.25), clock.make_call("b", 0.5, 0.125)
    found = timing.time_in_turns(calls, 2, 0.25)
    assert found == [[0.25, 0.25], [0.125, 0.125]]  # what the first call takes is not in them
    assert clock.calls == "aabb" + 2 * "abb"


@pytest.mark.parametrize(
    ("rounds", "patience", "expected"), [(9, 30, 3), (9, 50, 5), (9, 1000, 9), (2, 30, 2)]
)
def test_long_calls_have_fewer_turns(
    monkeypatch: pytest.MonkeyPatch, rounds: int, patience: float, expected: int
) -> None:
    clock = Clock(monkeypatch)
    (found,) = timing.time_in_turns([clock.make_call("a", 16, 12)], rounds, 0.25, patience)
    assert found == expected * [12]
    assert clock.calls == (1 + expected) * "a"  # no second one to find out how long it takes


def test_timings_are_medians(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock(monkeypatch)
    contenders = {"x": clock.make_call("a", 8, 4), "y": clock.make_call("b", 8, 6)}
    found = time_contenders(contenders, (5,), 2)
    assert [(t.contender, t.examples, t.turns, t.milliseconds) for t in found] == [
        ("x", 2, 4, 4000),  # of seven: 30 seconds are over after four
        ("y", 2, 4, 6000),
    ]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda y: y[:1], r"array of shape \(1, 3\), not \(2, 3\); times of different things"),
        (
            lambda y: y + 0.011,
            "are up to 0.011 apart, more than 0.001 of the largest, 10; times of",
        ),
        (lambda y: y * numpy.nan, "are up to nan apart"),
    ],
)
def test_what_disagrees_is_not_timed(change: Callable[[Array], Array], message: str) -> None:
    y = numpy.array([[1.0, -10.0, 2.0], [0.0, 1.0, 2.0]])
    contenders = {"x": lambda x: y, "y": lambda x: y - 0.009, "z": lambda x: change(y)}
    with pytest.raises(VdpruneError, match=f"^z computes something else than x: .*{message}"):
        time_contenders(contenders, (4,), 2)
