import json
from pathlib import Path

import pytest

from vdprune.errors import ArgumentError
from vdprune.recipes.files import change_recipe, format_recipe, load_recipe
from vdprune.recipes.recipe import Recipe, Teacher
from vdprune.recipes.schedule import Schedule
from vdprune.recipes.tables import from_table, to_table

PAPER = load_recipe("paper", "lenet300")
SHIPPED = {
    name: load_recipe(name, arch)
    for name, arch in (
        ("paper", "lenet300"),
        ("quick", "lenet5"),
        ("dense", "lenet300"),
        ("magnitude", "lenet300"),
        ("teacher", "lenet5-bn"),
        ("strong", "lenet300"),
    )
}


@pytest.mark.parametrize("name", SHIPPED)
def test_a_recipe_keeps_its_name(name: str) -> None:
    assert SHIPPED[name].name == name


@pytest.mark.parametrize("recipe", SHIPPED.values(), ids=SHIPPED)
def test_survives_json(recipe: Recipe) -> None:
    assert from_table(json.loads(json.dumps(to_table(recipe)))) == recipe


@pytest.mark.parametrize("recipe", SHIPPED.values(), ids=SHIPPED)
def test_survives_toml(recipe: Recipe, tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(format_recipe(recipe))
    assert load_recipe(str(path), "lenet300") == recipe


def test_fields_change_one_by_one() -> None:
    recipe = change_recipe(
        SHIPPED["strong"],
        [
            "batch_size = 50",
            "rounds.learning_rate=[[0, 2e-3], [58, 0]]",
            "rounds.cuts.1.compression=190",
            "sparsify.prior=log-uniform",
            "sparsify.augmentation.rotation=3",
            "teacher.weight=0.5",
        ],
    )
    sparsify, rounds, _ = recipe.phases
    assert recipe.batch_size == 50
    assert rounds.learning_rate == Schedule(((0, 2e-3), (58, 0)))
    assert rounds.cuts[1].compression == 190
    assert sparsify.prior == "log-uniform"
    assert sparsify.augmentation is not None
    assert (sparsify.augmentation.rotation, sparsify.augmentation.shift) == (3, 0.8)
    assert recipe.teacher is not None
    assert recipe.teacher.weight == 0.5


@pytest.mark.parametrize(
    ("first", "second", "message"),
    [
        ("gradual.name=3", "dense.epochs=1", "3 is not text"),
        ("phases=3", "dense.epochs=1", "3 is not a list of tables"),
        ("phases=[3]", "dense.epochs=1", "3 is not"),
        ("phases=[{epochs=3}]", "dense.epochs=1", "name"),
        ("gradual.cuts=3", "gradual.cuts.0.by=magnitude", "3 is not a list of tables"),
    ],
)
def test_what_was_set_wrong_before_is_told(first: str, second: str, message: str) -> None:
    with pytest.raises(ArgumentError, match=message):
        change_recipe(SHIPPED["magnitude"], [first, second])


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_settings_that_go_together_come_in_any_order(order: tuple[int, int]) -> None:
    settings = "gradual.epochs=1", "gradual.cuts=[{epoch = 0, compression = 5}]"
    phase = change_recipe(SHIPPED["magnitude"], [settings[i] for i in order]).phases[1]
    assert (phase.epochs, phase.cuts[0].compression) == (1, 5)


def test_an_empty_value_takes_something_away() -> None:
    assert change_recipe(SHIPPED["strong"], ["teacher="]).teacher is None
    assert change_recipe(SHIPPED["strong"], ["last.augmentation="]).phases[2].augmentation is None
    assert change_recipe(SHIPPED["strong"], ["rounds.cuts="]).phases[1].cuts == ()


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("teachr=", "teachr= takes nothing away: there is no such field"),
        ("rounds.augmentaton=", "rounds.augmentaton= takes nothing away: there is no such field"),
        ("teacher.wieght=", "there is no such field"),
        ("rounds=", "rounds= takes nothing away: rounds is a phase"),
        ("rounds.kl_weight=", "rounds.kl_weight= takes nothing away: kl_weight needs a value"),
        ("rounds.cuts.0.epoch=", "epoch needs a value"),
    ],
)
def test_what_is_not_there_or_needed_is_not_taken_away(setting: str, message: str) -> None:
    with pytest.raises(ArgumentError, match=message):
        change_recipe(SHIPPED["strong"], [setting])


