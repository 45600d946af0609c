"""Recipes as tables of plain values: what TOML files and checkpoints hold."""

import functools
import operator
from collections.abc import Callable
from dataclasses import fields
from typing import Any, Literal, get_args, get_origin

from cattrs import BaseValidationError, Converter

from vdprune.augmentation import Augmentation
from vdprune.errors import ArgumentError
from vdprune.recipes.messages import shorten, tell_faults
from vdprune.recipes.phase import Cut, Phase
from vdprune.recipes.recipe import Recipe, Teacher
from vdprune.recipes.schedule import Schedule

# What is part of another comes first, for cattrs looks up the hooks of fields but once.
_TABLES: dict[Any, str] = {
    Cut: "a table, as { epoch = 0, compression = 100 }",
    tuple[Cut, ...]: "a list of tables, as [{ epoch = 0, compression = 100 }]",
    Augmentation: "a table, as { shift = 2.0 }",
    Phase: "a table: begin each phase with [[phases]]",
    tuple[Phase, ...]: "a list of tables: begin each phase with [[phases]], in double brackets",
    Teacher: "a table: begin it with [teacher], in single brackets, for there is one at most",
    Recipe: "a table",
}


@functools.cache
def _converter() -> Converter:
    converter = Converter(forbid_extra_keys=True)
    converter.register_structure_hook(Schedule, lambda value, _: Schedule.from_plain(value))
    converter.register_unstructure_hook(Schedule, Schedule.to_plain)
    for kind in (int, float, str, bool):
        converter.register_structure_hook(kind, _take_as_it_is)
    converter.register_structure_hook_func(lambda kind: get_origin(kind) is Literal, _choose)
    for kind, words in _TABLES.items():
        plain = list if get_args(kind) else dict
        converter.register_structure_hook_func(
            functools.partial(operator.eq, kind),
            _demand(plain, words, converter.get_structure_hook(kind)),
        )
    return converter


def _demand(plain: type, words: str, structure: Callable[[Any, Any], Any]) -> Any:
    """Make a hook of cattrs' own that refuses what is of another type first."""

    def check_and_structure(value: Any, kind: Any) -> Any:
        if not isinstance(value, plain):
            raise ArgumentError(f"{shorten(value)} is not {words}")
        return structure(value, kind)

    return check_and_structure


def _choose(value: Any, kind: Any) -> Any:
    if value not in get_args(kind):
        raise ArgumentError(f"{shorten(value)} is not one of {', '.join(get_args(kind))}")
    return value


def _take_as_it_is(value: Any, kind: Any) -> Any:
    """Refuse a value of another type, where cattrs would make one of it."""
    allowed = (int, float) if kind is float else kind
    if not isinstance(value, allowed) or (isinstance(value, bool) and kind is not bool):
        words = {int: "a whole number", float: "a number", str: "text", bool: "true or false"}
        raise ArgumentError(f"{shorten(value)} is not {words[kind]}")
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
    except (BaseValidationError, ArgumentError) as error:
        found = tell_faults(error, table)
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
    known = {field.name for field in fields(Recipe)} - {"phases"}
    for depth, parent in enumerate(parents):
        if depth == 0 and parent in phases:
            place = phases[parent]
        elif isinstance(place, list) and parent.isdecimal() and int(parent) < len(place):
            place = place[int(parent)]
        elif isinstance(place, list):
            raise ArgumentError(
                f"the recipe has no field {path!r}: {'.'.join(parents[:depth])} has {len(place)} "
                f"entries, counted from 0, so {parent!r} is none of them"
            )
        elif isinstance(place, dict) and (depth > 0 or parent in known):
            place = place.setdefault(parent, {})
        else:
            raise ArgumentError(
                f"the recipe has no field {path!r}: name a field of the recipe, or a phase and its "
                f"field, as {table['phases'][0]['name']}.learning_rate; the phases are "
                f"{', '.join(phases)}"
            )
    if not isinstance(place, dict):
        before = ".".join(parents)
        raise ArgumentError(
            f"the recipe has no field {path!r}: {before} is {shorten(place)}, which has no fields; set "
            f"it as a whole, {before}=VALUE"
        )
    if value == "":
        _check_optional(path, name, parents, phases)
        place.pop(name, None)
    else:
        place[name] = value


def _check_optional(path: str, name: str, parents: list[str], phases: dict[str, Any]) -> None:
    """Refuse to take away what a recipe has not, or has to have."""
    if not parents:
        kind: type = Recipe
    elif len(parents) == 1 and parents[0] in phases:
        kind = Phase
    else:
        kind = {"teacher": Teacher, "augmentation": Augmentation}.get(parents[-1], Cut)
    found = [field for field in fields(kind) if field.name == name]
    if not found:
        what = f"{name} is a phase" if not parents and name in phases else "there is no such field"
        raise ArgumentError(f"{path}= takes nothing away: {what}")
    if found[0].default not in (None, (), ""):
        raise ArgumentError(f"{path}= takes nothing away: {name} needs a value")


def _without_nothing(value: Any) -> Any:
    if isinstance(value, dict):
        return {
            name: _without_nothing(item) for name, item in value.items() if item not in (None, "")
        }
    if isinstance(value, list | tuple):
        return [_without_nothing(item) for item in value]
    return value
