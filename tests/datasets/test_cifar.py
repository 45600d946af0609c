import os
import pickle
import struct
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.error import URLError

import chainer
import numpy
import pytest
from chainer.datasets import TupleDataset

from vdprune.datasets import load_dataset
from vdprune.errors import DatasetError

Batch = tuple[numpy.ndarray, numpy.ndarray]
WritePickle = Callable[[Path, dict[str, Any]], None]

PER_BATCH = 4
FILES = {
    "cifar10": ([f"data_batch_{i}" for i in range(1, 6)], "test_batch"),
    "cifar100": (["train"], "test"),
}
names = pytest.mark.parametrize("name", FILES)


def make_batches(name: str, per_batch: int = PER_BATCH) -> dict[str, Batch]:
    random = numpy.random.default_rng(7)
    classes = 10 if name == "cifar10" else 100
    train, test = FILES[name]
    batches = {
        file: (
            random.integers(0, 256, (per_batch, 3, 32, 32)).astype(numpy.uint8),
            random.integers(0, classes - 1, per_batch),
        )
        for file in [*train, test]
    }
    batches[train[0]][1][0] = classes - 1
    return batches


def write_binary(folder: Path, name: str, batches: dict[str, Batch]) -> None:
    """The binary version: one or two label bytes, then red, green and blue, row by row."""
    for file, (x, t) in batches.items():
        coarse = [] if name == "cifar10" else [19]
        records = [
            bytes([*coarse, label]) + image.tobytes() for image, label in zip(x, t, strict=True)
        ]
        (folder / f"{file}.bin").write_bytes(b"".join(records))


def batch_of(name: str, x: numpy.ndarray, t: numpy.ndarray) -> dict[str, Any]:
    batch = {
        "batch_label": "training batch 1 of 5",
        "data": x.reshape(len(x), -1),
        "filenames": ["leptodactylus_pentadactylus_s_000004.png"] * len(x),
    }
    if name == "cifar10":
        return {**batch, "labels": t.tolist()}
    return {**batch, "fine_labels": t.tolist(), "coarse_labels": [19] * len(t)}


def write_pickle_of_python_3(path: Path, batch: dict[str, Any]) -> None:
    path.write_bytes(pickle.dumps(batch, protocol=2))


def write_pickle_of_python_2(path: Path, batch: dict[str, Any]) -> None:
    """Opcode by opcode as the originals, which cPickle of Python 2 wrote: str are bytes there."""
    path.write_bytes(b"\x80\x02" + opcodes_of_python_2(batch) + b".")


def opcodes_of_python_2(value: Any) -> bytes:
    if isinstance(value, str | bytes):
        data = value.encode("latin1") if isinstance(value, str) else value
        short = len(data) < 256
        return (b"U" + bytes([len(data)]) if short else b"T" + struct.pack("<i", len(data))) + data
    if isinstance(value, bool):
        return b"\x88" if value else b"\x89"
    if isinstance(value, int):
        return b"J" + struct.pack("<i", value)
    if value is None:
        return b"N"
    if isinstance(value, dict):
        items = (opcodes_of_python_2(part) for item in value.items() for part in item)
        return b"}(" + b"".join(items) + b"u"
    if isinstance(value, list):
        return b"](" + b"".join(map(opcodes_of_python_2, value)) + b"e"
    if isinstance(value, tuple):
        return b"(" + b"".join(map(opcodes_of_python_2, value)) + b"t"
    assert isinstance(value, numpy.ndarray) and value.dtype == numpy.uint8
    dtype = b"cnumpy\ndtype\n" + opcodes_of_python_2(("u1", 0, 1)) + b"R"
    dtype += opcodes_of_python_2((3, "|", None, None, None, -1, -1, 0)) + b"b"
    empty = b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\n"
    empty += opcodes_of_python_2((0,)) + opcodes_of_python_2("b") + b"tR"
    state = opcodes_of_python_2(1) + opcodes_of_python_2(value.shape) + dtype
    state += opcodes_of_python_2(False) + opcodes_of_python_2(value.tobytes())
    return empty + b"(" + state + b"tb"


pickle_writers = pytest.mark.parametrize(
    "write_pickle", [write_pickle_of_python_2, write_pickle_of_python_3]
)


