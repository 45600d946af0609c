"""Loops over arrays, compiled; a module of them is loaded on its first use, for that takes a while."""

import importlib
from typing import Any

_MODULES = (
    "convolution",
    "cpu",
    "cuda",
    "inference",
    "noise",
    "orders",
    "pooling",
    "products",
    "sparse_convolution",
    "unfolding",
    "winograd",
)


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return importlib.import_module(f"{__name__}.{name}")
