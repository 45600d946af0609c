"""Is what the stand-in offers also what CuPy offers?

`describe_surface` lists the stand-in's public names with their signatures. Run as a script, with the
list as JSON on standard input, this file holds them against the CuPy that is installed and prints
what is not the same, as JSON. Run it with ``python -I``, which leaves this folder out of Python's
path; it needs no GPU. What needs cuBLAS to be imported, ``cupy.cuda.cublas`` and
``cupyx.scipy.linalg``, is not in the list.
"""

import importlib
import inspect
import json
import re
import sys
from typing import Any

MODULES = (
    "cupy",
    "cupy.cuda",
    "cupy.cuda.compiler",
    "cupy.cuda.driver",
    "cupy.cuda.memory",
    "cupy.cuda.runtime",
    "cupy.random",
    "cupyx",
)
NO_CUPY = 3  # exit status
Parameter = tuple[str, int, bool]  # name, kind, whether it has a default

_POSITIONAL_ONLY, _POSITIONAL, _ARGS, _KEYWORD_ONLY, _KWARGS = range(5)
_NEED_LIBRARIES = {"cupy.cuda.cublas"}
_CLASS_DETAILS = {"__module__", "__dict__", "__weakref__", "__qualname__", "__annotations__"}


def describe_surface() -> dict[str, list[Parameter] | None]:
    """Find the public names of the modules and of the classes in them.

    Returns:
        The signature of each name with dots; None for what is not called.
    """
    surface: dict[str, list[Parameter] | None] = {}
    for module_name in MODULES:
        module = importlib.import_module(module_name)
        for name in module.__all__:
            path = f"{module_name}.{name}"
            value = getattr(module, name)
            is_foreign = isinstance(value, type) and value.__module__.startswith("numpy")
            if path in _NEED_LIBRARIES:
                continue
            surface[path] = None if is_foreign else get_parameters(value)
            if isinstance(value, type) and not is_foreign:
                for member in _list_members(value):
                    method = getattr(value, member)
                    has_signature = not member.startswith("__") and callable(method)
                    surface[f"{path}.{member}"] = get_parameters(method) if has_signature else None
    return surface


def _list_members(kind: type) -> list[str]:
    inherited = {name for base in (object, Exception) for name in vars(base)} | _CLASS_DETAILS
    own = (
        {name for base in kind.__mro__ for name in vars(base)} - set(vars(MemoryError)) - inherited
    )
    return sorted(name for name in own if not re.match(r"_(?!_)", name))


def get_parameters(value: Any) -> list[Parameter] | None:
    """Find the signature of a function, of what it says of itself if Python does not know it.

    Args:
        value: The function.
    """
    if not callable(value):
        return None
    documented = _read_documentation(value)
    try:
        signature = inspect.signature(value)
    except (TypeError, ValueError):
        return documented
    found = [
        (p.name, int(p.kind), p.default is not p.empty)
        for p in signature.parameters.values()
        if p.name != "self"
    ]
    says_nothing = [kind for _, kind, _ in found] == [_ARGS, _KWARGS]
    return documented or found if says_nothing else found


def _read_documentation(value: Any) -> list[Parameter] | None:
    """Read a signature as Cython writes it: ``Class.name(self, int axis=-1) -> type``."""
    first_line = (getattr(value, "__doc__", None) or "").strip().partition("\n")[0]
    match = re.match(r"[\w.]+\((.*)\)(?:\s*->.*)?$", first_line)
    if not match:
        return None
    parameters: list[Parameter] = []
    kind = _POSITIONAL
    for part in filter(None, (part.strip() for part in match[1].replace("\\", "").split(","))):
        name, has_default, _ = part.partition("=")
        name = name.split()[-1]  # after its type
        if name == "/":
            parameters = [(other, _POSITIONAL_ONLY, default) for other, _, default in parameters]
        elif name == "*":
            kind = _KEYWORD_ONLY
        elif name.startswith("**"):
            parameters.append((name[2:], _KWARGS, False))
        elif name.startswith("*"):
            parameters.append((name[1:], _ARGS, False))
            kind = _KEYWORD_ONLY
        elif name != "self":
            parameters.append((name, kind, bool(has_default)))
    return parameters


def find_missing(surface: dict[str, list[Parameter] | None]) -> list[str]:
    """Hold names and signatures against the CuPy that is imported.

    Args:
        surface: What `describe_surface` returns.

    Returns:
        A message for each name and each argument that it does not have.
    """
    messages = []
    for path, mine in surface.items():
        try:
            theirs = get_parameters(_resolve(path))
        except AttributeError:
            messages.append(f"{path} is missing")
            continue
        if mine is not None and theirs is not None:
            messages += [f"{path}: {problem}" for problem in _find_refused(mine, theirs)]
    return messages


def _resolve(path: str) -> Any:
    names = path.split(".")
    value = importlib.import_module(names[0])
    for number, name in enumerate(names[1:], start=2):
        if not hasattr(value, name) and inspect.ismodule(value):
            try:
                importlib.import_module(".".join(names[:number]))
            except ImportError as error:
                raise AttributeError(path) from error
        value = getattr(value, name)
    return value


def _find_refused(mine: list[Parameter], theirs: list[Parameter]) -> list[str]:
    """Tell which arguments of one signature another does not take."""
    kinds = {kind for _, kind, _ in theirs}
    by_name = {name: (kind, default) for name, kind, default in theirs}
    positional = [name for name, kind, _ in theirs if kind <= _POSITIONAL]
    problems = []
    for number, (name, kind, has_default) in enumerate(mine):
        fits_place = kind > _POSITIONAL or positional[number : number + 1] == [name]
        if kind == _POSITIONAL_ONLY:
            fits_place = number < len(positional) or _ARGS in kinds
        elif kind == _POSITIONAL and _ARGS in kinds and _KWARGS in kinds:
            fits_place = True
        if kind in (_ARGS, _KWARGS):
            fits_name = kind in kinds
        elif kind == _POSITIONAL_ONLY:
            fits_name = True
        else:
            fits_name = name in by_name or _KWARGS in kinds
        if not fits_place or not fits_name:
            problems.append(f"no argument {name}, or not at its place")
        elif has_default and name in by_name and not by_name[name][1]:
            problems.append(f"argument {name} has no default")
    return problems


if __name__ == "__main__":
    try:
        import cupy  # noqa: F401
    except ImportError:
        sys.exit(NO_CUPY)
    print(json.dumps(find_missing(json.load(sys.stdin))))
