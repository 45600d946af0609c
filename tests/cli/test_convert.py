"""`vdprune convert`."""

import json
import shutil
from pathlib import Path

import numpy
import onnxruntime
import pytest

from tests.conftest import Run
from vdprune import runtime
from vdprune.formats import load_weights, save_weights


@pytest.mark.parametrize("through", ["a.npz", "a.safetensors"])
def test_nothing_is_lost(run: Run, tmp_path: Path, trained: Path, through: str) -> None:
    shutil.copy(trained / "weights.h5", tmp_path)
    result = run("convert", "weights.h5", through)
    assert (result.returncode, result.stderr) == (0, "")
    assert result.stdout.startswith("weights.h5, ")
    assert run("convert", through, "back.h5", "-q").stdout == ""
    told = json.loads(run("convert", through, "back.h5", "--json").stdout)
    sizes = [(tmp_path / name).stat().st_size for name in ("back.h5", through)]
    assert [told["bytes"], told["source_bytes"]] == sizes
    assert [told[name] for name in ("file", "format", "source")] == ["back.h5", "csr", through]
    first, last = (load_weights(tmp_path / name) for name in ("weights.h5", "back.h5"))
    assert first.graph == last.graph
    assert first.header == last.header
    for mine, theirs in ((first.weights, last.weights), (first.others, last.others)):
        assert mine.keys() == theirs.keys()
        for name in mine:
            assert mine[name].dtype == theirs[name].dtype
            numpy.testing.assert_array_equal(mine[name], theirs[name])


def test_packed_files_are_made_of_what_was_quantised(
    run: Run, tmp_path: Path, trained: Path
) -> None:
    shutil.copy(trained / "weights.h5", tmp_path)
    result = run("convert", "weights.h5", "a.packed")
    assert result.returncode == 1
    assert "quantise them first, as `vdprune export CHECKPOINT --format packed`" in result.stderr
    assert not (tmp_path / "a.packed").exists()
    options = ("--format", "packed", "--bits", 4, "--out", "a.packed")
    assert run("export", trained / "pruned.h5", *options).returncode == 0
    for name in ("b.h5", "b.packed"):
        source = "a.packed" if name == "b.h5" else "b.h5"
        assert run("convert", source, name).returncode == 0
    first, last = (load_weights(tmp_path / name).weights for name in ("a.packed", "b.packed"))
    assert all(numpy.array_equal(first[name], last[name]) for name in ("l1/W", "l2/W", "l3/W"))


def test_dense_is_asked_for(run: Run, tmp_path: Path, trained: Path) -> None:
    assert run("convert", trained / "weights.h5", "d.npz", "--format", "dense").returncode == 0
    assert json.loads(run("inspect", "d.npz", "--json").stdout)["encoding"] == "dense"


@pytest.mark.parametrize(
    ("source", "out", "message"),
    [
        ("checkpoint.h5", "w.npz", "checkpoint.h5 is a checkpoint: `vdprune export` makes"),
        (
            "weights.h5",
            "w.txt",
            "w.txt ends in .txt, which is of no format: choose .c, .h5, .npz, .onnx",
        ),
        ("weights.h5", "weights.h5", "weights.h5 would be written over itself"),
        ("nothing.h5", "w.npz", "there is no file 'nothing.h5'"),
    ],
)
def test_what_can_not_be_converted(
    run: Run, tmp_path: Path, trained: Path, source: str, out: str, message: str
) -> None:
    for name in ("checkpoint.h5", "weights.h5"):
        shutil.copy(trained / name, tmp_path)
    result = run("convert", source, out)
    assert (result.returncode, result.stdout) == (1, "")
    assert message in result.stderr
    assert {path.name for path in tmp_path.iterdir()} == {"checkpoint.h5", "weights.h5"}


def test_small_weights_are_in_onnx_files(run: Run, tmp_path: Path, trained: Path) -> None:
    weights = load_weights(trained / "weights.h5")
    weights.weights["l1/W"] *= numpy.float32(1e-3)
    save_weights(tmp_path / "w.h5", weights)
    assert run("convert", "w.h5", "w.onnx").returncode == 0
    session = onnxruntime.InferenceSession(str(tmp_path / "w.onnx"))
    x = numpy.random.default_rng(0).integers(0, 256, (3, 1, 8, 8)).astype(numpy.float32)
    network = runtime.load(tmp_path / "w.h5")
    (found,) = session.run(None, {"input": x})
    plain = network.logits(numpy.zeros_like(x))
    numpy.testing.assert_allclose(found - plain, network.logits(x) - plain, rtol=0.05, atol=1e-6)
    assert abs(network.logits(x) - plain).max() > 1e-4
