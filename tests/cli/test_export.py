"""`vdprune export`."""

import json
import re
import shutil
from pathlib import Path
from typing import Any

import h5py
import numpy
import onnxruntime
import pytest
from scipy.sparse import csr_matrix

from tests.conftest import Run, make_tiny_arrays, run_vdprune
from vdprune import runtime

BIASES = 300 + 100 + 3
SCALING = 64 + 1


def _weights(trained: Path) -> dict[str, numpy.ndarray]:
    with h5py.File(trained / "pruned.h5", "r") as file:
        return {f"{layer}/W": file["model"][layer]["W"][...] for layer in ("l1", "l2", "l3")}


@pytest.fixture(scope="module")
def pruned(trained: Path) -> dict[str, Any]:
    """What eval says of the pruned network."""
    return json.loads(run_vdprune("eval", "pruned.h5", "--json", cwd=trained).stdout)


@pytest.mark.parametrize("encoding", ["csr", "dense"])
@pytest.mark.parametrize("ending", [".h5", ".npz"])
def test_exported_network_is_the_pruned_one(
    run: Run, tmp_path: Path, trained: Path, pruned: dict[str, Any], encoding: str, ending: str
) -> None:
    out = f"small{ending}"
    result = run("export", trained / "pruned.h5", "--format", encoding, "--out", out, "--json")
    assert (result.returncode, result.stderr) == (0, "")
    exported = json.loads(result.stdout)
    measured = json.loads(run("eval", out, "--json").stdout)
    assert exported["format"] == encoding
    assert exported["bytes"] == (tmp_path / out).stat().st_size
    assert exported["dense_bytes"] == 4 * (exported["weights"] + BIASES + SCALING)
    assert exported["layers"] == pruned["layers"]
    for key in ("arch", "dataset", "examples", "error", "threshold", "layers", "compression"):
        assert measured[key] == pruned[key]
    assert measured["loss"] == pytest.approx(pruned["loss"], rel=1e-4)  # another order of sums
    for path, W in _weights(trained).items():
        assert numpy.array_equal(_read_weight(tmp_path / out, encoding, path), W)


def test_float16_takes_fewer_bytes(run: Run, tmp_path: Path, trained: Path) -> None:
    whole = json.loads(run("export", trained / "pruned.h5", "--json").stdout)
    options = ("--dtype", "float16", "--out", "half.npz", "--json")
    result = run("export", trained / "pruned.h5", *options)
    half = json.loads(result.stdout)
    assert (half["dtype"], whole["dtype"]) == ("float16", "float32")
    assert half["bytes"] < whole["bytes"]
    with numpy.load(tmp_path / "half.npz") as arrays:
        assert arrays["l1/W/data"].dtype == arrays["l1/b"].dtype == numpy.float16
        assert arrays["scaling/scale"] == 1 / 256
    measured = [json.loads(run("eval", f, "--json").stdout) for f in ("weights.h5", "half.npz")]
    assert measured[0]["loss"] == pytest.approx(measured[1]["loss"], rel=0.01)


def _read_weight(file: Path, encoding: str, path: str) -> numpy.ndarray:
    """Read a weight with h5py or NumPy and SciPy alone."""
    if file.suffix == ".npz":
        with numpy.load(file, allow_pickle=False) as arrays:
            if encoding == "dense":
                return arrays[path]
            parts = [arrays[f"{path}/{name}"] for name in ("data", "indices", "indptr")]
            shape = arrays[f"{path}/shape"]
    else:
        with h5py.File(file, "r") as arrays:
            if encoding == "dense":
                return arrays[path][...]
            assert arrays[path].attrs["encoding-type"] == "csr_matrix"
            parts = [arrays[path][name][...] for name in ("data", "indices", "indptr")]
            shape = arrays[path].attrs["shape"]
    assert (parts[0] != 0).all()
    return csr_matrix(tuple(parts), tuple(shape)).toarray()


def test_sizes_are_printed(run: Run, tmp_path: Path, trained: Path) -> None:
    result = run("export", trained / "pruned.h5", "--out", "small.h5")
    sizes = re.search(r"small\.h5: ([\d,]+) bytes; .* ([\d,]+) bytes \(", result.stdout)
    assert sizes is not None, result.stdout
    size, dense = (int(text.replace(",", "")) for text in sizes.groups())
    assert size == (tmp_path / "small.h5").stat().st_size
    assert dense == 4 * (49_500 + BIASES + SCALING)


def test_sparser_network_makes_a_smaller_file(run: Run, tmp_path: Path, trained: Path) -> None:
    run("prune", trained / "checkpoint.h5", "--target-sparsity", 0.99, "--quiet")
    assert run("export").returncode == 0
    size, before = ((folder / "weights.h5").stat().st_size for folder in (tmp_path, trained))
    assert size < before / 4


def test_checkpoint_is_cut_at_its_threshold_and_said_not_to_be_pruned(
    run: Run, trained: Path, pruned: dict[str, Any]
) -> None:
    result = run("export", trained / "checkpoint.h5", "--json")
    assert json.loads(result.stdout)["layers"] == pruned["layers"]
    (line,) = result.stderr.splitlines()
    assert "checkpoint.h5 is not pruned" in line
    assert "log alpha 3" in line


