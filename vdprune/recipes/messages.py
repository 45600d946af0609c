"""What is wrong with a recipe's table, in words: where, what was found, what is allowed."""

import difflib
from collections.abc import Iterator
from dataclasses import MISSING, fields
from typing import Any

from cattrs import (
    BaseValidationError,
    ClassValidationError,
    ForbiddenExtraKeysError,
    IterableValidationError,
    IterableValidationNote,
)

_LONGEST = 60
_Path = tuple[str | int, ...]


def tell_faults(error: Exception, table: Any) -> list[str]:
    """Put what cattrs found into words.

    Args:
        error: What it raised.
        table: The recipe's table.

    Returns:
        A phrase for each fault. It begins with the phase, by its name or, without one, its number, and
        the field, written as ``vdprune train --set`` takes it.
    """
    found = []
    for path, kind, fault in _list_faults(error, (), None):
        if isinstance(fault, ForbiddenExtraKeysError):
            known = [field.name for field in fields(fault.cl)]
            for extra in sorted(map(str, fault.extra_fields)):
                place = _name_place((*path, extra), table)
                found.append(f"{place}: no such field, {_suggest(extra, known)}")
        elif isinstance(fault, KeyError) and path and fault.args == path[-1:]:
            needed = [f.name for f in fields(kind) if f.default is f.default_factory is MISSING]
            found.append(
                f"{_name_place(path, table)}: it is missing; {' and '.join(needed)} are needed"
            )
        else:
            place = _name_place(path, table)
            found.append(f"{place}: {fault}" if place else str(fault))
    return found


def shorten(value: Any) -> str:
    """Write a value that was found, or its beginning."""
    text = repr(value)
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}..."


def _suggest(name: str, known: list[str]) -> str:
    similar = difflib.get_close_matches(name, known, 1)
    return f"is {similar[0]} meant?" if similar else f"choose from {', '.join(known)}"


def _list_faults(
    error: Exception, path: _Path, kind: Any
) -> Iterator[tuple[_Path, Any, Exception]]:
    """List the single faults, each with its place and the class that this is a field of."""
    if not isinstance(error, BaseValidationError):
        yield path, kind, error
        return
    assert isinstance(error, ClassValidationError | IterableValidationError)
    noted, others = error.group_exceptions()
    for inner, note in noted:
        step = note.index if isinstance(note, IterableValidationNote) else note.name
        yield from _list_faults(inner, (*path, step), error.cl)
    for inner in others:
        yield from _list_faults(inner, path, error.cl)


def _name_place(path: _Path, table: Any) -> str:
    """Name a place in a recipe; nothing for the recipe as a whole."""
    where = []
    if len(path) > 1 and path[0] == "phases":
        number = int(path[1])
        phase = table["phases"][number]
        name = phase.get("name") if isinstance(phase, dict) else None
        where.append(
            f"phase {name}" if name and isinstance(name, str) else f"phase number {number + 1}"
        )
        path = path[2:]
    if path:
        where.append(".".join(map(str, path)))
    return ", ".join(where)
