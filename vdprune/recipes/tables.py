"""Recipes as tables of plain values: what TOML files and checkpoints hold."""

import functools
from typing import Any, Literal, get_args, get_origin

import cattrs
from cattrs import Converter

from vdprune.errors import ArgumentError
from vdprune.recipes.recipe import Recipe
from vdprune.recipes.schedule import Schedule


@functools.cache
def _converter() -> Converter:
    converter = Converter(forbid_extra_keys=True)
    converter.register_structure_hook(Schedule, lambda value, _: Schedule.from_plain(value))
    converter.register_unstructure_hook(Schedule, Schedule.to_plain)
    for kind in (int, float, str, bool):
        converter.register_structure_hook(kind, _take_as_it_is)
    return converter


def _take_as_it_is(value: Any, kind: Any) -> Any:
    """Refuse a value of another type, where cattrs would make one of it."""
    allowed = (int, float) if kind is float else kind
    if not isinstance(value, allowed) or (isinstance(value, bool) and kind is not bool):
        words = {int: "a whole number", float: "a number", str: "text", bool: "true or false"}
        raise ArgumentError(f"{value!r} is not {words[kind]}")
    return kind(value)


def to_table(recipe: Recipe) -> dict[str, Any]:
    """Return a recipe as a dictionary that TOML and JSON can hold.

    Args:
        recipe: The recipe.

    Returns:
        Its fields; those that are None or empty are left out.
    """
    return _without_nothing(_converter().unstructure(recipe))


def from_table(table: dict[str, Any]) -> Recipe:
    """Make a recipe of what `to_table` returned.

    Args:
        table: The fields; those that have a default can be left out.

    Returns:
        The recipe.

    Raises:
        ArgumentError: A field is missing, unknown or has no meaning.
    """
    try:
        return _converter().structure(table, Recipe)
    except Exception as error:
        found = cattrs.transform_error(error, path="recipe", format_exception=_tell)
        raise ArgumentError(f"the recipe can't be used: {'; '.join(found)}") from error


def change_table(table: dict[str, Any], path: str, value: Any) -> None:
    """Change a field of a recipe's table.

    Args:
        table: The table; it is changed.
        path: The field, as ``batch_size``, ``teacher.weight``, ``rounds.learning_rate`` for a phase
            named rounds, or ``rounds.cuts.0.compression``.
        value: Its new value; an empty text takes an optional table, as ``teacher``, away.

    Raises:
        ArgumentError: There is no such place.
    """
    *parents, name = path.split(".")
    place: Any = table
    phases = {phase["name"]: phase for phase in table["phases"]}
    for depth, parent in enumerate(parents):
        if depth == 0 and parent in phases:
            place = phases[parent]
        elif isinstance(place, list) and parent.isdecimal() and int(parent) < len(place):
            place = place[int(parent)]
        elif isinstance(place, dict) and parent not in ("phases", *phases):
            place = place.setdefault(parent, {})
        else:
            raise ArgumentError(
                f"the recipe has no field {path!r}: name a field of the recipe, or a phase and its "
                f"field, as {table['phases'][0]['name']}.learning_rate; the phases are "
                f"{', '.join(phases)}"
            )
    if not isinstance(place, dict):
        raise ArgumentError(
            f"the recipe has no field {path!r}: what is before {name!r} is no table"
        )
    if value == "":
        place.pop(name, None)
    else:
        place[name] = value


def _without_nothing(value: Any) -> Any:
    if isinstance(value, dict):
        return {
            name: _without_nothing(item) for name, item in value.items() if item not in (None, "")
        }
    if isinstance(value, list | tuple):
        return [_without_nothing(item) for item in value]
    return value


def _tell(error: BaseException, kind: Any) -> str:
    if isinstance(error, ArgumentError):
        return str(error)
    if get_origin(kind) is Literal:
        return f"it must be one of {', '.join(get_args(kind))}"
    return cattrs.v.format_exception(error, kind)