def test_a_teacher_takes_the_place_of_the_recipes(tmp_path: Path) -> None:
    """What the recipe says of it beside that stays."""
    path = tmp_path / "mine.toml"
    text = '[[phases]]\nname = "a"\nepochs = 3\n[teacher]\n'
    for teacher in (
        "weight = 0.4",
        'arch = "lenet5"\nrecipe = "dense"\nnetworks = 3\nweight = 0.4',
        'file = "b.h5"',
    ):
        path.write_text(f'name = "mine"\n{text}{teacher}')
        found = load_recipe(str(path), "lenet300", Path("a.h5")).teacher
        weight = 0.4 if "weight" in teacher else 0.7
        assert found == Teacher(file="a.h5", weight=weight)
    path.write_text(f'name = "mine"\n{text}weight = 3')
    with pytest.raises(ArgumentError, match="weight is 3"):
        load_recipe(str(path), "lenet300", Path("a.h5"))
    path.write_text('name = "mine"\nteacher = 3\n[[phases]]\nname = "a"\nepochs = 3')
    with pytest.raises(ArgumentError, match="teacher: 3 is not a table"):
        load_recipe(str(path), "lenet300", Path("a.h5"))
    assert load_recipe("paper", "lenet300", Path("a.h5")).teacher == Teacher(file="a.h5")


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("colour=1", "colour: no such field, choose from name, phases, batch_size"),
        ("variational.colour=1", "phase variational, colour: no such field, .* kind"),
        ("variational.learning_rte=1", "learning_rte: no such field, is learning_rate meant?"),
        ("varational.epochs=1", "the phases are variational"),
        ("batch_size", "'batch_size' sets nothing: give FIELD=VALUE"),
        (
            "batch_size.more=1",
            "batch_size is 100, which has no fields; set it as a whole, batch_size=VALUE",
        ),
        ("variational.optimizer.name=x", "variational.optimizer is 'adam', which has no fields"),
        ("seed=1 batch_size=9", "'1 batch_size=9' holds another setting: give each by itself"),
        ("=3", "'=3' sets nothing: give FIELD=VALUE"),
        ("phases.0.epochs=1", "the phases are variational"),
        ("variational.cuts.0.epoch=1", "variational.cuts has 0 entries, counted from 0"),
        ("variational.epochs=3.5", "phase variational, epochs: 3.5 is not a whole number"),
        ("variational.epochs=true", "True is not a whole number"),
        ("seed=x", "'x' is not a whole number"),
        ("variational.kind=dens", "kind: 'dens' is not one of dense, variational, fine-tune"),
        ("variational.learning_rate=fast", "'fast' is no schedule"),
        ("variational.augmentation={rotation=300}", "augmentation: rotation is 300.*between 0 and"),
        ("teacher.weight=0.3", "teacher: a teacher is a file, or else .* recipe ''"),
        ("teacher=[{file='a.h5'}]", "'a.h5'}. is not a table: begin it with .teacher., in single"),
        ("variational.cuts=[{epoch=3}]", "phase variational, cuts.0: .* it has neither"),
        ("variational.cuts={epoch=3}", "cuts: {'epoch': 3} is not a list of tables, as"),
        ("phases=3", "phases: 3 is not a list of tables: begin each phase with"),
        ("variational.name=3", "phase number 1, name: 3 is not text"),
    ],
)
def test_settings_without_meaning_are_refused(setting: str, message: str) -> None:
    with pytest.raises(ArgumentError, match=message):
        change_recipe(PAPER, [setting])


def test_a_recipe_that_is_not_there_names_those_that_are() -> None:
    with pytest.raises(
        ArgumentError, match="no recipe 'papre' for lenet300: choose from dense, .*paper"
    ):
        load_recipe("papre", "lenet300")
    with pytest.raises(ArgumentError, match="no recipe 'strong' for vgg-like"):
        load_recipe("strong", "vgg-like")


def test_files_that_can_not_be_read(tmp_path: Path) -> None:
    with pytest.raises(ArgumentError, match="there is no recipe file .*none.toml"):
        load_recipe(str(tmp_path / "none.toml"), "lenet300")
    (tmp_path / "bad.toml").write_text("name = ")
    with pytest.raises(ArgumentError, match=r"bad.toml can't be read: .*line 1"):
        load_recipe(str(tmp_path / "bad.toml"), "lenet300")
    (tmp_path / "half.toml").write_text('name = "half"')
    with pytest.raises(ArgumentError, match="half.toml: .* phases: it is missing; name and phases"):
        load_recipe(str(tmp_path / "half.toml"), "lenet300")
