import math
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import chainer
import chainer.functions as F
import chainer.links as L
import h5py
import numpy
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import vdprune
from tests.test_checkpoint import make_checkpoint
from vdprune.errors import ArgumentError
from vdprune.export.collecting import collect_chain, collect_checkpoint
from vdprune.formats import Weights, load_weights, save_weights
from vdprune.formats.safetensors_file import read_safetensors, write_safetensors
from vdprune.formats.weights import FORMAT_VERSION
from vdprune.graph import Graph, Node
from vdprune.graph.graph import Array
from vdprune.runtime import make_network
from vdprune.version import __version__

safetensors = pytest.importorskip("safetensors", reason="writes safetensors files")
numpy_files = pytest.importorskip("safetensors.numpy")

Parts = tuple[dict[str, str], dict[str, numpy.ndarray]]
Spoil = Callable[[dict[str, str], dict[str, numpy.ndarray]], None]


def import_torch() -> Any:
    return pytest.importorskip("torch", reason="loads files of ours into PyTorch's modules")


def read_parts(path: Path) -> Parts:
    with safetensors.safe_open(path, framework="numpy") as file:
        metadata = file.metadata()
    return metadata, numpy_files.load_file(path)


def assert_same_arrays(a: dict[str, numpy.ndarray], b: dict[str, numpy.ndarray]) -> None:
    assert a.keys() == b.keys()
    for name, array in a.items():
        assert (array.shape, array.dtype) == (b[name].shape, b[name].dtype), name
        assert array.tobytes() == b[name].tobytes(), name


class Block(chainer.Chain):
    """A convolution of two groups, and BatchNormalization that has no gamma."""

    def __init__(self) -> None:
        super().__init__()
        with self.init_scope():
            self.conv = L.Convolution2D(4, 6, 3, groups=2, nobias=True)
            self.bn = L.BatchNormalization(6, use_gamma=False)

    def forward(self, x: Any) -> Any:
        return F.relu(self.bn(self.conv(x)))


class Nested(chainer.Chain):
    def __init__(self) -> None:
        super().__init__()
        with self.init_scope():
            self.block = chainer.Sequential(L.Convolution2D(2, 4, 3, pad=1), Block())
            self.l = L.Linear(6 * 4 * 4, 3)

    def forward(self, x: Any) -> Any:
        return self.l(F.max_pooling_2d(self.block(x), 2))


def make_nested() -> chainer.Chain:
    model = Nested()
    vdprune.to_variational_dropout(model)
    model.block[0].W.array *= 5
    model.l.log_sigma2.array[:, ::2] = 20  # masked
    model(numpy.random.normal(size=(20, 2, 10, 10)).astype("f"))  # learns the statistics
    return model


def logits(model: chainer.Chain, x: numpy.ndarray) -> numpy.ndarray:
    with chainer.using_config("train", False), chainer.no_backprop_mode():
        return model(x).array