def write_pickled(
    folder: Path, name: str, batches: dict[str, Batch], write_pickle: WritePickle
) -> None:
    for file, (x, t) in batches.items():
        write_pickle(folder / file, batch_of(name, x, t))


def assert_is(name: str, folder: Path, batches: dict[str, Batch]) -> None:
    data = load_dataset(name, folder)
    train, test = FILES[name]
    x, t = (numpy.concatenate(arrays) for arrays in zip(*map(batches.get, train), strict=True))
    numpy.testing.assert_array_equal(data.train.x, x)
    numpy.testing.assert_array_equal(data.train.t, t)
    numpy.testing.assert_array_equal(data.test.x, batches[test][0])
    numpy.testing.assert_array_equal(data.test.t, batches[test][1])
    assert data.train.x.dtype == data.test.x.dtype == numpy.uint8
    assert data.name == name
    assert data.classes == (10 if name == "cifar10" else 100)
    assert str(folder) in data.test.description


@names
def test_binary_version(tmp_path: Path, name: str) -> None:
    batches = make_batches(name)
    write_binary(tmp_path, name, batches)
    assert_is(name, tmp_path, batches)


@names
@pickle_writers
def test_python_version(tmp_path: Path, name: str, write_pickle: WritePickle) -> None:
    batches = make_batches(name)
    write_pickled(tmp_path, name, batches, write_pickle)
    assert_is(name, tmp_path, batches)


def test_the_pickle_of_python_2_is_one(tmp_path: Path) -> None:
    x = numpy.arange(12, dtype=numpy.uint8).reshape(3, 4)
    write_pickle_of_python_2(tmp_path / "batch", {"data": x.repeat(100, 1), "labels": [1, 2, 3]})
    with (tmp_path / "batch").open("rb") as file, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # NumPy has renamed what it asks for
        batch = pickle.load(file, encoding="bytes")
    assert batch[b"labels"] == [1, 2, 3]
    numpy.testing.assert_array_equal(batch[b"data"], x.repeat(100, 1))


class Call:
    """Calls a function when it is unpickled."""

    def __init__(self, function: Callable[..., Any], *args: Any) -> None:
        self.function = function
        self.args = args

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        return self.function, self.args


@pytest.mark.parametrize("place", ["data", "filenames", "key"])
@pytest.mark.parametrize("protocol", [0, 2, 4, 5])
@pytest.mark.parametrize(
    "function",
    [
        pytest.param(lambda trace: Call(os.system, f"touch {trace}"), id="os.system"),
        pytest.param(lambda trace: Call(os.mkdir, str(trace)), id="os.mkdir"),
        pytest.param(lambda trace: Call(exec, f"open({str(trace)!r}, 'w')"), id="exec"),
        pytest.param(lambda trace: Call(numpy.save, f"{trace}", [1]), id="numpy.save"),
    ],
)
def test_a_pickle_that_calls_something_is_refused_and_does_not(
    tmp_path: Path, place: str, protocol: int, function: Callable[[Path], Call]
) -> None:
    batches = make_batches("cifar10")
    write_pickled(tmp_path, "cifar10", batches, write_pickle_of_python_3)
    batch: dict[Any, Any] = batch_of("cifar10", *batches["data_batch_5"])
    traces = tmp_path / "traces"
    traces.mkdir()
    bad = function(traces / "trace.npy")
    batch.update({"more": {bad: 1}} if place == "key" else {place: bad})
    (tmp_path / "data_batch_5").write_bytes(pickle.dumps(batch, protocol=protocol))
    with pytest.raises(DatasetError, match="data_batch_5 is not a batch.*which no batch needs"):
        load_dataset("cifar10", tmp_path)
    assert not list(traces.iterdir())


def test_the_calls_in_these_tests_would_work(tmp_path: Path) -> None:
    pickle.loads(pickle.dumps(Call(os.mkdir, str(tmp_path / "trace"))))
    assert (tmp_path / "trace").is_dir()


