import math
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vdprune.augmentation import Augmentation
from vdprune.errors import ArgumentError
from vdprune.recipes.files import load_recipe
from vdprune.recipes.phase import Cut, Phase
from vdprune.recipes.recipe import Recipe, Teacher
from vdprune.recipes.schedule import Schedule

PAPER = load_recipe("paper", "lenet300")


def test_the_papers_recipe() -> None:
    assert (
        Recipe(
            name="paper",
            phases=(
                Phase(
                    name="variational",
                    epochs=200,
                    kind="variational",
                    optimizer="adam",
                    learning_rate=Schedule(((100, 1e-3), (200, 0))),
                    kl_weight=Schedule(((5, 0), (20, 1))),
                    prior="log-uniform",
                    noise=Schedule(((0, 1),)),
                    mask_variance=None,
                ),
            ),
            batch_size=100,
            threshold=3.0,
            initial_log_sigma2=-10.0,
            theta_std=None,
            compact_every=5,
            seed=0,
            validation=0,
        )
        == PAPER
    )


def test_schedules_move_along_with_the_epochs() -> None:
    (phase,) = PAPER.with_options(epochs=20).phases
    assert phase.learning_rate == Schedule(((10, 1e-3), (20, 0)))
    assert phase.kl_weight == Schedule(((0.5, 0), (2, 1)))


def test_options_that_are_not_given_leave_the_recipe_alone() -> None:
    assert PAPER.with_options(epochs=None, seed=None) == PAPER
    assert PAPER.with_options(epochs=200) is not None
    assert PAPER.with_options(seed=3).seed == 3


@given(st.lists(st.integers(1, 100), min_size=1, max_size=5), st.integers(0, 400))
def test_phases_share_the_epochs(lengths: list[int], more: int) -> None:
    phases = tuple(Phase(f"phase {i}", epochs) for i, epochs in enumerate(lengths))
    recipe = Recipe("any", phases).with_options(epochs=len(lengths) + more)
    assert recipe.epochs == len(lengths) + more
    assert min(phase.epochs for phase in recipe.phases) >= 1
    for before, after in zip(lengths, recipe.phases, strict=True):
        assert after.epochs == pytest.approx(
            before * recipe.epochs / sum(lengths), abs=len(lengths) + 1
        )


def test_fewer_epochs_than_phases_are_refused() -> None:
    recipe = Recipe("any", (Phase("a", 3), Phase("b", 3)))
    with pytest.raises(
        ArgumentError, match="epochs is 1: it must be 2 or more, one for each phase"
    ):
        recipe.with_options(epochs=1)


def test_settles_in_the_last_phase() -> None:
    phases = (Phase("a", 30), Phase("b", 20, cuts=(Cut(4.0, compression=9.0),)))
    assert Recipe("any", phases).settled_from == 34


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"epochs": 0}, "epochs is 0: it must be 1 or more"),
        ({"batch_size": 0}, "batch_size is 0"),
        ({"seed": -1}, "seed is -1"),
        ({"seed": 2**32}, "must be below 2"),
        ({"validation": -1}, "validation is -1"),
        ({"copies": -1}, "copies is -1"),
        ({"copies": 2}, "no phase has an augmentation that changes images"),
        (
            {"copies": 2, "phases": (Phase("a", 1, augmentation=Augmentation(elastic_sigma=2)),)},
            "copies is 2, and no phase has an augmentation that changes images",
        ),
        ({"compact_every": -1}, "compact_every is -1"),
        ({"threshold": math.nan}, "threshold is nan"),
        ({"threshold": 1e31}, r"threshold is 1e\+31: it must be a log alpha between"),
        ({"theta_std": -1.0}, "above 0"),
        ({"phases": ()}, "one at least"),
        ({"name": ""}, "a name must not be empty"),
        ({"phases": (Phase("a.b", 1),)}, "that of a phase must have no dot"),
        ({"phases": (Phase("a", 1, kind="dense"),), "threshold": -9.0}, "between -8 and 8"),
        ({"phases": (Phase("a", 2, cuts=(Cut(0, compression=2),)),), "threshold": 8.0}, "and 8"),
        ({"phases": (Phase("a", 1), Phase("a", 1))}, "a name of its own"),
        ({"phases": (Phase("seed", 1),)}, "no field of the recipe"),
    ],
)
def test_values_without_meaning_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ArgumentError, match=message):
        PAPER.with_options(**options)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({}, "a file, or else an arch and a recipe"),
        ({"arch": "lenet5-bn"}, "a file, or else an arch and a recipe"),
        ({"file": "a.h5", "arch": "lenet5", "recipe": "dense"}, "a file, or else"),
        ({"file": "a.h5", "arch": "lenet5"}, "a file, or else"),
        (
            {"file": "a.h5", "networks": 2},
            "networks is 2, and file 'a.h5': a file holds one network",
        ),
        ({"arch": "lenet5", "recipe": "dense", "networks": 0}, "networks is 0: .* 1 and 100"),
        ({"arch": "lenet5", "recipe": "dense", "networks": 101}, "networks is 101: .* 1 and 100"),
        ({"file": "a.h5", "temperature": 0.0}, "temperature is 0.0"),
        ({"file": "a.h5", "weight": 0.0}, "weight is 0.0"),
        ({"file": "a.h5", "weight": 1.5}, "weight is 1.5"),
    ],
)
def test_teachers_without_meaning_are_refused(values: dict[str, Any], message: str) -> None:
    with pytest.raises(ArgumentError, match=message):
        Teacher(**values)


def test_tells_of_schedules_that_are_cut_short() -> None:
    phases = (replace(PAPER.phases[0], epochs=1), Phase("b", 1))
    first, *_, last = replace(PAPER, phases=phases).describe()
    assert first == "recipe paper: epochs 2, batch 100, seed 0"
    assert last.startswith(
        "note: variational.kl_weight has a point at epoch 20, which is not reached: "
    )


def test_tells_of_teachers_and_changed_images() -> None:
    first, second = Phase("a", 1, augmentation=Augmentation(elastic=1)), Phase("b", 1)
    not_at_all = replace(second, augmentation=Augmentation(elastic_sigma=2))
    recipe = Recipe("any", (first, not_at_all), teacher=Teacher("lenet5", "dense", weight=0.4))
    about, *phases = recipe.describe()
    assert about.endswith("; a teacher's share is 0.4")
    assert ["; 100 % of the images are deformed by" in line for line in phases] == [True, False]
    recipe = replace(recipe, teacher=Teacher("lenet5", "dense", 3))
    assert recipe.describe()[0].endswith("; the 3 teachers' share is 0.7")


def test_tells_of_a_temperature_without_a_teacher() -> None:
    warm = Phase("a", 1, temperature=Schedule(((0.0, 2.0),)))
    note = "note: a.temperature does nothing without a teacher"
    assert Recipe("any", (warm,)).describe()[-1] == note
    assert note not in Recipe("any", (warm,), teacher=Teacher(file="a.h5")).describe()


def test_tells_itself_in_words() -> None:
    assert PAPER.describe() == [
        "recipe paper: epochs 200, batch 100, seed 0",
        "variational (variational): 200 epochs; learning rate 0.001 until epoch 100, then linear to 0 "
        "at epoch 200; KL weight 0 until epoch 5, then linear to 1 at epoch 20; prior log-uniform",
    ]