def make_torch_nested(torch: Any) -> Any:
    nn = torch.nn

    class TorchBlock(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = nn.Conv2d(4, 6, 3, groups=2, bias=False)
            self.bn = nn.BatchNorm2d(6, eps=2e-5)

        def forward(self, x: Any) -> Any:
            return torch.relu(self.bn(self.conv(x)))

    class TorchNested(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.block = nn.Sequential(nn.Conv2d(2, 4, 3, padding=1), TorchBlock())
            self.l = nn.Linear(6 * 4 * 4, 3)

        def forward(self, x: Any) -> Any:
            return self.l(nn.functional.max_pool2d(self.block(x), 2).flatten(1))

    return TorchNested()


def make_torch_lenet5(torch: Any) -> Any:
    nn = torch.nn

    class Scaling(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.register_buffer("mean", torch.empty(1, 16, 16))
            self.register_buffer("scale", torch.empty(()))

        def forward(self, x: Any) -> Any:
            return x * self.scale - self.mean

    class TorchLeNet5(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.scaling = Scaling()
            self.conv1, self.conv2 = nn.Conv2d(1, 20, 5), nn.Conv2d(20, 50, 5)
            self.l3, self.l4 = nn.Linear(50, 500), nn.Linear(500, 3)

        def forward(self, x: Any) -> Any:
            h = self.scaling(x)
            for convolution in (self.conv1, self.conv2):
                h = torch.relu(nn.functional.max_pool2d(convolution(h), 2))
            return self.l4(torch.relu(self.l3(h.flatten(1))))

    return TorchLeNet5()


@pytest.mark.parametrize("arch", ["lenet5", "nested"])
def test_torch_loads_it_into_the_twin(tmp_path: Path, arch: str) -> None:
    torch = import_torch()
    random = numpy.random.default_rng(5)
    if arch == "nested":
        model, twin = make_nested(), make_torch_nested(torch)
        weights = collect_chain(model, (2, 10, 10))
        x = random.normal(size=(7, 2, 10, 10)).astype("f")
    else:
        checkpoint, twin = make_checkpoint("lenet5"), make_torch_lenet5(torch)
        model, weights = checkpoint.model, collect_checkpoint(checkpoint)
        x = random.uniform(0, 255, (7, 1, 16, 16)).astype("f")
    path = tmp_path / "w.safetensors"
    write_safetensors(path, weights)
    load_file = pytest.importorskip("safetensors.torch").load_file
    twin.load_state_dict(load_file(path), strict=True)
    twin.eval()
    expected = logits(model, x)
    with torch.no_grad():
        found = twin(torch.from_numpy(x)).numpy()
    assert numpy.abs(found - expected).max() < 1e-5 * numpy.abs(expected).max()


def test_names(tmp_path: Path) -> None:
    path = tmp_path / "w.safetensors"
    weights = collect_chain(make_nested(), (2, 10, 10))
    write_safetensors(path, weights)
    metadata, arrays = read_parts(path)
    expected = {
        "block.0.weight": "block/0/W",
        "block.0.bias": "block/0/b",
        "block.1.conv.weight": "block/1/conv/W",
        "block.1.bn.bias": "block/1/bn/beta",
        "block.1.bn.running_mean": "block/1/bn/avg_mean",
        "block.1.bn.running_var": "block/1/bn/avg_var",
        "l.weight": "l/W",
        "l.bias": "l/b",
    }
    everything = {**weights.weights, **weights.others}
    for name, original in expected.items():
        assert (arrays[name] == everything[original]).all(), name
    assert (arrays.keys() - expected.keys()) == {"block.1.bn.weight"}
    assert (arrays["block.1.bn.weight"] == 1).all()
    assert not arrays["l.weight"][:, ::2].any()
    assert metadata.pop("sha256") and metadata.pop("graph")
    assert metadata == {
        "format": "vdprune-weights",
        "format_version": str(FORMAT_VERSION),
        "vdprune_version": __version__,
        "arch": "Nested",
        "arch_kwargs": "{}",
        "dataset": "",
        "threshold": "3.0",
        "input_shape": "[2, 10, 10]",
        "layers": '["block/0", "block/1/conv", "l"]',
        "encoding": "dense",
    }


def test_a_network_comes_back(tmp_path: Path) -> None:
    written = collect_checkpoint(make_checkpoint())
    write_safetensors(tmp_path / "w.safetensors", written)
    found = read_safetensors(tmp_path / "w.safetensors")
    assert_same_arrays(found.weights, written.weights)
    assert_same_arrays(found.others, written.others)
    assert found.graph == written.graph
    assert found.header == {**written.header, "encoding": "dense"}
    x = numpy.random.default_rng(5).integers(0, 256, (7, 1, 3, 3)).astype("f")
    expected = make_network(written, 1, "sparse").logits(x)
    assert numpy.array_equal(make_network(found, 1, "sparse").logits(x), expected)
    write_safetensors(tmp_path / "again.safetensors", found)
    again = (tmp_path / "again.safetensors").read_bytes()
    assert len(again) == (tmp_path / "w.safetensors").stat().st_size
    assert_same_arrays(read_safetensors(tmp_path / "again.safetensors").weights, written.weights)


def make_weights(W: numpy.ndarray, others: dict[str, numpy.ndarray], path: str) -> Weights:
    node = Node("linear", (0,), {}, {"W": Array(path, W.shape)})
    graph = Graph(W.shape[1:], (node,))
    header = {
        "arch": "Own",
        "arch_kwargs": {"a": [1, None]},
        "dataset": "naïve, 二",
        "input_shape": list(W.shape[1:]),
        "threshold": 0.1,
        "layers": [path.removesuffix("/W")],
    }
    return Weights(header, graph, {path: W}, others)


any_dtype = st.one_of(
    hnp.floating_dtypes(endianness="=", sizes=(16, 32, 64)),
    hnp.integer_dtypes(endianness="="),
    hnp.boolean_dtypes(),
)
any_array = hnp.arrays(any_dtype, hnp.array_shapes(min_dims=0, max_dims=3, max_side=3))
any_path = st.text("ab/.", min_size=1, max_size=5)


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    W=hnp.arrays(numpy.float32, hnp.array_shapes(min_dims=2, max_dims=2, max_side=4)),
    others=st.dictionaries(any_path, any_array, max_size=4),
    path=any_path.map(lambda path: f"{path}/W"),
    is_fortran=st.booleans(),
)
def test_anything_comes_back(
    tmp_path: Path, W: numpy.ndarray, others: dict[str, numpy.ndarray], path: str, is_fortran: bool
) -> None:
    others.pop(path, None)
    others = {k: v for k, v in others.items() if not k.startswith(f"{path}/")}
    weights = make_weights(numpy.asarray(W, order="F" if is_fortran else "C"), others, path)
    write_safetensors(tmp_path / "w", weights)
    found = read_safetensors(tmp_path / "w")
    assert_same_arrays(found.weights, weights.weights)
    assert_same_arrays(found.others, weights.others)
    assert found.graph == weights.graph
    assert {name: found.header[name] for name in weights.header} == weights.header


def test_two_arrays_of_one_name_in_torch(tmp_path: Path) -> None:
    nodes = [
        Node("linear", (i,), {}, {"W": Array(p, (2, 2))}) for i, p in enumerate(("a/b/W", "a.b/W"))
    ]
    arrays = {"a/b/W": numpy.eye(2, dtype="f"), "a.b/W": 2 * numpy.eye(2, dtype="f")}
    header = {**make_weights(numpy.eye(2), {}, "x/W").header, "layers": ["a/b", "a.b"]}
    write_safetensors(tmp_path / "w", Weights(header, Graph((2,), tuple(nodes)), arrays, {}))
    assert read_parts(tmp_path / "w")[1].keys() == {"a.b.weight", "/a.b/W"}
    assert_same_arrays(read_safetensors(tmp_path / "w").weights, arrays)


def test_arrays_of_another_byte_order(tmp_path: Path) -> None:
    weights = make_weights(numpy.array([[1, 2], [3, 4]], ">f4"), {}, "l/W")
    write_safetensors(tmp_path / "w", weights)
    assert read_safetensors(tmp_path / "w").weights["l/W"].tolist() == [[1, 2], [3, 4]]


def test_without_the_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "safetensors.numpy", None)
    with pytest.raises(ArgumentError, match="-m pip install safetensors$"):
        read_safetensors(tmp_path / "w")


@pytest.mark.filterwarnings("ignore:Sparse CSR tensor support is in beta")
def test_the_readmes_lines_make_a_tensor_of_compressed_rows(tmp_path: Path) -> None:
    torch = import_torch()
    weights = collect_checkpoint(make_checkpoint())
    save_weights(tmp_path / "weights.h5", weights)
    lines = (
        'l1 = h5py.File("weights.h5")["l1/W"]\n'
        'rows, columns, values = (torch.from_numpy(l1[n][:]) for n in ("indptr", "indices", "data"))\n'
        'W = torch.sparse_csr_tensor(rows.int(), columns.int(), values, l1.attrs["shape"].tolist(), '
        "check_invariants=True)"
    )
    names: dict[str, Any] = {"h5py": h5py, "torch": torch}
    exec(lines.replace("weights.h5", str(tmp_path / "weights.h5")), names)
    W = load_weights(tmp_path / "weights.h5").weights["l1/W"]
    assert numpy.array_equal(names["W"].to_dense().numpy(), W)
    assert math.prod(names["W"].values().shape) == numpy.count_nonzero(W)
    names["l1"].file.close()
