import dataclasses
import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vdprune.errors import ArgumentError
from vdprune.training.recipe import RECIPES, Recipe
from vdprune.training.schedules import kl_weight_at, learning_rate_at

PAPER = RECIPES["paper"]


def test_the_papers_recipe() -> None:
    assert dataclasses.asdict(PAPER) == {
        "name": "paper",
        "epochs": 200,
        "batch_size": 100,
        "learning_rate": 1e-3,
        "learning_rate_hold": 100,
        "kl_start": 5,
        "kl_end": 20,
        "initial_log_sigma2": -10,
        "threshold": 3,
        "theta_std": 0.01,
        "compact_every": 5,
        "seed": 0,
        "validation": 0,
    }


def test_learning_rate_is_held_then_falls_to_zero() -> None:
    rates = [learning_rate_at(PAPER, epoch) for epoch in (0, 100, 101, 150, 199, 200)]
    assert rates == pytest.approx([1e-3, 1e-3, 0.99e-3, 0.5e-3, 0.01e-3, 0])


def test_kl_weight_rises_from_epoch_5_to_20() -> None:
    weights = [kl_weight_at(PAPER, epoch) for epoch in (0, 5, 6, 11, 20, 199)]
    assert weights == pytest.approx([0, 0, 1 / 15, 0.4, 1, 1])


def test_schedules_without_a_slope() -> None:
    recipe = Recipe(epochs=3, learning_rate_hold=3, kl_start=1, kl_end=1)
    assert [learning_rate_at(recipe, epoch) for epoch in range(3)] == [1e-3] * 3
    assert [kl_weight_at(recipe, epoch) for epoch in range(3)] == [0, 1, 1]


def test_schedules_move_along_with_the_epochs() -> None:
    recipe = PAPER.with_options(epochs=20)
    assert (recipe.learning_rate_hold, recipe.kl_start, recipe.kl_end) == (10, 0.5, 2)


def test_a_schedule_that_is_given_stays() -> None:
    recipe = PAPER.with_options(epochs=20, kl_end=6, seed=None)
    assert (recipe.learning_rate_hold, recipe.kl_start, recipe.kl_end) == (10, 0.5, 6)
    assert recipe.seed == 0


@given(st.integers(1, 1000), st.floats(0, 1), st.floats(0, 1), st.floats(0, 2))
def test_schedules_stay_within_their_bounds(
    epochs: int, hold: float, start: float, ramp: float
) -> None:
    recipe = Recipe(
        epochs=epochs,
        learning_rate_hold=hold * epochs,
        kl_start=start * epochs,
        kl_end=(start + ramp) * epochs,
    )
    rates = [learning_rate_at(recipe, epoch) for epoch in range(epochs)]
    weights = [kl_weight_at(recipe, epoch) for epoch in range(epochs)]
    assert all(0 < rate <= recipe.learning_rate for rate in rates)
    assert rates == sorted(rates, reverse=True)
    assert all(0 <= weight <= 1 for weight in weights)
    assert weights == sorted(weights)


@pytest.mark.parametrize("recipe", RECIPES.values(), ids=RECIPES)
def test_survives_json(recipe: Recipe) -> None:
    assert Recipe.from_json(json.loads(json.dumps(recipe.to_json()))) == recipe


def test_unknown_fields_are_refused() -> None:
    with pytest.raises(ArgumentError, match="do not match this version's: colour"):
        Recipe.from_json({**PAPER.to_json(), "colour": 1})


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"epochs": 0}, "epochs is 0: it must be 1 or more"),
        ({"batch_size": 0}, "batch_size is 0"),
        ({"seed": -1}, "seed is -1"),
        ({"seed": 2**32}, "must be below 2"),
        ({"validation": -1}, "validation is -1"),
        ({"threshold": math.nan}, "threshold is nan"),
        ({"learning_rate": math.inf}, "learning_rate is inf"),
        ({"learning_rate": 0.0}, "above 0"),
        ({"theta_std": -1.0}, "above 0"),
        ({"learning_rate_hold": 201.0}, "between 0 and the 200 epochs"),
        ({"kl_start": 30.0}, "kl_start is 30, kl_end 20: "),
        ({"kl_start": -1.0}, "kl_start is -1, kl_end 20: .* the first not below 0"),
    ],
)
def test_values_without_meaning_are_refused(options: dict, message: str) -> None:
    with pytest.raises(ArgumentError, match=message):
        PAPER.with_options(**options)


def test_describe_tells_the_schedules() -> None:
    assert PAPER.describe() == (
        "recipe paper: epochs 200, batch 100; learning rate 0.001 until epoch 100, then linear to 0; "
        "KL weight 0 until epoch 5, then linear to 1 at epoch 20; seed 0"
    )
