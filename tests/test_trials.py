"""How many threads do something fastest, by trying."""

from collections.abc import Callable, Iterator

import pytest

from vdprune.trials import Trials


def choices(trials: Trials, seconds: Callable[[int, int], float], most: int = 2) -> Iterator[int]:
    """Do something again and again, in ``seconds`` of how often it was done and of the threads."""
    for number in range(20_000):
        count = trials.choose(most)
        yield count
        trials.note(seconds(number, count))


def usual(chosen: list[int]) -> int:
    return max(set(chosen), key=chosen.count)


@pytest.mark.parametrize("most", [2, 5])
def test_the_faster_one_is_chosen(most: int) -> None:
    for alone, together, expected in ((2.0, 1.0, most), (1.0, 2.0, 1)):
        times = {1: alone, most: together}
        found = list(choices(Trials(), lambda _, count, times=times: times[count], most))
        assert set(found) == {1, most}
        assert usual(found[100:]) == expected
        # trials take little of the time
        assert found.count(expected) > 0.97 * len(found)


def test_it_is_tried_anew() -> None:
    def seconds(number: int, count: int) -> float:
        is_far = 9000 < number < 14_000
        return 1.0 if count == 1 else 2.0 if is_far else 0.5

    found = list(choices(Trials(), seconds))
    assert usual(found[1000:9000]) == 2
    assert usual(found[10_500:14_000]) == 1
    assert usual(found[15_500:]) == 2


def test_the_first_times_of_a_trial_do_not_count() -> None:
    def seconds(number: int, count: int) -> float:
        is_cold = last[-2:] != [count, count]
        last.append(count)
        return 100.0 if is_cold else float(count)

    last: list[int] = []
    assert usual(list(choices(Trials(), seconds))[100:]) == 1


def test_a_late_one_does_not_count() -> None:
    def seconds(number: int, count: int) -> float:
        return 100.0 if number % 1000 == 5 else 1.0 / count

    found = list(choices(Trials(), seconds))
    assert found.count(2) > 0.97 * len(found)


def test_it_may_begin_without_a_trial() -> None:
    times = {1: 1.0, 2: 2.0}
    trials = Trials(length=3, settling=1, period=100, begins=False)
    found = list(choices(trials, lambda _, count: times[count]))
    assert set(found[:97]) == {2}
    assert found[97:200] == [1] * 100 + [2] * 3
    assert 0.02 < found.count(2) / len(found) < 0.04


def test_one_thread_has_no_choice() -> None:
    trials = Trials()
    assert set(choices(trials, lambda *_: 1.0, most=1)) == {1}
    assert next(choices(trials, lambda *_: 1.0, most=2)) == 2
