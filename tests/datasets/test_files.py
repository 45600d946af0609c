import io
import pickle
import struct
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy
import pytest

from tests.conftest import make_tiny_arrays
from tests.datasets.test_idx import NAMES, to_idx
from vdprune.datasets import Dataset, load_dataset
from vdprune.errors import ArgumentError, DatasetError

Write = Callable[..., None]


def write_npz(path: Path, **arrays: Any) -> None:
    numpy.savez(path, **arrays)


def write_compressed_npz(path: Path, **arrays: Any) -> None:
    numpy.savez_compressed(path, **arrays)


def write_h5(path: Path, **arrays: Any) -> None:
    with h5py.File(path, "w") as file:
        for name, array in arrays.items():
            file[name] = array


def write_compressed_h5(path: Path, **arrays: Any) -> None:
    with h5py.File(path, "w") as file:
        for name, array in arrays.items():
            file.create_dataset(name, data=array, compression="gzip", chunks=True)


writers = pytest.mark.parametrize(
    ("write", "ending"),
    [
        pytest.param(write_npz, ".npz", id="npz"),
        pytest.param(write_compressed_npz, ".npz", id="compressed npz"),
        pytest.param(write_h5, ".h5", id="h5"),
        pytest.param(write_compressed_h5, ".h5", id="compressed h5"),
    ],
)


def assert_is_tiny(data: Dataset) -> None:
    arrays = make_tiny_arrays()
    numpy.testing.assert_array_equal(data.train.x, arrays["x_train"])
    numpy.testing.assert_array_equal(data.train.t, arrays["y_train"])
    numpy.testing.assert_array_equal(data.test.x, arrays["x_test"])
    numpy.testing.assert_array_equal(data.test.t, arrays["y_test"])
    assert data.train.x.dtype == numpy.uint8
    assert data.train.t.dtype == numpy.int32


@writers
def test_arrays_in_a_file(tmp_path: Path, write: Write, ending: str) -> None:
    path = tmp_path / f"mine{ending}"
    write(path, **make_tiny_arrays())
    data = load_dataset(str(path))
    assert_is_tiny(data)
    assert data.name == str(path.resolve())


@writers
def test_the_contents_decide_and_not_the_ending(tmp_path: Path, write: Write, ending: str) -> None:
    path = tmp_path / f"mine{ending}"
    write(path, **make_tiny_arrays())
    assert_is_tiny(load_dataset(str(path.rename(tmp_path / "mine.data"))))


def test_a_folder_of_idx_files(tmp_path: Path) -> None:
    arrays = make_tiny_arrays()
    for part, name in NAMES.items():
        array = arrays[part.replace("t_", "y_")].astype(numpy.uint8)
        (tmp_path / name).write_bytes(to_idx(array[:, 0] if array.ndim == 4 else array))
    data = load_dataset(str(tmp_path))
    assert_is_tiny(data)
    assert data.name == str(tmp_path.resolve())


def test_the_name_is_absolute(tiny_npz: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tiny_npz.parent)
    assert load_dataset(tiny_npz.name).name == str(tiny_npz.resolve())


@writers
def test_missing_keys_are_named_with_those_found(tmp_path: Path, write: Write, ending: str) -> None:
    path = tmp_path / f"mine{ending}"
    arrays = make_tiny_arrays()
    write(path, x_train=arrays["x_train"], y_test=arrays["y_test"], labels=arrays["y_train"])
    with pytest.raises(DatasetError, match="has no y_train, x_test: expected x_train, .*labels"):
        load_dataset(str(path))


@writers
def test_a_file_of_nothing_is_refused(tmp_path: Path, write: Write, ending: str) -> None:
    path = tmp_path / f"mine{ending}"
    write(path)
    with pytest.raises(DatasetError, match="mine"):
        load_dataset(str(path))


