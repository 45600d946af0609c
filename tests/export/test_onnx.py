import sys
from pathlib import Path
from typing import Any

import chainer
import chainer.functions as F
import chainer.links as L
import numpy
import pytest

import vdprune
from tests.export.test_tracing import SMALL, Own, Residual
from tests.test_checkpoint import make_checkpoint
from vdprune.archs import ARCHS
from vdprune.errors import ArgumentError, FileWriteError
from vdprune.export.onnx_file import export_onnx
from vdprune.version import __version__

onnx = pytest.importorskip("onnx", reason="writes ONNX files")

forms = pytest.mark.parametrize("sparse", [False, True], ids=["dense", "sparse"])


def make_arch(arch: str) -> chainer.Chain:
    """A network of the arch as if it had been trained: about a third of it is noise."""
    random = numpy.random.default_rng(0)
    model = vdprune.build_arch(arch, **SMALL.get(arch, {}))
    model.to_variational_dropout()
    shape = model.scaling.mean.shape
    x = random.integers(0, 256, (20, *shape)).astype("f")
    model.scaling.fit(x, 1 / 256)
    for _, link in model.named_variational_links():
        link.W.array[...] = random.normal(0, 0.3, link.W.shape)
        link.log_sigma2.array[...] = random.uniform(-8, 4, link.W.shape)
    with chainer.no_backprop_mode():
        model(x)  # learns the statistics
    return model


def make_residual() -> chainer.Chain:
    model = Residual()
    with chainer.using_config("train", False):
        model(numpy.zeros((1, 2, 8, 8), "f"))  # the size of l
    vdprune.to_variational_dropout(model)
    for _, link in vdprune.conversion.named_variational_links(model):
        link.log_sigma2.array[::2] = 20  # masked
    return model


def run(path: Path, x: numpy.ndarray) -> numpy.ndarray:
    runtime = pytest.importorskip("onnxruntime", reason="runs ONNX files")
    session = runtime.InferenceSession(path, providers=["CPUExecutionProvider"])
    return session.run(None, {"input": x})[0]


def assert_computes_the_same(path: Path, model: chainer.Chain, shape: tuple[int, ...]) -> None:
    for batch in (1, 7):
        x = numpy.random.uniform(0, 255, (batch, *shape)).astype("f")
        with chainer.using_config("train", False), chainer.no_backprop_mode():
            expected = model(x).array
        found = run(path, x)
        assert found.shape == expected.shape
        assert numpy.abs(found - expected).max() < 1e-5 * numpy.abs(expected).max()


@forms
@pytest.mark.parametrize("arch", ARCHS)
def test_onnxruntime_computes_what_an_arch_does(tmp_path: Path, arch: str, sparse: bool) -> None:
    model = make_arch(arch)
    shape = model.scaling.mean.shape
    export_onnx(model, shape, tmp_path / "w.onnx", sparse)
    assert_computes_the_same(tmp_path / "w.onnx", model, shape)


@forms
def test_onnxruntime_computes_what_a_model_of_ones_own_does(tmp_path: Path, sparse: bool) -> None:
    model = make_residual()
    export_onnx(model, (2, 8, 8), tmp_path / "w.onnx", sparse)
    assert_computes_the_same(tmp_path / "w.onnx", model, (2, 8, 8))


@pytest.mark.parametrize("log_alpha", [-9, 20], ids=["nothing", "everything"])
def test_sparse_weights_of_which_nothing_or_everything_is_cut(
    tmp_path: Path, log_alpha: float
) -> None:
    checkpoint = make_checkpoint("lenet5")
    for _, link in checkpoint.model.named_variational_links():
        link.log_sigma2.array[...] = log_alpha
    export_onnx(checkpoint.model, (1, 16, 16), tmp_path / "w.onnx", sparse=True)
    assert_computes_the_same(tmp_path / "w.onnx", checkpoint.model, (1, 16, 16))


def test_what_a_file_holds(tmp_path: Path) -> None:
    model = make_checkpoint("lenet5").model
    before = {name: param.array.copy() for name, param in model.namedparams()}
    export_onnx(model, (1, 16, 16), tmp_path / "w.onnx")
    file = onnx.load(tmp_path / "w.onnx")
    onnx.checker.check_model(file, full_check=True)
    assert (file.producer_name, file.producer_version) == ("vdprune", __version__)
    assert [(imported.domain, imported.version) for imported in file.opset_import] == [("", 11)]
    assert file.ir_version == 6
    (x,), (y,) = file.graph.input, file.graph.output
    shapes = [
        [dim.dim_param or dim.dim_value for dim in value.type.tensor_type.shape.dim]
        for value in (x, y)
    ]
    assert (x.name, y.name) == ("input", "output")
    assert shapes == [["batch", 1, 16, 16], ["batch", 3]]
    arrays = {a.name: onnx.numpy_helper.to_array(a) for a in file.graph.initializer}
    assert len(arrays) == 9
    link = model.l3
    assert numpy.array_equal(arrays["param_l3_W"], link.masked_W().array)
    assert (arrays["param_l3_W"] == 0).any()
    assert numpy.array_equal(arrays["param_l3_b"], link.b.array)
    for name, param in model.namedparams():
        assert numpy.array_equal(param.array, before[name]), "the model itself is left alone"


