import json
import math
import sys
import tracemalloc
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
from vdprune.errors import ArgumentError, FileFormatError
from vdprune.export.collecting import collect_chain, collect_checkpoint
from vdprune.formats import Weights, load_weights, save_weights
from vdprune.formats.safetensors_file import _digest, read_safetensors, write_safetensors
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


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file of a small network."""
    path = tmp_path_factory.mktemp("safetensors") / "good.safetensors"
    numpy.random.seed(0)
    model = chainer.Sequential(L.Linear(4, 3), L.BatchNormalization(3), L.Linear(3, 2))
    vdprune.to_variational_dropout(model)
    write_safetensors(path, collect_chain(model, (4,)))
    return path


def refuse(path: Path, message: str = "") -> None:
    """Read a file that must be refused, at little cost."""
    tracemalloc.start()
    try:
        with pytest.raises(FileFormatError, match=f"{path.name}.*{message}"):
            read_safetensors(path)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 10e6, f"{peak / 1e6:.0f} MB were allocated"


damages = settings(
    max_examples=300,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)


@damages
@given(data=st.data())
def test_a_flipped_bit_is_noticed(good: Path, tmp_path: Path, data: st.DataObject) -> None:
    damaged = bytearray(good.read_bytes())
    damaged[data.draw(st.integers(0, len(damaged) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    path = tmp_path / "damaged"
    path.write_bytes(damaged)
    refuse(path)


@damages
@given(share=st.floats(0, 1, exclude_max=True))
def test_a_file_cut_anywhere_is_refused(good: Path, tmp_path: Path, share: float) -> None:
    data = good.read_bytes()
    (tmp_path / "cut").write_bytes(data[: int(share * len(data))])
    refuse(tmp_path / "cut", "is damaged")


def set_array(name: str, array: Any) -> Spoil:
    return lambda metadata, arrays: arrays.update({name: numpy.asarray(array)})


def set_text(**changes: str | None) -> Spoil:
    """Change parts of the metadata; None removes one."""

    def spoil(metadata: dict[str, str], arrays: dict[str, numpy.ndarray]) -> None:
        for name, text in changes.items():
            metadata.pop(name)
            if text is not None:
                metadata[name] = text

    return spoil


def set_node(number: int, **changes: Any) -> Spoil:
    def spoil(metadata: dict[str, str], arrays: dict[str, numpy.ndarray]) -> None:
        graph = json.loads(metadata["graph"])
        graph["nodes"][number].update(changes)
        metadata["graph"] = json.dumps(graph)

    return spoil


HUGE = {"W": ["0/W", [10**9, 4]]}


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        pytest.param(lambda m, a: a.pop("0.weight"), "0/W", id="no weight"),
        pytest.param(lambda m, a: a.pop("0.bias"), "0/b", id="no bias"),
        pytest.param(set_array("9.weight", [1.0]), "has no 9.weight", id="an array too many"),
        pytest.param(set_array("/0/W", [1.0]), "an array twice", id="an array twice"),
        pytest.param(set_array("0.weight", numpy.zeros((4, 3), "f")), "shape", id="turned"),
        pytest.param(set_array("0.weight", numpy.zeros(12, "f")), "shape", id="flat"),
        pytest.param(set_array("0.weight", numpy.zeros((3, 4), "u1")), "uint8", id="unsigned"),
        pytest.param(set_array("2.running_var", numpy.zeros(2, "f")), "avg_var", id="short var"),
        pytest.param(set_text(format="other"), "is not a vdprune-weights file", id="other format"),
        pytest.param(set_text(format=None), "says nothing of vdprune", id="no format"),
        pytest.param(set_text(format_version="2000"), "install", id="newer version"),
        pytest.param(set_text(format_version="[1]"), "format_version", id="version a list"),
        pytest.param(set_text(format_version=None), "format_version", id="no version"),
        *(
            pytest.param(set_text(**{name: None}), name, id=f"no {name}")
            for name in ("arch", "arch_kwargs", "dataset", "input_shape", "threshold", "layers")
        ),
        pytest.param(set_text(graph=None), "graph", id="no graph"),
        pytest.param(set_text(graph="{"), "damaged", id="graph no JSON"),
        pytest.param(set_text(graph="[" * 100_000), "damaged", id="graph nested deeply"),
        pytest.param(set_text(threshold='"three"'), "threshold", id="threshold a word"),
        pytest.param(set_text(arch_kwargs="[]"), "arch_kwargs", id="kwargs a list"),
        pytest.param(set_text(encoding="coo"), "encoding", id="unknown encoding"),
        pytest.param(set_text(encoding="csr"), "0/W/data", id="the other encoding"),
        pytest.param(set_text(layers='["9"]'), "no layer '9'", id="unknown layer"),
        pytest.param(set_text(input_shape="[5]"), "input_shape", id="two shapes"),
        pytest.param(set_node(0, arrays=HUGE), "", id="huge"),
        pytest.param(set_node(0, arrays={}), "has no 0.bias", id="a layer without arrays"),
        pytest.param(
            set_node(-1, operation="exp", arrays={}), "has no 1.bias", id="unknown operation"
        ),
        pytest.param(set_node(1, arrays={"mean": ["x/m", [3]]}), "", id="no var"),
    ],
)
def test_a_file_that_does_not_fit_is_refused(
    good: Path, tmp_path: Path, spoil: Spoil, message: str
) -> None:
    metadata, arrays = read_parts(good)
    del metadata["sha256"]
    spoil(metadata, arrays)
    metadata["sha256"] = _digest(metadata, arrays)
    numpy_files.save_file(arrays, tmp_path / "forged", metadata)
    refuse(tmp_path / "forged", message)


def test_a_file_without_a_checksum_is_refused(good: Path, tmp_path: Path) -> None:
    metadata, arrays = read_parts(good)
    del metadata["sha256"]
    numpy_files.save_file(arrays, tmp_path / "w", metadata)
    refuse(tmp_path / "w", "checksum does not match")


@pytest.mark.parametrize("end", [10**15, 2**62])
def test_sizes_that_are_not_there_are_refused(tmp_path: Path, end: int) -> None:
    array = {"dtype": "I8", "shape": [end], "data_offsets": [0, end]}
    header = json.dumps({"a": array}).encode()
    (tmp_path / "w").write_bytes(len(header).to_bytes(8, "little") + header + bytes(100))
    refuse(tmp_path / "w", "is damaged")


def test_another_file_is_refused(tmp_path: Path) -> None:
    numpy_files.save_file({"a": numpy.zeros(3)}, tmp_path / "w")
    refuse(tmp_path / "w", "is not a vdprune-weights file: it says nothing of vdprune")


def test_what_can_not_be_read(tmp_path: Path) -> None:
    refuse(tmp_path / "nowhere", "can't be read: No such file or directory$")
    refuse(tmp_path, "can't be read: Is a directory$")


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
