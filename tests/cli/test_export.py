"""`vdprune export`."""

import json
import re
import shutil
from pathlib import Path

import h5py
import numpy
import pytest
from scipy.sparse import csr_matrix

from tests.conftest import Run

BIASES = 300 + 100 + 3
SCALING = 64 + 1


def _weights(trained: Path) -> dict[str, numpy.ndarray]:
    with h5py.File(trained / "pruned.h5", "r") as file:
        return {f"{layer}/W": file["model"][layer]["W"][...] for layer in ("l1", "l2", "l3")}


@pytest.mark.parametrize("encoding", ["csr", "dense"])
@pytest.mark.parametrize("ending", [".h5", ".npz"])
def test_exported_network_is_the_pruned_one(
    run: Run, tmp_path: Path, trained: Path, encoding: str, ending: str
) -> None:
    out = f"small{ending}"
    result = run("export", trained / "pruned.h5", "--format", encoding, "--out", out, "--json")
    assert result.returncode == 0, result.stderr
    exported = json.loads(result.stdout)
    pruned = json.loads(run("eval", trained / "pruned.h5", "--json").stdout)
    measured = json.loads(run("eval", out, "--json").stdout)
    assert exported["format"] == encoding
    assert exported["bytes"] == (tmp_path / out).stat().st_size
    assert exported["dense_bytes"] == 4 * (exported["weights"] + BIASES + SCALING)
    for key in ("arch", "dataset", "examples", "error", "threshold", "layers", "compression"):
        assert measured[key] == pruned[key]
    assert measured["loss"] == pytest.approx(pruned["loss"], rel=1e-6)


def test_csr_h5_is_read_by_h5py_alone(run: Run, tmp_path: Path, trained: Path) -> None:
    assert run("export", trained / "pruned.h5").returncode == 0
    with h5py.File(tmp_path / "weights.h5", "r") as file:
        for path, W in _weights(trained).items():
            group = file[path]
            assert group.attrs["encoding-type"] == "csr_matrix"
            parts = tuple(group[name][...] for name in ("data", "indices", "indptr"))
            matrix = csr_matrix(parts, tuple(group.attrs["shape"]))
            assert numpy.array_equal(matrix.toarray(), W)
            assert (parts[0] != 0).all()


def test_dense_npz_is_read_by_numpy_alone(run: Run, tmp_path: Path, trained: Path) -> None:
    run("export", trained / "pruned.h5", "--format", "dense", "--out", "weights.npz")
    with numpy.load(tmp_path / "weights.npz", allow_pickle=False) as arrays:
        for path, W in _weights(trained).items():
            assert numpy.array_equal(arrays[path], W)


def test_csr_npz_is_read_by_numpy_alone(run: Run, tmp_path: Path, trained: Path) -> None:
    run("export", trained / "pruned.h5", "--out", "weights.npz")
    with numpy.load(tmp_path / "weights.npz", allow_pickle=False) as arrays:
        for path, W in _weights(trained).items():
            parts = tuple(arrays[f"{path}/{name}"] for name in ("data", "indices", "indptr"))
            matrix = csr_matrix(parts, tuple(arrays[f"{path}/shape"]))
            assert numpy.array_equal(matrix.toarray(), W)


def test_sizes_are_printed(run: Run, tmp_path: Path, trained: Path) -> None:
    result = run("export", trained / "pruned.h5", "--out", "small.h5")
    sizes = re.search(r"small\.h5: ([\d,]+) bytes; .* ([\d,]+) bytes \(", result.stdout)
    assert sizes is not None, result.stdout
    size, dense = (int(text.replace(",", "")) for text in sizes.groups())
    assert size == (tmp_path / "small.h5").stat().st_size
    assert dense == 4 * (49_500 + BIASES + SCALING)


def test_sparser_network_makes_a_smaller_file(run: Run, tmp_path: Path, trained: Path) -> None:
    sizes = []
    for target in (0.5, 0.99):
        run("prune", trained / "checkpoint.h5", "--target-sparsity", target, "--quiet")
        sizes.append(json.loads(run("export", "--json").stdout)["bytes"])
    assert sizes[1] < sizes[0] / 5


def test_checkpoint_is_said_not_to_be_pruned(run: Run, trained: Path) -> None:
    result = run("export", trained / "checkpoint.h5")
    assert result.returncode == 0
    assert "checkpoint.h5 is not pruned" in result.stderr
    assert "log alpha 3" in result.stderr
    result = run("export", trained / "pruned.h5", "--out", "of_pruned.h5")
    assert "not pruned" not in result.stderr


def test_export_from_a_checkpoint_cuts_at_its_threshold(run: Run, trained: Path) -> None:
    of_checkpoint = json.loads(run("export", trained / "checkpoint.h5", "--json").stdout)
    of_pruned = json.loads(run("export", trained / "pruned.h5", "--json").stdout)
    assert of_checkpoint["layers"] == of_pruned["layers"]


def test_pruned_file_can_not_be_exported_over_itself(
    run: Run, tmp_path: Path, trained: Path
) -> None:
    shutil.copy(trained / "pruned.h5", tmp_path)
    before = (tmp_path / "pruned.h5").read_bytes()
    result = run("export", "--out", "pruned.h5")
    assert result.returncode in (1, 2)
    assert (tmp_path / "pruned.h5").read_bytes() == before
