"""The parts of a training step, by the functions that belong to them."""

import re
from dataclasses import dataclass

_PRODUCTS = re.compile(r":(_matmul|<method 'dot' .*|<built-in method numpy\b.*\b(dot|matmul)>)$")
_KERNEL = re.compile(r"^vdprune/kernels/(?P<file>\w+)\.py:(?P<name>\w+)")
# The first whose pattern is at the beginning of "path:function" names the part.
_PARTS = (
    (r"vdprune/training/adam|chainer/optimizer", "optimizer"),
    (r"vdprune/training/batches|chainer/iterators|chainer/dataset", "iterator and batches"),
    (r"vdprune/training|chainer/training|chainer/reporter", "trainer and reporting"),
    (r"chainer/", "Chainer's graph and functions"),
    (r"vdprune/", "rest of vdprune"),
)
_REST = "rest"

BUILT_IN = "~"  # what the profiler gives as the path of a function without a file


@dataclass(frozen=True)
class Function:
    """A function that the profiler saw.

    Args:
        path: Its file, or `BUILT_IN`.
        line: Where it begins.
        name: Its name.
    """

    path: str
    line: int
    name: str

    def __str__(self) -> str:
        """Return its name and place, short."""
        if self.path == BUILT_IN:
            return self.name
        return f"{self.name} ({_shorten(self.path)}:{self.line})"

    @property
    def is_helper(self) -> bool:
        """Whether it works for whoever calls it: NumPy's functions, and those that are built in."""
        place = _place(self)
        return place.startswith((f"{BUILT_IN}:", "numpy/")) or bool(_PRODUCTS.search(place))


@dataclass(frozen=True)
class Entry:
    """The time that a function took itself, per step.

    Args:
        function: The function.
        caller: Who called it, if it is a helper and called by someone.
        ms: Milliseconds, without the functions that it calls.
        calls: How often it was called.
    """

    function: Function
    caller: Function | None
    ms: float
    calls: float

    def __str__(self) -> str:
        """Return the function, and the caller if there is one."""
        return f"{self.function} in {self.caller}" if self.caller else str(self.function)


def part_of(entry: Entry) -> str:
    """Tell which part of a step a function belongs to.

    Args:
        entry: The function; a helper belongs to its caller's part, unless it multiplies matrices.

    Returns:
        The part's name; compiled kernels are a part each, with the products that they compute.
    """
    if _PRODUCTS.search(_place(entry.function)):
        return "matrix products"
    place = _place(entry.caller or entry.function)
    if kernel := _KERNEL.match(place):
        return f"kernel {kernel['file']}.{kernel['name']}"
    return next((part for pattern, part in _PARTS if re.match(pattern, place)), _REST)


def group_by_part(entries: list[Entry]) -> dict[str, list[Entry]]:
    """Sort functions into parts.

    Args:
        entries: The functions.

    Returns:
        The functions of each part, the part that takes longest first.
    """
    parts: dict[str, list[Entry]] = {}
    for entry in entries:
        parts.setdefault(part_of(entry), []).append(entry)
    return dict(
        sorted(parts.items(), key=lambda item: sum(entry.ms for entry in item[1]), reverse=True)
    )


def _place(function: Function) -> str:
    return f"{_shorten(function.path)}:{function.name}"


def _shorten(path: str) -> str:
    """Leave out what lies before the package."""
    return re.sub(
        r"^.*/(?:(?:site|dist)-packages/|(?=(?:vdprune|benchmarks)/))", "", path.replace("\\", "/")
    )
