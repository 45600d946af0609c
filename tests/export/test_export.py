"""What holds for every container and every encoding."""

import json
import math
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import chainer
import numpy
import pytest

from tests.test_checkpoint import INPUT_SHAPES, make_checkpoint
from vdprune.archs import build_arch
from vdprune.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from vdprune.cli.writing import choose_format, write_weights
from vdprune.errors import ArgumentError, FileFormatError, FileWriteError
from vdprune.export import build_chain, export_chain, export_weights
from vdprune.export.quantising import quantise
from vdprune.formats import Weights, load_weights
from vdprune.links import VariationalDropoutLinear
from vdprune.pruning import prune
from vdprune.storage import check_output

archs = pytest.mark.parametrize("arch", INPUT_SHAPES)
encodings = pytest.mark.parametrize("encoding", ["csr", "dense"])
endings = pytest.mark.parametrize("ending", [".h5", ".npz"])
Make = Callable[[str, str], Path]


def examples_for(arch: str, count: int = 40) -> numpy.ndarray:
    shape = (count, *INPUT_SHAPES[arch])
    return numpy.random.default_rng(5).integers(0, 256, shape).astype(numpy.uint8)


def logits(model: chainer.Chain, x: numpy.ndarray) -> numpy.ndarray:
    with chainer.using_config("train", False), chainer.no_backprop_mode():
        return model(x).array


def assert_same_logits(found: numpy.ndarray, expected: numpy.ndarray) -> None:
    """An exported network convolves as Chainer does, one with masks as we do."""
    numpy.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4)


def assert_same_arrays(a: Weights, b: Weights) -> None:
    for part in ("weights", "others"):
        first, second = getattr(a, part), getattr(b, part)
        assert first.keys() == second.keys()
        for name in first:
            assert first[name].shape == second[name].shape
            assert first[name].dtype == second[name].dtype
            numpy.testing.assert_array_equal(first[name], second[name], err_msg=name)


@archs
@encodings
@endings
def test_the_exported_network_computes_what_the_pruned_one_does(
    tmp_path: Path, arch: str, encoding: str, ending: str
) -> None:
    pruned = prune(make_checkpoint(arch), 3.0)
    path = tmp_path / f"weights{ending}"
    written = export_weights(pruned, path, encoding)
    loaded = load_weights(path)
    assert_same_arrays(loaded, written)
    x = examples_for(arch)
    expected = logits(pruned.model, x)
    assert len(set(expected.argmax(axis=1))) > 1
    assert_same_logits(logits(build_chain(loaded), x), expected)


@encodings
@endings
def test_statistics_of_batch_normalization_go_along(
    tmp_path: Path, encoding: str, ending: str
) -> None:
    kwargs = {"input_shape": [1, 16, 16], "classes": 3, "theta_std": 0.1}
    model = build_arch("lenet5-bn", **kwargs)
    model.to_variational_dropout()
    x = numpy.random.default_rng(5).integers(0, 256, (40, 1, 16, 16)).astype(numpy.uint8)
    model.scaling.fit(x, 1 / 256)
    with chainer.no_backprop_mode():
        model(x)  # in training mode, in which the statistics are learned
    path = tmp_path / f"weights{ending}"
    export_weights(Checkpoint(model, "lenet5-bn", kwargs, {}, "tiny", 3.0), path, encoding)
    loaded = build_chain(load_weights(path))
    for name in ("avg_mean", "avg_var"):
        numpy.testing.assert_array_equal(getattr(loaded.bn2, name), getattr(model.bn2, name))
    assert model.bn2.avg_mean.any()
    assert_same_logits(logits(loaded, x), logits(model, x))


@encodings
@endings
def test_a_trained_network(trained: Path, tmp_path: Path, encoding: str, ending: str) -> None:
    pruned = load_checkpoint(trained / "pruned.h5")
    path = tmp_path / f"weights{ending}"
    export_weights(pruned, path, encoding)
    x = numpy.random.default_rng(5).integers(0, 256, (40, 1, 8, 8)).astype(numpy.uint8)
    assert_same_logits(logits(build_chain(load_weights(path)), x), logits(pruned.model, x))


