"""Wrong input: one line says what is wrong, and no file that was there is changed."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import h5py
import numpy
import pytest

from tests.conftest import make_tiny_arrays, run_vdprune

PNG = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\0\1\0\0\0\1\10\2\0\0\0\x90wS\xde"
LIMITED = """
import resource, runpy, sys
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
sys.argv = ["vdprune", *sys.argv[1:]]
runpy.run_module("vdprune", run_name="__main__", alter_sys=True)
"""


def _save_dataset(path: Path, **changed: numpy.ndarray) -> None:
    numpy.savez(path, **{**make_tiny_arrays(), **changed})


def _edit(source: Path, target: Path, recipe: dict[str, Any] | None = None, **attrs: Any) -> None:
    """Copy a file of ours with other root attributes."""
    shutil.copy(source, target)
    with h5py.File(target, "r+") as file:
        file.attrs.update(attrs)
        if recipe is not None:
            file.attrs["recipe"] = json.dumps(recipe)


@pytest.fixture(scope="module")
def folder(trained: Path, tiny_npz: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Good files, and all kinds of bad ones."""
    folder = tmp_path_factory.mktemp("wrong")
    for name in ("checkpoint.h5", "pruned.h5", "weights.h5"):
        shutil.copy(trained / name, folder)
    shutil.copy(tiny_npz, folder / "tiny.npz")
    checkpoint = folder / "checkpoint.h5"
    with h5py.File(checkpoint, "r") as file:
        recipe = json.loads(file.attrs["recipe"])
    unfinished = {**recipe, "phases": [{**recipe["phases"][0], "epochs": 12}]}

    whole = checkpoint.read_bytes()
    (folder / "cut.h5").write_bytes(whole[: len(whole) // 2])
    (folder / "empty.h5").touch()
    (folder / "picture.png").write_bytes(PNG)
    with h5py.File(folder / "other.h5", "w") as file:
        file["x"] = numpy.arange(3.0)
    _edit(checkpoint, folder / "newer.h5", format_version=99)
    _edit(checkpoint, folder / "unknown_arch.h5", arch="lenet9")
    _edit(checkpoint, folder / "other_arch.h5", arch="lenet5")
    _edit(checkpoint, folder / "no_recipe.h5", recipe={})
    _edit(checkpoint, folder / "moved.h5", dataset=str(folder / "moved.npz"))

    arrays = make_tiny_arrays()
    x, y = arrays["x_train"], arrays["y_train"]
    with_nan = x.astype("f4")
    with_nan[7, 0, 3, 3] = numpy.nan
    datasets: dict[str, dict[str, numpy.ndarray]] = {
        "four_classes": {"y_train": numpy.arange(300) % 4, "y_test": numpy.arange(90) % 4},
        "negative": {"y_train": y - 1},
        "wide": {"x_train": x[..., :7], "x_test": arrays["x_test"][..., :7]},
        "nan": {"x_train": with_nan},
        "nan_test": {"x_test": numpy.full((90, 1, 8, 8), numpy.nan, "f4")},
        "fewer": {"x_train": x[:200], "y_train": y[:200]},
    }
    for name, changed in datasets.items():
        _save_dataset(folder / f"{name}.npz", **changed)
    for name in ("wide", "fewer"):
        dataset = str(folder / f"{name}.npz")
        _edit(checkpoint, folder / f"run_on_{name}.h5", recipe=unfinished, dataset=dataset)
    return folder


def _contents(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


FAILURES = [
    # a file that is not there, or is not what it should be
    ("prune nothing.h5", "there is no file 'nothing.h5'"),
    ("eval .", "'.' is a folder"),
    ("eval /dev/null", "'/dev/null' is a device or a pipe: give a file"),
    ("prune tiny.npz", "tiny.npz is not a vdprune-weights file"),
    ("eval moved.h5", "moved.h5 names that data set; give it with --dataset"),
    ("prune cut.h5", "cut.h5 is cut short"),
    ("prune empty.h5", "empty.h5 is empty: use another copy"),
    ("eval empty.h5", "empty.h5 is empty: use another copy"),
    ("eval other.h5", "other.h5 is not a vdprune-checkpoint"),
    ("prune picture.png", "picture.png is not an HDF5 file: a checkpoint is wanted"),
    ("eval picture.png", "picture.png is no file that vdprune reads: a file of `vdprune train`"),
    (
        "train --dataset tiny.npz --teacher weights.h5 --out new.h5",
        "is not a vdprune-checkpoint file: it is a vdprune-weights file (a teacher is a checkpoint",
    ),
    ("prune weights.h5", "weights.h5 is an exported weight file"),
    ("export weights.h5", "`vdprune convert` turns it into another format"),
    ("prune newer.h5", "version 99"),
    ("prune unknown_arch.h5", "'lenet9'"),
    ("prune other_arch.h5", "lenet5"),
    ("eval no_recipe.h5", "no_recipe.h5"),
    ("train --resume --out no_recipe.h5", "no_recipe.h5"),
    # data
    ("train --dataset nothing --out new.h5", "there is no data set 'nothing'"),
    ("train --dataset picture.png --out new.h5", "picture.png"),
    ("train --dataset negative.npz --out new.h5", "labels go from -1 to 1"),
    ("train --dataset nan.npz --out new.h5", "the first is number 7"),
    ("train --dataset tiny.npz --arch lenet5 --out new.h5", "at least 16 pixels"),
    ("eval checkpoint.h5 --dataset four_classes.npz", "the network knows classes 0 to 2"),
    ("eval checkpoint.h5 --dataset wide.npz", "(1, 8, 7)"),
    ("eval weights.h5 --dataset wide.npz", "(90, 1, 8, 7)"),
    ("eval pruned.h5 --dataset nan_test.npz", "NaN"),
    ("eval checkpoint.h5 --split validation", "if --validation N held some out"),
    # where nothing can be written
    ("train --dataset tiny.npz --out picture.png/new.h5", "picture.png/new.h5 can't be written"),
    ("train --dataset tiny.npz --out nowhere/new.h5", "nowhere/new.h5 can't be written"),
    ("train --dataset tiny.npz --overwrite --out nowhere/new.h5", "can't be written"),
    ("train --dataset tiny.npz --out .", ". is a folder: name a file in it, as checkpoint.h5"),
    ("train --dataset tiny.npz --out new.npz", "new.npz ends in .npz: a checkpoint ends in .h5"),
    ("train --dataset tiny.npz --overwrite --out other.h5", "was not written by vdprune"),
    ("train --resume --dataset fewer.npz", "are not the 300"),
    ("prune --out picture.png/new.h5", "picture.png/new.h5 can't be written"),
    ("prune --out new.txt", "new.txt ends in .txt: a checkpoint ends in .h5"),
    ("prune --out other.h5", "other.h5 exists and was not written by vdprune"),
    ("prune pruned.h5 --out checkpoint.h5", "checkpoint.h5 is the checkpoint of a training run"),
    ("export --out checkpoint.h5", "checkpoint.h5 is the checkpoint of a training run"),
    ("train --dataset tiny.npz --out other.h5", "was not written by vdprune"),
    ("train --dataset tiny.npz --epochs 0", "epochs is 0"),
    ("export --out tiny.npz", "tiny.npz exists and was not written by vdprune"),
    ("export --out picture.png/new.h5", "picture.png/new.h5 can't be written"),
    ("export --out nowhere/new.npz", "nowhere/new.npz can't be written"),
    ("export --out weights.txt", "weights.txt ends in .txt, which is of no format: choose .c, .h5"),
    ("train --dataset tiny.npz --out new.h5 --recipe my.toml", "there is no recipe file 'my.toml'"),
    ("train --dataset tiny.npz", "checkpoint.h5 exists: go on with its run with --resume"),
    ("train --dataset tiny.npz --out pruned.h5", "pruned.h5 exists: replace it with --overwrite"),
    # values
    ("train --dataset tiny.npz --out new.h5 --threshold nan", "threshold is nan"),
    ("prune --threshold nan --out new.h5", "threshold is nan"),
    ("prune --threshold 1e31 --out new.h5", "threshold is 1e+31: it must be a log alpha between"),
    ("prune --target-sparsity 1.5 --out new.h5", "target sparsity is 1.5"),
    ("train --dataset tiny.npz --out new.h5 --epochs 0", "epochs is 0"),
    ("train --dataset tiny.npz --out new.h5 --batch-size 301", "there are 300 training examples"),
    ("train --dataset tiny.npz --out new.h5 --validation -1", "validation is -1"),
    ("train --dataset tiny.npz --out new.h5 --validation 300", "300 validation examples"),
    # a run that goes on
    ("train --resume --out nothing.h5", "there is no run in 'nothing.h5'"),
    ("train --resume --out pruned.h5", "only what `vdprune train` wrote can be resumed"),
    ("train --resume --arch lenet5", "with arch lenet300, not lenet5"),
    ("train --resume --epochs 11", "with epochs 10, not 11"),
    ("train --resume --recipe quick", "with recipe paper, not quick"),
    ("train --resume --dataset four_classes.npz", "four_classes.npz"),
    ("train --resume --out run_on_wide.h5", "examples of shape (1, 8, 7)"),
]
WRONG_USAGE = [
    ("train --arch lenet9 --dataset tiny.npz --out new.h5", "'lenet9' is not one of"),
    ("train --resume --overwrite", "--resume or --overwrite, not both"),
    ("train --epochs many --out new.h5", "'many' is not a valid integer"),
    ("train --gpu -1 --out new.h5", "is neither the number of a GPU"),
    ("train --momentum 1", "--momentum"),
    ("prune --threshold 3 --target-sparsity 0.5", "--threshold or --target-sparsity, not both"),
    ("prune checkpoint.h5 pruned.h5", "unexpected extra argument"),
    ("eval", "Missing argument 'FILE'"),
    ("eval checkpoint.h5 --split all", "'all' is not one of"),
    ("export --format keras", "'keras' is not one of"),
]


def _check_one_error(folder: Path, arguments: str, expected: str) -> None:
    before = _contents(folder)
    result = run_vdprune(*arguments.split(), "--quiet", cwd=folder)
    assert (result.returncode, result.stdout) == (1, "")
    (line,) = result.stderr.splitlines()
    assert line.startswith("vdprune: error: ")
    assert expected in line
    assert _contents(folder) == before


@pytest.mark.parametrize(("arguments", "expected"), FAILURES)
def test_failure_is_one_line(folder: Path, arguments: str, expected: str) -> None:
    _check_one_error(folder, arguments, expected)


@pytest.mark.parametrize(("arguments", "expected"), WRONG_USAGE)
def test_wrong_usage_is_explained(folder: Path, arguments: str, expected: str) -> None:
    before = _contents(folder)
    result = run_vdprune(*arguments.split(), cwd=folder)
    assert (result.returncode, result.stdout) == (2, "")
    (line,) = result.stderr.splitlines()
    assert line.startswith("vdprune: error: ")
    assert line.endswith(f"(`vdprune {arguments.split()[0]} -h` shows how it is used)")
    assert expected in line
    assert _contents(folder) == before


def test_data_that_has_changed_is_not_blamed_on_the_checkpoint(folder: Path) -> None:
    before = _contents(folder)
    result = run_vdprune("train", "--resume", "--out", "run_on_fewer.h5", "--quiet", cwd=folder)
    assert result.returncode == 1
    (line,) = result.stderr.splitlines()
    assert line.startswith("vdprune: error: ")
    assert "damaged" not in line
    assert "200" in line
    assert "300" in line
    assert _contents(folder) == before


@pytest.mark.parametrize(
    ("arguments", "out"),
    [
        ("train --dataset tiny.npz --epochs 2 --batch-size 100 --overwrite", "checkpoint.h5"),
        ("prune", "pruned.h5"),
        ("export", "weights.h5"),
        ("export --out weights.npz", "weights.npz"),
    ],
    ids=["train", "prune", "export", "export npz"],
)
def test_full_disk_leaves_the_old_file(
    tmp_path: Path, folder: Path, arguments: str, out: str
) -> None:
    for name in ("checkpoint.h5", "pruned.h5", "weights.h5", "tiny.npz"):
        shutil.copy(folder / name, tmp_path)
    run_vdprune("export", "--out", "weights.npz", cwd=tmp_path)
    before = _contents(tmp_path)
    result = subprocess.run(
        [sys.executable, "-c", LIMITED, *arguments.split(), "--quiet"],
        cwd=tmp_path,
        env={**os.environ, "OPENBLAS_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
    )
    assert (result.returncode, result.stdout) == (1, "")
    (line,) = result.stderr.splitlines()
    assert line.startswith(f"vdprune: error: {out} can't be written: File too large")
    assert _contents(tmp_path) == before
