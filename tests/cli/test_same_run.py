"""Options that say something else than the recipe's file that a run began with."""

from dataclasses import replace
from pathlib import Path

import pytest

from vdprune.cli.same_run import check_same_run
from vdprune.cli.starting import Order
from vdprune.datasets import load_dataset
from vdprune.errors import ArgumentError
from vdprune.recipes.files import format_recipe, load_recipe
from vdprune.recipes.tables import from_table
from vdprune.training.start import start_checkpoint


def test_a_recipe_file_that_was_edited(tmp_path: Path, tiny_npz: Path) -> None:
    path = tmp_path / "mine.toml"
    text = format_recipe(load_recipe("strong", "lenet300"))
    path.write_text(text)
    order = Order(Path("c.h5"), recipe=str(path), seed=3, set=("teacher.weight=0.5",))
    recipe = order.make_recipe()
    checkpoint = start_checkpoint(recipe, "lenet300", load_dataset(str(tiny_npz)))

    def check(order: Order) -> None:
        check_same_run(order, checkpoint, from_table(checkpoint.recipe))

    check(order)
    with pytest.raises(ArgumentError, match=r"with seed 3, not 0; teacher.weight 0.5, not 0.9, as"):
        check(replace(order, seed=None, set=()))
    path.write_text(text.replace("epochs = 30", "epochs = 31").replace("copies = 8", "copies = 9"))
    with pytest.raises(
        ArgumentError,
        match=r"with last.epochs 30, not 31; copies 8, not 9, as .*leave --recipe out",
    ):
        check(order)
    check(replace(order, recipe=None))
    phases = (*recipe.phases[1:], recipe.phases[0])
    path.write_text(format_recipe(replace(recipe, phases=phases)))
    with pytest.raises(ArgumentError, match="with the phases in another order"):
        check(order)
