import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vdprune.errors import ArgumentError
from vdprune.recipes.schedule import Schedule

POINTS = st.lists(st.tuples(st.floats(0, 1000), st.floats(-10, 10)), min_size=1, max_size=6).map(
    lambda points: tuple(sorted(points))
)


def test_linear_between_its_points() -> None:
    rate = Schedule(((100.0, 1e-3), (200.0, 0.0)))
    assert [rate.at(epoch) for epoch in (0, 100, 101, 150, 199, 200, 300)] == pytest.approx(
        [1e-3, 1e-3, 0.99e-3, 0.5e-3, 0.01e-3, 0, 0]
    )
    weight = Schedule(((5.0, 0.0), (20.0, 1.0)))
    assert [weight.at(epoch) for epoch in (0, 5, 6, 11, 20, 199)] == pytest.approx(
        [0, 0, 1 / 15, 0.4, 1, 1]
    )


def test_a_jump_takes_the_later_value() -> None:
    schedule = Schedule(((1.0, 0.0), (1.0, 2.0)))
    assert [schedule.at(epoch) for epoch in (0, 0.5, 1, 2)] == [0, 0, 2, 2]


@given(POINTS, st.floats(0, 2000))
def test_stays_between_its_values(points: tuple[tuple[float, float], ...], epoch: float) -> None:
    values = [value for _, value in points]
    slack = 1e-9
    assert min(values) - slack <= Schedule(points).at(epoch) <= max(values) + slack


@given(POINTS)
def test_plain_values_make_the_same_schedule(points: tuple[tuple[float, float], ...]) -> None:
    schedule = Schedule(points)
    again = Schedule.from_plain(schedule.to_plain())
    if len(points) > 1:
        assert again == schedule
    assert [again.at(epoch) for epoch in (0, 1, 500)] == [
        schedule.at(epoch) for epoch in (0, 1, 500)
    ]


def test_moves_along() -> None:
    assert Schedule(((5.0, 0.0), (20.0, 1.0))).moved(0.1) == Schedule(((0.5, 0.0), (2.0, 1.0)))


@pytest.mark.parametrize(
    ("plain", "words"),
    [
        (0.5, "0.5"),
        ([[100, 1e-3], [200, 0]], "0.001 until epoch 100, then linear to 0 at epoch 200"),
        ([[0, 1], [4, 2]], "linear from 1 to 2 at epoch 4"),
        ([[0, 14], [8, 14], [8, 0.1]], "14 until epoch 8, then 0.1"),
        ([[0, 0], [2, 4], [9, 0]], "linear from 0 to 4 at epoch 2, then linear to 0 at epoch 9"),
        (
            [[0, 0], [2, 4], [5, 4], [9, 0], [9, 1]],
            "linear from 0 to 4 at epoch 2, then 4 until epoch 5, then linear to 0 at epoch 9, then 1",
        ),
        ([[5, 1], [5, 9], [8, 0]], "1 until epoch 5, then linear from 9 to 0 at epoch 8"),
        ([[0, 1], [0, 2]], "2"),
    ],
)
def test_tells_itself_in_words(plain: object, words: str) -> None:
    assert Schedule.from_plain(plain).describe() == words


@pytest.mark.parametrize(
    ("plain", "message"),
    [
        ([], "needs points"),
        ([[0, math.nan]], "finite numbers"),
        (math.inf, "finite numbers"),
        (10**400, "finite numbers"),
        ([[3, 1], [2, 1]], "out of order"),
        ([[-1, 1]], "out of order"),
        ("fast", "'fast' is no schedule: give a number, or points such as"),
        ([[1, 2, 3]], "is no schedule"),
        ([1, 2], "is no schedule"),
        ([[0, True]], "is no schedule"),
        (True, "is no schedule"),
        (None, "is no schedule"),
    ],
)
def test_values_without_meaning_are_refused(plain: object, message: str) -> None:
    with pytest.raises(ArgumentError, match=message):
        Schedule.from_plain(plain)