def test_the_file_that_the_command_wrote(trained: Path) -> None:
    pruned = load_checkpoint(trained / "pruned.h5")
    x = numpy.random.default_rng(5).integers(0, 256, (40, 1, 8, 8)).astype(numpy.uint8)
    loaded = load_weights(trained / "weights.h5")
    assert_same_logits(logits(build_chain(loaded), x), logits(pruned.model, x))
    assert loaded.sparsity() == pruned.model.sparsity()


@archs
@encodings
@endings
def test_a_checkpoint_that_is_not_pruned_is_cut_at_its_threshold(
    tmp_path: Path, arch: str, encoding: str, ending: str
) -> None:
    checkpoint = make_checkpoint(arch)
    path = tmp_path / f"weights{ending}"
    export_weights(checkpoint, path, encoding)
    loaded = load_weights(path)
    for name, link in checkpoint.model.named_variational_links():
        expected = numpy.where(link.log_alpha().array > 2.5, 0, link.W.array)
        numpy.testing.assert_array_equal(loaded.weights[f"{name}/W"], expected)
        assert not (link.W.array == 0).any(), "the checkpoint itself is left alone"
    x = examples_for(arch)
    assert_same_logits(logits(build_chain(loaded), x), logits(checkpoint.model, x))


@archs
@encodings
@endings
def test_counts_and_header(tmp_path: Path, arch: str, encoding: str, ending: str) -> None:
    pruned = prune(make_checkpoint(arch), 3.0)
    path = tmp_path / f"weights{ending}"
    export_weights(pruned, path, encoding)
    loaded = load_weights(path)
    layers = {layer.name: layer for layer in loaded.sparsity().layers}
    assert layers == {layer.name: layer for layer in pruned.model.sparsity().layers}
    assert loaded.sparsity().sparsity == pruned.model.sparsity().sparsity
    header = loaded.header
    assert header["arch"] == arch
    assert header["arch_kwargs"] == pruned.arch_kwargs
    assert header["dataset"] == "/data/tiny.npz"
    assert list(header["input_shape"]) == INPUT_SHAPES[arch]
    assert header["threshold"] == 3.0
    assert header["encoding"] == encoding
    json.dumps(header)


@archs
def test_nothing_of_training_is_exported(tmp_path: Path, arch: str) -> None:
    path = tmp_path / "weights.npz"
    export_weights(prune(make_checkpoint(arch), 3.0), path)
    with numpy.load(path) as file:
        names = "\n".join(file.files)
    for word in ("log_sigma2", "kl_coef", "iteration"):
        assert word not in names


@encodings
@endings
@pytest.mark.parametrize("threshold", [-9.0, 9.0])
def test_networks_of_which_nothing_or_everything_is_left(
    tmp_path: Path, encoding: str, ending: str, threshold: float
) -> None:
    pruned = prune(make_checkpoint(), threshold)
    path = tmp_path / f"weights{ending}"
    export_weights(pruned, path, encoding)
    loaded = load_weights(path)
    assert loaded.sparsity().sparsity == (1 if threshold < 0 else 0)
    x = examples_for("lenet300")
    assert_same_logits(logits(build_chain(loaded), x), logits(pruned.model, x))


def test_a_threshold_that_files_can_not_hold_is_refused(tmp_path: Path) -> None:
    model = make_checkpoint("lenet300").model
    for _, link in model.named_variational_links():
        link.loga_threshold = math.inf
    with pytest.raises(ArgumentError, match="threshold is inf: it must be a log alpha between"):
        export_chain(model, INPUT_SHAPES["lenet300"], tmp_path / "weights.h5")
    assert not list(tmp_path.iterdir())


def very_sparse() -> Checkpoint:
    checkpoint = make_checkpoint("lenet5")
    for _, link in checkpoint.model.named_variational_links():
        link.log_sigma2.array[numpy.random.default_rng(2).random(link.W.shape) < 0.97] = 20
    return prune(checkpoint, 3.0)


@endings
def test_files_are_small_where_little_is_left(tmp_path: Path, ending: str) -> None:
    """Zeros that lie together compress so well that as .npz csr is not always the smaller one."""
    pruned = very_sparse()
    sizes = {}
    for encoding in ("csr", "dense"):
        path = tmp_path / f"{encoding}{ending}"
        export_weights(pruned, path, encoding)
        sizes[encoding] = path.stat().st_size
    dense_in_memory = 4 * pruned.model.sparsity().weights
    assert max(sizes.values()) < dense_in_memory / 4
    assert ending == ".npz" or sizes["csr"] < sizes["dense"]