def test_a_file_with_sparse_weights(tmp_path: Path) -> None:
    model = make_checkpoint("lenet5").model
    export_onnx(model, (1, 16, 16), tmp_path / "w.onnx", sparse=True)
    file = onnx.load(tmp_path / "w.onnx")
    onnx.checker.check_model(file)
    sparse = {array.values.name: array for array in file.graph.sparse_initializer}
    layers = [name for name, _ in model.named_variational_links()]
    assert sparse.keys() == {f"param_{name}_W" for name in layers}
    assert not sparse.keys() & {array.name for array in file.graph.initializer}
    for name, link in model.named_variational_links():
        array = sparse[f"param_{name}_W"]
        W = numpy.zeros(array.dims, "f")
        indices = onnx.numpy_helper.to_array(array.indices)
        W.reshape(-1)[indices] = onnx.numpy_helper.to_array(array.values)
        assert numpy.array_equal(W, link.masked_W().array)
        assert len(indices) == numpy.count_nonzero(W)


def test_the_same_model_makes_the_same_bytes(tmp_path: Path) -> None:
    model = make_residual()
    paths = tmp_path / "a.onnx", tmp_path / "b.onnx"
    for path in paths:
        export_onnx(model, (2, 8, 8), path, sparse=True)
    assert paths[0].read_bytes() == paths[1].read_bytes()


def test_other_endings_are_refused(tmp_path: Path) -> None:
    """A checkpoint says vdprune, too, and would be replaced."""
    with pytest.raises(ArgumentError, match=r"w\.h5 ends in \.h5: an ONNX file ends in \.onnx"):
        export_onnx(make_residual(), (2, 8, 8), tmp_path / "w.h5")


@pytest.mark.parametrize(
    "forward",
    [
        lambda self, x: F.reshape(self.l(x), (-1, 2, 2)),
        lambda self, x: F.reshape(self.l(x), (len(x), 2, 2)),
        lambda self, x: F.reshape(self.l(x), (len(x), 2, -1)),
        lambda self, x: F.reshape(F.relu(F.reshape(self.l(x), (-1,))), x.shape),
        lambda self, x: self.l(x) + F.broadcast_to(self.l.b, x.shape),
        lambda self, x: F.sum(self.l(x), axis=1, keepdims=True) * x,
    ],
)
def test_batches_of_any_size(tmp_path: Path, forward: Any) -> None:
    model = Own(forward)
    export_onnx(model, (4,), tmp_path / "w.onnx")
    assert_computes_the_same(tmp_path / "w.onnx", model, (4,))


@pytest.mark.parametrize(
    ("forward", "message"),
    [
        (lambda self, x: F.erf(self.l(x)), "Own can't be written .* Erf is not supported"),
        (lambda self, x: self.l(x).array, "returns ndarray: it must return one Variable"),
        (lambda self, x: (self.l(x), x), "returns tuple"),
        (lambda self, x: x, "returns ndarray"),
        (lambda self, x: F.sum(self.l(x)), r"shape \(\) for 2 examples"),
        (lambda self, x: F.reshape(self.l(x), (2, 2, len(x))), r"shape \(2, 2, 3\) for 3"),
        (
            lambda self, x: self.l(x) + numpy.ones(x.shape, "f"),
            "any size: it is made of other parts for three",
        ),
        (lambda self, x: F.stack(F.separate(self.l(x))), "it is made of other parts for three"),
        (lambda self, x: F.normalize(self.l(x) / len(x)), "any size: DivFromConstant|MulConst"),
        (lambda self, x: F.tile(self.l(x), (len(x), 1))[: len(x)], "any size: Tile_0"),
        (
            lambda self, x: F.reshape(F.transpose(F.reshape(self.l(x), (2, len(x), -1))), x.shape),
            "any size: Reshape_0",
        ),
        (lambda self, x: F.concat([F.broadcast_to(self.l.b, x.shape), x]), "is no ONNX model"),
        (
            lambda self, x: F.average_pooling_nd(
                F.reshape(x, (-1, 1, 2, 2)), 2, 1, 1, pad_value=None
            ),
            "computes something else",
        ),
    ],
)
def test_what_can_not_be_written_is_refused(tmp_path: Path, forward: Any, message: str) -> None:
    with pytest.raises(ArgumentError, match=message):
        export_onnx(Own(forward), (4,), tmp_path / "w.onnx")
    assert not list(tmp_path.iterdir())


def test_two_parameters_of_one_name_are_refused(tmp_path: Path) -> None:
    model = chainer.Chain(a=chainer.Chain(b=L.Linear(3, 3)), a_b=L.Linear(3, 3))
    model.forward = lambda x: model.a.b(model.a_b(x))
    with pytest.raises(ArgumentError, match="used as graph input names multiple times"):
        export_onnx(model, (3,), tmp_path / "w.onnx")


def test_arguments_in_another_order(tmp_path: Path) -> None:
    another: Any = Own(lambda self, x: self.l(x)), str(tmp_path / "w.onnx")
    with pytest.raises(
        ArgumentError, match=r"input_shape is '.*w\.onnx': it must be the shape of one"
    ):
        export_onnx(another[0], another[1], tmp_path / "w.onnx")
    export_onnx(another[0], (4,), another[1])
    assert onnx.load(another[1]).graph.output[0].name == "output"


def test_only_files_of_ours_are_replaced(tmp_path: Path) -> None:
    path = tmp_path / "w.onnx"
    for _ in range(2):
        export_onnx(Own(lambda self, x: self.l(x)), (4,), path)
    file = onnx.load(path)
    file.producer_name, file.doc_string = "another", "made like those of vdprune"
    onnx.save(file, path)
    before = path.read_bytes()
    with pytest.raises(FileWriteError, match="was not written by vdprune"):
        export_onnx(Own(lambda self, x: self.l(x)), (4,), path)
    assert path.read_bytes() == before


def test_without_the_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(ArgumentError, match="-m pip install onnx$"):
        export_onnx(Own(lambda self, x: self.l(x)), (4,), tmp_path / "w.onnx")