@pytest.mark.parametrize(
    "content",
    [
        pytest.param({"labels": [0]}, id="no data"),
        pytest.param({"data": numpy.zeros((1, 3072), "u1")}, id="no labels"),
        pytest.param({"data": numpy.zeros((1, 3071), "u1"), "labels": [0]}, id="short row"),
        pytest.param({"data": "pixels", "labels": [0]}, id="text"),
        pytest.param([1, 2], id="a list"),
        pytest.param(5, id="a number"),
    ],
)
def test_a_pickle_of_something_else_is_refused(tmp_path: Path, content: object) -> None:
    (tmp_path / "data_batch_1").write_bytes(pickle.dumps(content))
    with pytest.raises(DatasetError, match="data_batch_1 is not a batch of CIFAR images"):
        load_dataset("cifar10", tmp_path)


@names
def test_pickles_cut_short_are_refused(tmp_path: Path, name: str) -> None:
    batches = make_batches(name)
    write_pickled(tmp_path, name, batches, write_pickle_of_python_3)
    path = tmp_path / FILES[name][1]
    data = path.read_bytes()
    for length in range(0, len(data), 997):
        path.write_bytes(data[:length])
        with pytest.raises(DatasetError, match=f"{path.name} is not a batch"):
            load_dataset(name, tmp_path)


@pytest.mark.parametrize("length", [0, 1, 3072, 3 * 3073 + 1, 4 * 3073 - 1])
def test_binary_batches_cut_short_are_refused(tmp_path: Path, length: int) -> None:
    batches = make_batches("cifar10")
    write_binary(tmp_path, "cifar10", batches)
    path = tmp_path / "data_batch_5.bin"
    path.write_bytes(path.read_bytes()[:length])
    with pytest.raises(DatasetError, match=rf"data_batch_5\.bin has {length} bytes.*3073"):
        load_dataset("cifar10", tmp_path)


@names
@pytest.mark.parametrize("ending", [".bin", ""])
def test_a_missing_test_batch_is_named(tmp_path: Path, name: str, ending: str) -> None:
    batches = make_batches(name)
    if ending:
        write_binary(tmp_path, name, batches)
    else:
        write_pickled(tmp_path, name, batches, write_pickle_of_python_3)
    path = tmp_path / f"{FILES[name][1]}{ending}"
    path.unlink()
    with pytest.raises(DatasetError, match=f"{path.name} can't be read"):
        load_dataset(name, tmp_path)


@names
def test_a_folder_without_batches_is_refused(tmp_path: Path, name: str) -> None:
    first = FILES[name][0][0]
    with pytest.raises(DatasetError, match=rf"has neither {first}\.bin nor {first}: give the"):
        load_dataset(name, tmp_path)


@names
def test_a_folder_that_is_not_there_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(DatasetError, match="there is no folder .*nowhere"):
        load_dataset(name, tmp_path / "nowhere")


@names
@pytest.mark.parametrize(
    "error", [URLError("no route to host"), TimeoutError("timed out"), RuntimeError("no tarball")]
)
def test_a_download_that_fails_names_the_way_out(
    monkeypatch: pytest.MonkeyPatch, name: str, error: Exception
) -> None:
    def fail(**kwargs: object) -> None:
        raise error

    monkeypatch.setattr(chainer.datasets, f"get_{name}", fail)
    with pytest.raises(DatasetError, match=f"{name} could not be downloaded.*--data-root") as info:
        load_dataset(name)
    assert info.value.__cause__ is error


@names
def test_downloaded_images_are_bytes_again(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    train, test = make_batches(name)[FILES[name][0][0]], make_batches(name)[FILES[name][1]]

    def get(
        withlabel: bool = True, ndim: int = 3, scale: float = 1.0
    ) -> tuple[TupleDataset, TupleDataset]:
        parts = []
        for x, t in (train, test):
            floats = x.astype(numpy.float32)
            floats *= scale / 255.0
            parts.append(TupleDataset(floats, t.astype(numpy.int32)))
        return parts[0], parts[1]

    monkeypatch.setattr(chainer.datasets, f"get_{name}", get)
    data = load_dataset(name)
    assert data.train.x.dtype == numpy.uint8
    numpy.testing.assert_array_equal(data.train.x, train[0])
    numpy.testing.assert_array_equal(data.train.t, train[1])
    numpy.testing.assert_array_equal(data.test.x, test[0])
    numpy.testing.assert_array_equal(data.test.t, test[1])
