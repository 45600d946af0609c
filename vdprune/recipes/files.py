"""Recipes in TOML files: those that come with the package, and the user's own."""

import re
from pathlib import Path
from typing import Any

import tomlkit
from tomlkit.exceptions import TOMLKitError

from vdprune.errors import ArgumentError
from vdprune.recipes.recipe import Recipe
from vdprune.recipes.tables import change_table, from_table, to_table

FINETUNE = "finetune"  # for networks that are pruned
_FOLDER = Path(__file__).parent
_OF_TRAINED = {"arch", "recipe", "networks"}  # what only a teacher has that is no file


def load_recipe(name: str, arch: str, teacher: Path | None = None) -> Recipe:
    """Read a recipe.

    Args:
        name: The name of one that comes with the package, or a TOML file.
        arch: What it is for: some recipes differ by network.
        teacher: A checkpoint to learn from, in the place of the recipe's own teacher; None for that.

    Returns:
        The recipe.

    Raises:
        ArgumentError: There is none of that name, or the file can't be used.
    """
    path = Path(name)
    if path.suffix != ".toml":
        found = [_FOLDER / f"{name}.{arch}.toml", _FOLDER / f"{name}.toml"]
        present = [candidate for candidate in found if candidate.exists()]
        if not present:
            raise ArgumentError(_tell_what_there_is(name, arch))
        path = present[0]
    try:
        table = tomlkit.parse(path.read_text(encoding="utf-8")).unwrap()
    except (OSError, UnicodeDecodeError, TOMLKitError) as error:
        if isinstance(error, FileNotFoundError):
            raise ArgumentError(
                f"there is no recipe file {name!r}: --show-recipe prints one to begin with"
            ) from None
        reason = getattr(error, "strerror", None) or error
        raise ArgumentError(f"the recipe {name} can't be read: {reason}") from error
    its_teacher = table.get("teacher", {})
    if teacher is not None and isinstance(its_teacher, dict):
        settings = {key: its_teacher[key] for key in its_teacher.keys() - _OF_TRAINED}
        table["teacher"] = {**settings, "file": str(teacher)}
    try:
        return from_table(table)
    except ArgumentError as error:
        raise ArgumentError(f"{path}: {error}") from error


def format_recipe(recipe: Recipe, comment: str | None = None) -> str:
    """Write a recipe as TOML.

    Args:
        recipe: The recipe.
        comment: One line that goes before it.

    Returns:
        The text of a file that `load_recipe` reads.
    """
    text = tomlkit.dumps(to_table(recipe))
    return text if comment is None else f"# {comment}\n{text}"


def differs_by_network(name: str) -> bool:
    """Tell whether a recipe that comes with the package is not the same for all networks.

    Args:
        name: Its name.
    """
    return any(path.name.startswith(f"{name}.") for path in _FOLDER.glob("*.*.toml"))


def change_recipe(recipe: Recipe, settings: list[str]) -> Recipe:
    """Change fields of a recipe.

    Args:
        recipe: The recipe.
        settings: Text such as ``rounds.learning_rate=[[0, 1e-3], [50, 0]]``: a field, and its value
            as TOML has it; a word needs no quotes.

    Returns:
        The changed recipe.

    Raises:
        ArgumentError: There is no such field, or a value has no meaning.
    """
    table, fault = to_table(recipe), None
    for setting in settings:
        path, equals, text = setting.partition("=")
        if not equals or not path.strip():
            raise ArgumentError(f"{setting!r} sets nothing: give FIELD=VALUE")
        try:
            change_table(table, path.strip(), _parse(text.strip()))
        except Exception:  # the fault is in what was set before
            if fault is not None:
                raise fault from None
            raise
        fault = _find_fault(table)  # which a later setting may mend
    if fault is not None:
        raise fault
    return from_table(table)


def _find_fault(table: dict[str, Any]) -> ArgumentError | None:
    try:
        from_table(table)
    except ArgumentError as fault:
        return fault
    return None


def _parse(text: str) -> Any:
    try:
        return tomlkit.parse(f"value = {text}").unwrap()["value"]
    except TOMLKitError:
        if re.search(r"\s[\w.]+\s*=", text):
            raise ArgumentError(
                f"{text!r} holds another setting: give each by itself, in VDPRUNE_TRAIN_SET on a line "
                "of its own"
            ) from None
        return text


def _tell_what_there_is(name: str, arch: str) -> str:
    files = sorted(path.name.split(".")[:-1] for path in _FOLDER.glob("*.toml"))
    names = {stem for stem, *archs in files if not archs or archs == [arch]} - {FINETUNE}
    return (
        f"there is no recipe {name!r} for {arch}: choose from {', '.join(sorted(names))}, or give a "
        "file that ends in .toml"
    )
