"""Results that are computed once."""

import functools
from collections.abc import Callable
from typing import Any

from cupy._device import current_device

_memories: list[dict[Any, Any]] = []


def memoize(for_each_device: bool = False) -> Callable[..., Any]:
    """Make a decorator that remembers a function's results for each of its arguments."""

    def decorate(function: Callable[..., Any]) -> Callable[..., Any]:
        memory: dict[Any, Any] = {}
        _memories.append(memory)

        @functools.wraps(function)
        def remember(*args: Any, **kwargs: Any) -> Any:
            device = current_device() if for_each_device else None
            key = (device, args, frozenset(kwargs.items()))
            if key not in memory:
                memory[key] = function(*args, **kwargs)
            return memory[key]

        return remember

    return decorate


def clear_memo() -> None:
    """Forget all results."""
    for memory in _memories:
        memory.clear()


def fuse(*args: Any, **kwargs: Any) -> Any:
    """Decorate a function. Its kernels stay apart here, so the launches counted are too many."""
    if args and callable(args[0]):
        return args[0]
    return lambda function: function