@writers
@pytest.mark.parametrize(
    ("name", "array", "message"),
    [
        ("x_train", numpy.full((300, 1, 8, 8), numpy.nan, "f4"), "NaN or infinity"),
        ("x_test", numpy.full((90, 1, 8, 8), numpy.inf, "f4"), "NaN or infinity"),
        ("y_train", numpy.arange(300) - 7, "from -7"),
        ("y_train", numpy.zeros(300, "f4"), "expected integers"),
        ("y_test", numpy.full(90, 3), "a test label is 3"),
        ("x_train", numpy.zeros((300, 8, 8, 3), "u1"), "channels last"),
        ("x_test", numpy.zeros((90, 1, 9, 8), "u1"), "must be the same"),
    ],
)
def test_unusable_arrays_are_refused(
    tmp_path: Path, write: Write, ending: str, name: str, array: numpy.ndarray, message: str
) -> None:
    path = tmp_path / f"mine{ending}"
    write(path, **{**make_tiny_arrays(), name: array})
    with pytest.raises(DatasetError, match=message):
        load_dataset(str(path))


def npy_of_pickle(payload: object) -> bytes:
    """An .npy file of dtype object around any pickle."""
    buffer = io.BytesIO()
    header = {"descr": "|O", "fortran_order": False, "shape": (300,)}
    numpy.lib.format.write_array_header_1_0(buffer, header)
    return buffer.getvalue() + pickle.dumps(payload)


class Touch:
    """Makes a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        return Path.touch, (self.path,)


def test_a_pickled_array_is_refused_and_not_unpickled(tmp_path: Path) -> None:
    path, trace = tmp_path / "mine.npz", tmp_path / "trace"
    arrays = make_tiny_arrays()
    del arrays["y_train"]
    numpy.savez(path, **arrays)
    with zipfile.ZipFile(path, "a") as file:
        file.writestr("y_train.npy", npy_of_pickle(Touch(trace)))
    with pytest.raises(DatasetError, match="mine"):
        load_dataset(str(path))
    assert not trace.exists()
    numpy.load(path, allow_pickle=True)["y_train"]
    assert trace.exists(), "the test's own file is harmless"


def png_of_one_pixel() -> bytes:
    def chunk(kind: bytes, data: bytes) -> bytes:
        return (
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        )

    header = struct.pack(">IIBBBBB", 1, 1, 8, 0, 0, 0, 0)
    pixels = zlib.compress(b"\0\0")
    parts = chunk(b"IHDR", header) + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + parts


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(png_of_one_pixel(), id="picture"),
        pytest.param(b"", id="empty"),
        pytest.param(b"x_train,y_train\n1,2\n", id="text"),
        pytest.param(pickle.dumps(make_tiny_arrays()), id="pickle"),
    ],
)
def test_something_else_is_refused(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "mine.npz"
    path.write_bytes(data)
    with pytest.raises(DatasetError, match=r"neither an \.npz nor an \.h5 file"):
        load_dataset(str(path))


def test_arrays_of_objects_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "mine.npz"
    write_npz(path, **{**make_tiny_arrays(), "x_train": numpy.array([1, "a"], object)})
    with pytest.raises(
        DatasetError, match=r"mine\.npz has arrays of Python objects: save arrays of"
    ):
        load_dataset(str(path))


def test_a_zip_without_arrays_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "mine.npz"
    with zipfile.ZipFile(path, "w") as file:
        for name in make_tiny_arrays():
            file.writestr(name, "not an array")
    with pytest.raises(DatasetError, match="mine"):
        load_dataset(str(path))


def test_groups_in_place_of_arrays_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "mine.h5"
    with h5py.File(path, "w") as file:
        for name in make_tiny_arrays():
            file.create_group(f"{name}/part")
    with pytest.raises(DatasetError, match="mine"):
        load_dataset(str(path))


def test_a_name_that_is_nothing_lists_what_can_be_given() -> None:
    with pytest.raises(DatasetError, match="no data set 'minst': give mnist, cifar10, cifar100"):
        load_dataset("minst")


def test_an_empty_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="holds the four IDX files"):
        load_dataset(str(tmp_path))


def test_data_root_has_no_meaning_for_files(tiny_npz: Path) -> None:
    with pytest.raises(ArgumentError, match="data_root"):
        load_dataset(str(tiny_npz), tiny_npz.parent)


def test_an_array_that_is_not_there_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "mine.h5"
    write_h5(path, **make_tiny_arrays())
    with h5py.File(path, "r+") as file:
        del file["x_train"]
        file.create_dataset("x_train", (10**6, 10**6), "f8", chunks=(1000, 1000))
    with pytest.raises(DatasetError, match="x_train claims shape"):
        load_dataset(str(path))
