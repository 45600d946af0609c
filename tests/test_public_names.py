import ast
import subprocess
import sys
from pathlib import Path

import pytest

import vdprune


@pytest.mark.parametrize("name", vdprune.__all__)
def test_each_public_name_is_there(name: str) -> None:
    assert getattr(vdprune, name) is not None
    assert name in dir(vdprune)


def test_names_for_type_checkers_are_the_public_ones() -> None:
    tree = ast.parse(Path(vdprune.__file__).read_text(encoding="utf-8"))
    block = next(node for node in tree.body if isinstance(node, ast.If))
    names = {alias.asname for node in block.body for alias in node.names}  # type: ignore[attr-defined]
    assert names == set(vdprune.__all__) - {"__version__"}


def test_unknown_name() -> None:
    with pytest.raises(AttributeError, match="'vdprune' has no attribute 'nothing'"):
        vdprune.nothing  # noqa: B018


def test_import_loads_nothing_heavy() -> None:
    code = (
        "import sys, vdprune; print(sorted({'chainer', 'numpy', 'scipy', 'h5py', 'click', 'tqdm'} "
        "& set(sys.modules)))"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert result.stdout == "[]\n", result.stderr


FLOORS = [
    {"version", "errors", "garbage", "chainer_compat", "chainer_mends"},
    {
        "kernels",
        "sparsity",
        "threshold",
        "sparse_rows",
        "storage",
        "devices",
        "blas",
        "helpers",
        "threads",
        "trials",
        "augmentation",
    },
    {"chainer_speed", "hdf5", "recipes", "graph"},
    {"formats"},
    {"runtime"},
    {"functions", "finiteness"},
    {"links"},
    {"objective"},
    {"chain", "conversion"},
    {"archs", "datasets"},
    {"checkpoint", "evaluation", "chain_evaluation"},
    {"pruning"},
    {"sweep"},
    {"training", "export", "plotting"},
    {"report"},
    {"cli", "__main__"},
]


def test_imports_go_down_the_floors() -> None:
    """A module imports from its own floor or those below, whether at the top or in a function."""
    root = Path(vdprune.__file__).parent
    floor_of = {name: i for i, floor in enumerate(FLOORS) for name in floor}
    wrong = []
    for path in root.rglob("*.py"):
        here = path.relative_to(root).parts[0].removesuffix(".py")
        if here == "__init__":
            continue
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("vdprune"):
                parts = (node.module or "").split(".")
                targets = [parts[1]] if len(parts) > 1 else [alias.name for alias in node.names]
                wrong += [
                    f"{path.relative_to(root)} imports {target}"
                    for target in targets
                    if floor_of[target] > floor_of[here]
                ]
    assert wrong == []


def test_the_library_never_prints_nor_imports_the_command_lines_packages() -> None:
    root = Path(vdprune.__file__).parent
    for path in root.rglob("*.py"):
        if path.relative_to(root).parts[0] == "cli":
            continue
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import | ast.ImportFrom):
                names = [alias.name for alias in node.names] + [getattr(node, "module", "") or ""]
                assert not {"click", "tqdm"} & set(names), path
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
                assert node.func.id != "print", path
