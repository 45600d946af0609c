"""`vdprune prune --finetune`."""

import json
import shutil
from pathlib import Path

import h5py
import numpy
import pytest

from tests.conftest import Run


@pytest.fixture(scope="module")
def folder(trained: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("finetuned")
    shutil.copy(trained / "checkpoint.h5", folder)
    return folder


def test_what_is_left_is_trained(run: Run, folder: Path) -> None:
    alone = run("prune", "--target-sparsity", 0.97, "--out", "alone.h5", "--json", cwd=folder)
    before = json.loads(run("eval", "alone.h5", "--json", cwd=folder).stdout)
    result = run("prune", "--target-sparsity", 0.97, "--finetune", 3, "--json", cwd=folder)
    assert result.returncode == 0, result.stderr
    found = json.loads(result.stdout)
    assert found["nonzero"] == json.loads(alone.stdout)["nonzero"]
    assert (found["kind"], found["epochs"]) == ("pruned", 3)
    assert found["loss"] < before["loss"]
    with h5py.File(folder / "alone.h5") as a, h5py.File(folder / "pruned.h5") as b:
        assert "training" not in b
        assert json.loads(b.attrs["recipe"])["name"] == "finetune"
        assert [recipe["name"] for recipe in json.loads(b.attrs["earlier_recipes"])] == ["paper"]
        assert b["history/epoch"][...].tolist() == list(range(1, 14))
        for name in ("l1", "l2", "l3"):
            numpy.testing.assert_array_equal(b["masks"][name], a["masks"][name])
            assert (b[f"model/{name}/W"][...] != a[f"model/{name}/W"][...]).any()
    evaluated = json.loads(run("eval", "pruned.h5", "--json", cwd=folder).stdout)
    assert (evaluated["error"], evaluated["nonzero"]) == (found["error"], found["nonzero"])


def test_no_epochs_are_refused(run: Run, folder: Path) -> None:
    result = run("prune", "--finetune", 0, "--out", "none.h5", cwd=folder)
    assert result.returncode == 1
    assert "epochs is 0: it must be 1 or more" in result.stderr
    assert not (folder / "none.h5").exists()


def test_data_are_for_fine_tuning(run: Run, folder: Path, tiny_npz: Path) -> None:
    result = run("prune", "--finetune", 1, "--dataset", "nothing", "--out", "x.h5", cwd=folder)
    assert result.returncode == 1
    assert "there is no data set 'nothing'" in result.stderr
    assert not (folder / "x.h5").exists()