def test_same_network_makes_the_same_bytes(run: Run, tmp_path: Path, trained: Path) -> None:
    for seed in ("1", "2"):
        run("export", trained / "pruned.h5", "--out", f"{seed}.h5", env={"PYTHONHASHSEED": seed})
    assert (tmp_path / "1.h5").read_bytes() == (tmp_path / "2.h5").read_bytes()


def test_pruned_file_can_not_be_exported_over_itself(
    run: Run, tmp_path: Path, trained: Path
) -> None:
    shutil.copy(trained / "pruned.h5", tmp_path)
    before = (tmp_path / "pruned.h5").read_bytes()
    result = run("export", "--out", "pruned.h5")
    assert result.returncode in (1, 2)
    assert (tmp_path / "pruned.h5").read_bytes() == before


@pytest.mark.parametrize(
    ("options", "out"),
    [
        (("--format", "packed"), "weights.packed"),
        (("--format", "packed", "--bits", 5, "--compact"), "weights.packed"),
        (("--format", "safetensors"), "weights.safetensors"),
        (("--format", "safetensors", "--compact", "--dtype", "float16"), "weights.safetensors"),
        (("--compact",), "weights.h5"),
    ],
)
def test_other_formats_are_evaluated(
    run: Run, tmp_path: Path, trained: Path, pruned: dict[str, Any], options: tuple, out: str
) -> None:
    for _ in range(2):  # a file of ours is replaced
        result = run("export", trained / "pruned.h5", *options, "--json")
        assert result.returncode == 0, result.stderr
    exported = json.loads(result.stdout)
    assert exported["file"] == out
    assert "as they are" not in run("eval", out).stderr  # the data it was trained on fit it
    assert exported["bytes"] == (tmp_path / out).stat().st_size
    found = json.loads(run("eval", out, "--json").stdout)
    assert found["error"] == pytest.approx(pruned["error"], abs=2.5)
    assert found["nonzero"] <= pruned["nonzero"]
    is_compact = "--compact" in options
    assert (found["weights"] < pruned["weights"]) == is_compact
    (tmp_path / out).write_bytes(b"something else")
    assert run("export", trained / "pruned.h5", *options).returncode == 1
    assert (tmp_path / out).read_bytes() == b"something else"


@pytest.mark.parametrize("options", [(), ("--sparse",), ("--compact",)])
def test_onnx(run: Run, tmp_path: Path, trained: Path, options: tuple) -> None:
    for _ in range(2):
        result = run("export", trained / "pruned.h5", "--format", "onnx", *options)
        assert result.returncode == 0, result.stderr
    path = tmp_path / "weights.onnx"
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    assert run("export", trained / "pruned.h5", "--quiet").returncode == 0
    x = numpy.random.default_rng(0).integers(0, 256, (5, 1, 8, 8)).astype(numpy.float32)
    (found,) = session.run(None, {"input": x})
    expected = runtime.load(tmp_path / "weights.h5").logits(x)
    numpy.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4)


def test_the_ending_says_which_format(run: Run, tmp_path: Path, trained: Path) -> None:
    for name, beginning in (("w.npz", b"PK"), ("w.c", b"/* Made by vdprune"), ("w.h5", b"\x89HDF")):
        assert run("export", trained / "pruned.h5", "--out", name).returncode == 0
        assert (tmp_path / name).read_bytes().startswith(beginning)


def test_bits_are_chosen_by_data_with_a_rare_class(run: Run, tmp_path: Path, trained: Path) -> None:
    arrays = make_tiny_arrays()
    arrays["y_train"] %= 2
    arrays["y_train"][3] = 2  # which is one of those that hold_out(150) would take
    numpy.savez(tmp_path / "rare.npz", **arrays)
    options = ("--format", "packed", "--dataset", "rare.npz")
    result = run("export", trained / "pruned.h5", *options)
    assert result.returncode == 0, result.stderr
    assert "choosing bits by 300 training examples, for training held out none" in result.stderr


def test_c_is_two_files(run: Run, tmp_path: Path, trained: Path) -> None:
    result = run("export", trained / "pruned.h5", "--format", "c", "--out", "net.c")
    assert result.returncode == 0, result.stderr
    size = sum((tmp_path / name).stat().st_size for name in ("net.c", "net.h"))
    assert f"net.c and net.h: {size:,} bytes; " in result.stdout
    assert "net_predict" in (tmp_path / "net.h").read_text()


@pytest.mark.parametrize(
    ("options", "code", "message"),
    [
        (("--bits", 3), 2, "--bits is for --format packed"),
        (("--sparse",), 2, "--sparse is for --format onnx"),
        (("--max-error-increase", 0), 2, "--max-error-increase is for --format packed"),
        (("--dataset", "mnist"), 2, "--dataset is for --format packed"),
        (("--format", "onnx", "--dtype", "float16"), 2, "is for --format csr or dense or safetens"),
        (
            ("--format", "onnx", "--out", "w.h5"),
            1,
            "w.h5 ends in .h5: a file of format onnx ends in .onnx; without a format the ending",
        ),
        (("--format", "packed", "--out", "w.npz"), 1, "format packed ends in .packed"),
        (("--format", "packed", "--dataset", "nothing"), 1, "there is no data set 'nothing'"),
    ],
)
def test_options_that_do_not_go_together_are_refused(
    run: Run, tmp_path: Path, trained: Path, options: tuple, code: int, message: str
) -> None:
    result = run("export", trained / "pruned.h5", *options)
    assert (result.returncode, result.stdout) == (code, "")
    assert message in result.stderr
    assert not list(tmp_path.iterdir())