@pytest.mark.parametrize("name", ["weights", "weights.txt", "weights.h5.gz", "weights.H5"])
def test_other_endings_are_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(
        ArgumentError, match=r"which is of no format: choose \.h5, \.npz, \.packed, \.s"
    ):
        export_weights(make_checkpoint(), tmp_path / name)
    with pytest.raises(
        ArgumentError, match=r"a file of format csr ends in \.h5 or \.npz; without a fo"
    ):
        export_weights(make_checkpoint(), tmp_path / name, "csr")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("name", "format"), [("own.onnx", None), ("own.c", None), ("own.h5", "onnx"), ("own.h5", "c")]
)
def test_what_is_made_of_weight_files_is_told(
    tmp_path: Path, name: str, format: str | None
) -> None:
    with pytest.raises(
        ArgumentError, match=r"`vdprune convert` makes \.onnx and \.c of a weight file"
    ):
        export_weights(make_checkpoint(), tmp_path / name, format)
    assert not list(tmp_path.iterdir())


def test_the_ending_decides(tmp_path: Path) -> None:
    export_weights(make_checkpoint(), tmp_path / "w.npz")
    with numpy.load(tmp_path / "w.npz") as arrays:
        assert any("indptr" in name for name in arrays)
    with pytest.raises(ArgumentError, match="quantise them first"):
        export_weights(make_checkpoint(), tmp_path / "w.packed")


def test_bits_are_for_packed_files(tmp_path: Path) -> None:
    model = make_checkpoint().model
    wrong: Any
    for wrong in (2.5, True):
        with pytest.raises(
            ArgumentError, match=f"bits is {wrong}: it must be a whole number, 1 to 8"
        ):
            export_chain(model, (1, 3, 3), tmp_path / "w.packed", bits=wrong)
    with pytest.raises(ArgumentError, match="bits is 3, the format csr: bits are for packed files"):
        export_chain(model, (1, 3, 3), tmp_path / "w.h5", bits=3)
    assert not list(tmp_path.iterdir())
    pytest.importorskip("constriction", reason="packed files need it")
    export_chain(model, (1, 3, 3), tmp_path / "w.packed", bits=3)
    for found in load_weights(tmp_path / "w.packed").weights.values():
        assert len(numpy.unique(found[found != 0])) <= 2**3


def test_what_is_shown_of_weights_is_short(tmp_path: Path) -> None:
    shown = repr(export_weights(make_checkpoint("lenet300"), tmp_path / "w.h5"))
    assert re.fullmatch("<Weights of lenet300: [0-9,]+ of 33,000 nonzero>", shown)


def test_other_encodings_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ArgumentError, match="no weight format 'coo': choose from csr, dense"):
        export_weights(make_checkpoint(), tmp_path / "weights.h5", "coo")
    assert not list(tmp_path.iterdir())


@endings
def test_a_full_disk_leaves_the_old_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ending: str
) -> None:
    def fail(handle: int) -> None:
        raise OSError(28, "No space left on device")

    path = tmp_path / f"weights{ending}"
    export_weights(make_checkpoint("lenet300"), path)
    old = path.read_bytes()
    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(FileWriteError, match="No space left on device"):
        export_weights(make_checkpoint(), path)
    assert path.read_bytes() == old
    assert list(tmp_path.iterdir()) == [path]


def test_the_contents_decide_and_not_the_ending(tmp_path: Path) -> None:
    written = export_weights(make_checkpoint(), tmp_path / "weights.npz")
    assert_same_arrays(load_weights((tmp_path / "weights.npz").rename(tmp_path / "w.h5")), written)


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FileFormatError, match=r"nowhere\.h5"):
        load_weights(tmp_path / "nowhere.h5")


def test_a_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FileFormatError, match=tmp_path.name):
        load_weights(tmp_path)


