from typing import Any

import pytest

from benchmarks.summary import compare_recipe, quartiles, summarise


def measurement(contender: str, ms: list[float], peak_mb: float = 100.0) -> dict[str, Any]:
    return {
        "contender": contender,
        "network": "lenet300",
        "ms": ms,
        "peak_mb": peak_mb,
        "settings": f"those of {contender}",
        "blas": "openblas 0.3, Haswell",
        "versions": {"python": "3.11.7"},
    }


def test_ratios_are_taken_within_a_round() -> None:
    # the machine is ten times slower in the second round, for both
    rounds = [
        [measurement("vdprune", [2, 2, 2]), measurement("cplxmodule eager", [4, 4, 4])],
        [measurement("vdprune", [20, 20, 20]), measurement("cplxmodule eager", [40, 40, 40])],
        [measurement("vdprune", [2, 2, 2]), measurement("cplxmodule eager", [8, 8, 8])],
    ]
    ours, peer = summarise(rounds)
    assert ours["vdprune_over_it_by_round"] == [1, 1, 1]
    assert peer["vdprune_over_it_by_round"] == [0.5, 0.5, 0.25]
    assert peer["vdprune_over_it"] == 0.5


def test_steps_of_all_rounds_are_pooled() -> None:
    rounds = [[measurement("vdprune", ms, peak)] for ms, peak in (([1, 2], 10), ([3, 4, 5], 30))]
    (row,) = summarise(rounds)
    assert row["ms"] == {"lower_quartile": 2, "median": 3, "upper_quartile": 4}
    assert row["peak_mb"] == 20
    assert row["settings"] == "those of vdprune"


@pytest.mark.parametrize(
    ("values", "expected"),
    [([7.0], (7, 7, 7)), ([1.0, 2.0], (1.25, 1.5, 1.75)), ([4.0, 1.0, 3.0, 2.0, 5.0], (2, 3, 4))],
)
def test_quartiles(values: list[float], expected: tuple[float, float, float]) -> None:
    assert quartiles(values) == expected


def test_the_recipe_is_compared_with_the_fastest_peer_and_not_with_the_floor() -> None:
    rows = summarise(
        [
            [
                measurement("vdprune", [1.0]),
                measurement("cplxmodule eager", [9.0]),
                measurement("pytorch-ard compiled", [6.0]),
                measurement("floor", [0.5]),
            ]
        ]
    )
    compared = compare_recipe({"contender": "vdprune", "steps": 120_000, "seconds": 180.0}, rows)
    assert compared["best_peer"] == "pytorch-ard compiled"
    assert compared["best_peer_seconds"] == 720
    assert compared["vdprune_over_it"] == 0.25
    assert compared["seconds"] == 180
