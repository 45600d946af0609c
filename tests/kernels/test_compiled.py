import ast
import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numba
import numpy
import pytest

from vdprune.kernels import compiled as module

KERNELS = Path(module.__file__).parent


def double(x: Any) -> None:
    for i in range(x.size):
        x[i] *= 2


def test_is_kept_on_disk() -> None:
    function = module.compiled(double)
    assert type(function._cache).__name__ == "FunctionCache"


def test_works_where_nothing_can_be_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    def njit(cache: bool = False, **options: Any) -> Any:
        if cache:
            raise RuntimeError("cannot cache function 'double': no locator available")
        return numba.njit(**options)

    monkeypatch.setattr(module, "njit", njit)
    x = numpy.arange(3.0)
    function = module.compiled(double)
    function(x)
    assert x.tolist() == [0, 2, 4]
    assert type(function._cache).__name__ == "NullCache"


@pytest.mark.parametrize("path", sorted(KERNELS.glob("*.py")), ids=lambda path: path.stem)
def test_what_is_kept_on_disk_goes_when_another_file_changes(path: Path) -> None:
    """The digest of a module is of all files whose functions end up in its compiled ones."""
    text = path.read_text(encoding="utf-8")
    files = sorted(set(files_taken_from(path)))
    if files and "@compiled" in text:
        digest = hashlib.sha256(b"".join(other.read_bytes() for other in files)).hexdigest()[:16]
        assert f'_TAKEN_FROM_ELSEWHERE = "{digest}"' in text, f"set it to {digest!r}"


def files_taken_from(path: Path) -> Iterator[Path]:
    """Yield the files of kernels that a file imports from, and that those do."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if not isinstance(node, ast.ImportFrom):
            continue
        names = [str(node.module).removeprefix("vdprune.kernels.")]
        if node.module == "vdprune.kernels":
            names = [alias.name for alias in node.names]
        for other in (path.with_name(f"{name}.py") for name in names):
            if other.exists() and other.name not in ("compiled.py", path.name):
                yield other
                yield from files_taken_from(other)
