"""Whether the options of a command say what a run began with."""

from typing import TYPE_CHECKING, Any

from vdprune.checkpoint import Checkpoint
from vdprune.errors import ArgumentError
from vdprune.recipes.files import change_recipe, load_recipe
from vdprune.recipes.recipe import Recipe
from vdprune.recipes.tables import to_table

if TYPE_CHECKING:
    from vdprune.cli.starting import Order


def check_same_run(order: "Order", checkpoint: Checkpoint, recipe: Recipe) -> None:
    """Refuse options that say something else than the run that is to be resumed.

    Data may have moved: whether they are the same is told by what they hold.

    Args:
        order: The options.
        checkpoint: What the run left.
        recipe: Its recipe.

    Raises:
        ArgumentError: An option says something else.
    """
    given = {"arch": order.arch, "width": order.width, **order.fields}
    stored = {
        "arch": checkpoint.arch,
        "width": checkpoint.arch_kwargs.get("width", 1.0),
        **{name: getattr(recipe, name) for name in order.fields},
    }
    if order.recipe is not None or order.method is not None:
        option = "method" if order.recipe is None else "recipe"
        given[option] = load_recipe(order.name_of_recipe, checkpoint.arch, order.teacher).name
        stored[option] = recipe.name
    if order.teacher is not None:
        given["teacher"] = str(order.teacher)
        stored["teacher"] = (recipe.teacher.file or "of its own") if recipe.teacher else "none"
    for name, value in given.items():
        if value is not None and value != stored[name]:
            noun = "recipe" if name == "method" else name
            raise ArgumentError(
                f"{order.out} holds a run with {noun} {stored[name]}, not {value}: a run goes on as it "
                f"began, so leave --{name.replace('_', '-')} out, or begin another with --out"
            )
    if change_recipe(recipe, list(order.set)) != recipe:
        raise ArgumentError(
            f"{order.out} holds a run without {', '.join(order.set)}: a run goes on as it began, so "
            "leave --set out, or begin another with --out"
        )
    if order.init is not None:
        raise ArgumentError(
            "--init is for the beginning of a run: leave it out, or leave --resume out"
        )
    if order.recipe is not None and order.recipe.endswith(".toml"):
        _check_same_file(order, recipe)


def _check_same_file(order: "Order", recipe: Recipe) -> None:
    """Refuse a recipe's file that was edited, or is given without the options that changed it."""
    given = order.make_recipe()
    if given == recipe:
        return
    stored, found = (_list_fields(to_table(one)) for one in (recipe, given))
    differing = [
        f"{name} {stored.get(name, 'not given')}, not {found.get(name, 'not given')}"
        for name in {**stored, **found}
        if stored.get(name) != found.get(name)
    ] or ["the phases in another order"]
    raise ArgumentError(
        f"{order.out} holds a run with {'; '.join(differing)}, as {order.recipe} and the other options "
        "have it now: a run goes on as it began, so leave --recipe out to go on with the recipe that is "
        "stored, or begin another with --out"
    )


def _list_fields(table: dict[str, Any]) -> dict[str, Any]:
    """List a recipe's fields, by the names that --set has for them."""
    found: dict[str, Any] = {}
    for name, value in table.items():
        if name == "phases":
            for phase in value:
                found |= {f"{phase['name']}.{field}": item for field, item in phase.items()}
        elif isinstance(value, dict):
            found |= {f"{name}.{field}": item for field, item in value.items()}
        else:
            found[name] = value
    return found
