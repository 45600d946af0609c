"""Writes docs/recipes.md from the docstrings: python docs/make_recipe_reference.py."""

import re
from dataclasses import MISSING, Field, fields
from inspect import getdoc
from pathlib import Path
from typing import Any

from vdprune.augmentation import Augmentation
from vdprune.recipes.phase import Cut, Phase
from vdprune.recipes.recipe import Recipe, Teacher
from vdprune.recipes.schedule import Schedule

PAGE = Path(__file__).with_name("recipes.md")

INTRODUCTION = """\
# Recipes

All fields that a recipe can have, as `--set` and a recipe's TOML file take them. `vdprune train
--show-recipe` prints those that are set. `--set seed=3` changes one of the recipe's own, `--set
teacher.weight=0.5` one of its teacher, `--set rounds.kl_weight=0.5` one of its phase `rounds`, `--set
rounds.cuts.0.compression=50` one of that phase's first cut, `--set rounds.augmentation.shift=1` one of
its changes of images.

A **schedule** is a number, or pairs of epoch and value, as `[[5, 0], [20, 1]]`: linear in between,
constant before the first and after the last; where two have the same epoch the value jumps. Epochs
count from 0 at the start of the phase. What is "unset", or None, is left out of the file.
"""
SECTIONS: tuple[tuple[str, str, Any], ...] = (
    ("The recipe", "the top of the file", Recipe),
    ("A phase", "`[[phases]]`", Phase),
    ("A cut", "in `cuts` of a phase", Cut),
    ("Changes of images", "`augmentation` of a phase", Augmentation),
    ("A teacher", "`[teacher]`", Teacher),
)


def make_reference() -> str:
    """Return the page."""
    parts = [INTRODUCTION]
    for title, where, kind in SECTIONS:
        meanings = _read_meanings(kind)
        rows = [
            f"| `{field.name}` | {_default(field)} | {meanings[field.name]} |"
            for field in fields(kind)
        ]
        table = "\n".join(["| field | default | meaning |", "| --- | --- | --- |", *rows])
        parts.append(f"## {title}\n\n{_sentence(kind)} In TOML: {where}.\n\n{table}\n")
    return "\n".join(parts)


def _sentence(kind: Any) -> str:
    return (getdoc(kind) or "").partition("\n")[0]


def _read_meanings(kind: Any) -> dict[str, str]:
    """Read the section of arguments: each begins a line of its own, four spaces in."""
    _, _, text = (getdoc(kind) or "").partition("\nArgs:\n")
    text = text.partition("\n\n")[0]
    found = re.findall(r"^    (\w+): (.*(?:\n     .*)*)", text, re.M)
    return {name: _to_markdown(" ".join(meaning.split())) for name, meaning in found}


def _to_markdown(text: str) -> str:
    return text.replace("``", "`").replace("|", "\\|")


def _default(field: Field[Any]) -> str:
    if field.default is MISSING:
        return ""
    value = field.default.to_plain() if isinstance(field.default, Schedule) else field.default
    if value is None or value in ("", ()):
        return "unset"
    return f"`{str(value).lower() if isinstance(value, bool) else value}`"


if __name__ == "__main__":
    PAGE.write_text(make_reference(), encoding="utf-8")
