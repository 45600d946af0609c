"""The stand-in for CuPy has no name and takes no argument that CuPy lacks."""

import json
import subprocess
import sys
from typing import Any

import pytest

from tests.conftest import STAND_IN

cupy = pytest.importorskip("cupy")
if not hasattr(cupy, "_settings"):
    pytest.skip("this is CuPy, not its stand-in", allow_module_level=True)

from stand_in_surface import NO_CUPY, describe_surface  # noqa: E402

LACKING: dict[str, tuple[Any, str]] = {
    "cupy.errstate": (None, " is missing"),
    "cupy.ndarray.searchsort": (None, " is missing"),
    "cupy.sum": ([("a", 1, False), ("where", 1, True)], ": no argument where, or not at its place"),
    "cupy.ndarray.sum": ([("keepdims", 1, True)], ": no argument keepdims, or not at its place"),
    "cupy.zeros": ([("shape", 1, True)], ": argument shape has no default"),
    "cupy.RawKernel": ([("text", 1, False)], ": no argument text, or not at its place"),
}


def find_missing(surface: dict[str, Any]) -> list[str]:
    """Ask CuPy itself, in a process that the stand-in is not in the way of."""
    run = subprocess.run(
        [sys.executable, "-I", STAND_IN / "stand_in_surface.py"],
        input=json.dumps(surface),
        capture_output=True,
        text=True,
    )
    if run.returncode == NO_CUPY:
        pytest.skip("CuPy is not installed")
    assert run.returncode == 0, run.stderr
    return json.loads(run.stdout)


def test_cupy_has_every_name_and_argument() -> None:
    surface = describe_surface()
    for name in (
        "cupy.ndarray.sum",
        "cupy.RawKernel",
        "cupy.exp",
        "cupy.random.RandomState.uniform",
    ):
        assert surface[name]
    assert find_missing(surface) == []


def test_names_and_arguments_that_cupy_lacks_are_found() -> None:
    found = find_missing({name: signature for name, (signature, _) in LACKING.items()})
    assert found == [name + problem for name, (_, problem) in LACKING.items()]