@pytest.mark.parametrize("data", [b"", b"P", b"PK", b"PK\3\4" + bytes(100), b"\x89PNG\r\n\x1a\n"])
def test_something_else_is_refused(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "other"
    path.write_bytes(data)
    with pytest.raises(FileFormatError, match="other"):
        load_weights(path)


def test_a_checkpoint_is_refused(trained: Path) -> None:
    with pytest.raises(
        FileFormatError, match="not a vdprune-weights file: it is a vdprune-check"
    ) as e:
        load_weights(trained / "checkpoint.h5")
    assert str(e.value).endswith("file; `vdprune export` makes a weight file of it")


@pytest.fixture(scope="module")
def make(tmp_path_factory: pytest.TempPathFactory) -> Make:
    """Writes a small file of each kind once."""
    folder = tmp_path_factory.mktemp("weights")
    numpy.random.seed(0)
    checkpoint = make_checkpoint()
    for _, link in checkpoint.model.named_variational_links():
        link.log_sigma2.array[numpy.random.default_rng(2).random(link.W.shape) < 0.99] = 20

    def make(encoding: str, ending: str) -> Path:
        path = folder / f"{encoding}{ending}"
        if not path.exists():
            export_weights(checkpoint, path, encoding)
        return path

    return make


def test_numbers_beyond_float16_are_refused(tmp_path: Path) -> None:
    checkpoint = make_checkpoint("lenet300")
    checkpoint.model.l2.b.array[0] = 7e4
    with pytest.raises(ArgumentError, match="l2/b has numbers up to 70000, float16 ends at 65,504"):
        export_weights(checkpoint, tmp_path / "w.h5", dtype="float16")
    with pytest.raises(ArgumentError, match="no dtype 'int8' for weights: choose float32"):
        export_weights(checkpoint, tmp_path / "w.h5", dtype="int8")
    assert not (tmp_path / "w.h5").exists()


@pytest.mark.parametrize(
    ("name", "package"),
    [
        ("w.h5", "h5py"),
        ("w.npz", "numpy"),
        ("w.packed", "constriction"),
        ("w.safetensors", "safetensors"),
        ("w.onnx", "onnx"),
        ("w.c", "numpy"),
    ],
)
def test_files_of_its_own_may_be_replaced(tmp_path: Path, name: str, package: str) -> None:
    pytest.importorskip(package, reason="such files need it")
    weights = quantise(export_weights(make_checkpoint("lenet5"), tmp_path / "weights.npz"), 5)
    for written in write_weights(tmp_path / name, weights, choose_format(None, tmp_path / name)):
        check_output(written)


def test_files_of_others_stay(tmp_path: Path) -> None:
    path, checkpoint = tmp_path / "mine.h5", make_checkpoint("lenet300")
    path.write_text("hi")
    for write in (
        lambda: export_weights(checkpoint, path),
        lambda: export_chain(checkpoint.model, INPUT_SHAPES["lenet300"], path),
    ):
        with pytest.raises(FileWriteError, match="was not written by vdprune"):
            write()
    assert path.read_text() == "hi"


def test_examples_of_other_shapes_are_refused(tmp_path: Path) -> None:
    model = chainer.Sequential(VariationalDropoutLinear(9, 3))
    with pytest.raises(ArgumentError, match=r"shape \(7,\): Chainer expects .* and finds 7 != 9"):
        export_chain(model, (7,), tmp_path / "w.h5")
    shapes: Any = (7, "9", (-1, 9), (9.0,), (0, 3))
    for shape in shapes:
        with pytest.raises(ArgumentError, match=r"input_shape is .*: it must be .* as \(784,\)"):
            export_chain(model, shape, tmp_path / "w.h5")
    assert not list(tmp_path.iterdir())


def test_a_run_is_not_written_over(tmp_path: Path) -> None:
    path, checkpoint = tmp_path / "checkpoint.h5", make_checkpoint("lenet300")
    save_checkpoint(path, checkpoint)
    before = path.read_bytes()
    with pytest.raises(ArgumentError, match=r"checkpoint\.h5 is the checkpoint of a training run"):
        export_chain(checkpoint.model, INPUT_SHAPES["lenet300"], path)
    with pytest.raises(ArgumentError, match=r"checkpoint\.h5 is the checkpoint of a training run"):
        export_weights(checkpoint, path)
    assert path.read_bytes() == before
